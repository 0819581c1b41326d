package causality

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// volumeClaim is what the engine keeps of a PersistentVolumeClaim.
type volumeClaim struct {
	*object
	class    string // its StorageClass
	volume   string // the PersistentVolume it got
	created  moment
	bound    moment
	wasBound bool // before it was first seen, who knows when
	goneSeen time.Time
}

// volumeClaims knows the claims there are, and the pods that use them. Pods and claims
// refer to each other by name and come in any order.
type volumeClaims struct {
	byID   map[objectID]*volumeClaim
	byName map[nameKey][]*volumeClaim // those of one name in order of creation
	users  map[nameKey][]*pod
}

func newVolumeClaims() *volumeClaims {
	return &volumeClaims{
		byID:   map[objectID]*volumeClaim{},
		byName: map[nameKey][]*volumeClaim{},
		users:  map[nameKey][]*pod{},
	}
}

const kindClaim = "PersistentVolumeClaim"

func claimKey(namespace, name string) nameKey {
	return nameKey{kind: kindClaim, namespace: namespace, name: name}
}

func (e *Engine) observeClaim(o Observation, in *corev1.PersistentVolumeClaim) {
	id := builtIn(kindClaim, in)
	c := e.claims.byID[id]
	isNew := c == nil
	if isNew {
		if o.Type == watch.Deleted {
			return // nothing is known that could have ended
		}
		c = &volumeClaim{object: e.track(id, in.Name)}
		arrival := o.arrival()
		c.created = inSecond(in.CreationTimestamp.Time, arrival)
		if in.CreationTimestamp.IsZero() {
			c.created = arrived(o.Time)
		}
		e.claims.add(c)
	}
	c.touched = o.Time
	if in.Spec.StorageClassName != nil {
		c.class = *in.Spec.StorageClassName
	}
	if in.Spec.VolumeName != "" {
		c.volume = in.Spec.VolumeName
	}
	if in.Status.Phase == corev1.ClaimBound && !c.bound.known() && !c.wasBound {
		if isNew && o.Initial {
			c.wasBound = true
		} else {
			c.bound = arrived(o.Time)
		}
	}
}

func (cs *volumeClaims) add(c *volumeClaim) {
	cs.byID[c.objectID] = c
	key := claimKey(c.namespace, c.name)
	cs.byName[key] = append(cs.byName[key], c)
	slices.SortStableFunc(cs.byName[key], func(a, b *volumeClaim) int { return a.created.lo.Compare(b.created.lo) })
}

// use notes which claims a pod that was seen for the first time uses.
func (cs *volumeClaims) use(p *pod, in *corev1.Pod) {
	p.claims = cs
	used := map[nameKey]bool{}
	for i := range in.Spec.Volumes {
		v := &in.Spec.Volumes[i]
		var name string
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			name = p.name + "-" + v.Name
		default:
			continue
		}
		key := claimKey(p.namespace, name)
		if used[key] {
			continue
		}
		used[key] = true
		p.claimKeys = append(p.claimKeys, key)
		cs.users[key] = append(cs.users[key], p)
	}
}

// drop forgets a pod.
func (cs *volumeClaims) drop(p *pod) {
	for _, key := range p.claimKeys {
		cs.users[key] = slices.DeleteFunc(cs.users[key], func(q *pod) bool { return q == p })
		if len(cs.users[key]) == 0 {
			delete(cs.users, key)
		}
	}
}

// of returns the claims that a pod uses, in the order in which it names them.
func (cs *volumeClaims) of(p *pod) []*volumeClaim {
	var of []*volumeClaim
	for _, key := range p.claimKeys {
		// Of several that had the name, the one that was there last before
		// the pod was over.
		for _, c := range slices.Backward(cs.byName[key]) {
			if !p.gone.known() || !c.created.lo.After(p.gone.at()) {
				of = append(of, c)
				break
			}
		}
	}
	return of
}

// waiter reports whether a pod is the one that waited for a claim when an Event of the
// claim happened: of several the first that was created.
func (cs *volumeClaims) waiter(p *pod, c *volumeClaim, t time.Time, work *work) bool {
	if !p.waitedAt(t) {
		return false
	}
	at := p.createdAt()
	for _, q := range cs.users[claimKey(c.namespace, c.name)] {
		work.spend(stepsAPod + len(q.events))
		if q == p || !q.waitedAt(t) {
			continue
		}
		if other := q.createdAt(); other.Before(at) || other.Equal(at) && q.uid < p.uid {
			return false
		}
	}
	return true
}

// stepsAPod is what it takes to see when a pod waited.
const stepsAPod = 8

// waitedAt reports whether the pod was starting at a time.
func (p *pod) waitedAt(t time.Time) bool {
	return !p.waitedUntil().Before(t) && !t.Before(p.createdAt().Add(-arrivalSlack))
}

// farFuture is after all that there will ever be.
var farFuture = time.Unix(1<<40, 0)

// waitedUntil is when a pod's start was over.
func (p *pod) waitedUntil() time.Time {
	until := farFuture
	if p.ledger.startSpan != nil {
		until = p.ledger.startSpan.end
	}
	if tr, ok := p.firstReady(); ok && tr.at.at().Before(until) {
		until = tr.at.at()
	}
	if at := p.lostAt().at(); p.lost() && at.Before(until) {
		until = at
	}
	return until
}

// vanish notes that a claim is gone.
func (cs *volumeClaims) vanish(id objectID, seen time.Time) {
	if c := cs.byID[id]; c != nil && c.goneSeen.IsZero() {
		c.goneSeen = seen
	}
}

// sweepClaims forgets the claims that are gone, once nothing can want them.
func (e *Engine) sweepClaims() {
	cs := e.claims
	for id, c := range cs.byID {
		key := claimKey(c.namespace, c.name)
		if c.goneSeen.IsZero() || !e.now.After(c.goneSeen.Add(e.opts.Linger+e.opts.Quiet)) || len(cs.users[key]) > 0 {
			continue
		}
		cs.forget(id)
	}
}

// forget drops a claim, if there is one.
func (cs *volumeClaims) forget(id objectID) {
	c := cs.byID[id]
	if c == nil {
		return
	}
	delete(cs.byID, id)
	key := claimKey(c.namespace, c.name)
	cs.byName[key] = slices.DeleteFunc(cs.byName[key], func(o *volumeClaim) bool { return o == c })
	if len(cs.byName[key]) == 0 {
		delete(cs.byName, key)
	}
}

// wantedByPod reports whether a change that is still to be told may want the
// Events of a claim, because it tells of a pod that uses it.
func (e *Engine) wantedByPod(obj *object) bool {
	return obj.kind == kindClaim && obj.group == "" && slices.ContainsFunc(e.claims.users[claimKey(obj.namespace, obj.name)], func(p *pod) bool {
		return !p.ledger.startSent && e.claimable(p.object)
	})
}

// boundAt is when the claim got its volume; zero while it has none. The status
// comes after the Event of whoever made the volume.
func (c *volumeClaim) boundAt() time.Time {
	at := c.bound.at()
	if c.wasBound {
		at = c.created.lo
	}
	for _, ev := range c.events {
		if ev.reason == "ProvisioningSucceeded" {
			at = latest(at, ev.first())
		}
	}
	return at
}

// claimTrouble says why a claim of the pod had no volume yet.
func (p *pod) claimTrouble(at time.Time) (failure, bool) {
	for _, c := range p.claims.of(p) {
		if bound := c.boundAt(); !bound.IsZero() && !bound.After(at) {
			continue
		}
		if o, reason := c.lastFailure(at); reason != "" {
			return failure{reason, "claim " + c.name + ": " + o.message}, true
		}
	}
	return failure{}, false
}

// lastFailure is the last that was said by a time about a claim that got no
// volume. FailedBinding need not be a Warning.
func (c *volumeClaim) lastFailure(at time.Time) (last occurrence, reason string) {
	for _, ev := range c.events {
		if ev.reason != "ProvisioningFailed" && ev.reason != "FailedBinding" || ev.first().After(at) {
			continue
		}
		if o := ev.until(at); reason == "" || o.at.After(last.at) {
			last, reason = o, ev.reason
		}
	}
	return last, reason
}

// provisioning is who made the claim's volume, and from its first word to its
// last, or to end; from is zero where nothing shows that it began.
func (c *volumeClaim) provisioning(end time.Time) (service string, from, until time.Time) {
	var asked time.Time
	service, until = attr.ServiceVolumeBinder, end
	for _, ev := range c.events {
		if ev.first().After(end) {
			continue
		}
		switch ev.reason {
		case "ExternalProvisioning": // the binder waits for somebody to do it
			asked = earliest(asked, ev.first())
		case "Provisioning":
			from, service = earliest(from, ev.first()), component(ev)
		case "ProvisioningSucceeded":
			until, service = ev.first(), component(ev)
		}
	}
	if from.IsZero() {
		from = asked
	}
	return service, from, until
}

// component is the program that wrote an Event, without the host and the
// instance that external provisioners append to its name:
// ebs.csi.aws.com_ebs-csi-controller-7c8d_5a3f….
func component(ev *event) string {
	name, _, _ := strings.Cut(ev.component, "_")
	return cmp.Or(name, attr.ServiceVolumeBinder)
}

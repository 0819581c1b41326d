package podlife

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// VolumeClaim is what the engine keeps of a PersistentVolumeClaim.
type VolumeClaim struct {
	*Object
	Class    string // its StorageClass
	Volume   string // the PersistentVolume it got
	Created  evidence.Moment
	Bound    evidence.Moment
	WasBound bool // it was bound before it was first seen, who knows when
	GoneSeen time.Time
}

// VolumeClaims knows the claims there are, and the pods that use them. Pods and claims
// refer to each other by name and come in any order.
type VolumeClaims struct {
	ByID   map[kube.ObjectID]*VolumeClaim
	ByName map[kube.NameKey][]*VolumeClaim // those of one name in order of creation
	Users  map[kube.NameKey][]*Pod
}

// NewVolumeClaims returns claims without any.
func NewVolumeClaims() *VolumeClaims {
	return &VolumeClaims{
		ByID:   map[kube.ObjectID]*VolumeClaim{},
		ByName: map[kube.NameKey][]*VolumeClaim{},
		Users:  map[kube.NameKey][]*Pod{},
	}
}

// ClaimKey is by what pods refer to a claim.
func ClaimKey(namespace, name string) kube.NameKey {
	return kube.NameKey{Kind: kube.KindClaim, Namespace: namespace, Name: name}
}

// Add files a claim that was seen for the first time.
func (cs *VolumeClaims) Add(c *VolumeClaim) {
	cs.ByID[c.ObjectID] = c
	key := ClaimKey(c.Namespace, c.Name)
	cs.ByName[key] = append(cs.ByName[key], c)
	slices.SortStableFunc(cs.ByName[key], func(a, b *VolumeClaim) int { return a.Created.Earliest.Compare(b.Created.Earliest) })
}

// Use notes which claims a pod that was seen for the first time uses.
func (cs *VolumeClaims) Use(pod *Pod, in *corev1.Pod) {
	pod.Claims = cs
	used := map[kube.NameKey]bool{}
	for i := range in.Spec.Volumes {
		v := &in.Spec.Volumes[i]
		var name string
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			name = pod.Name + "-" + v.Name
		default:
			continue
		}
		key := ClaimKey(pod.Namespace, name)
		if used[key] {
			continue
		}
		used[key] = true
		pod.claimKeys = append(pod.claimKeys, key)
		cs.Users[key] = append(cs.Users[key], pod)
	}
}

// Drop forgets a pod.
func (cs *VolumeClaims) Drop(pod *Pod) {
	for _, key := range pod.claimKeys {
		cs.Users[key] = slices.DeleteFunc(cs.Users[key], func(other *Pod) bool { return other == pod })
		if len(cs.Users[key]) == 0 {
			delete(cs.Users, key)
		}
	}
}

// Of returns the claims that a pod uses, in the order in which it names them.
func (cs *VolumeClaims) Of(pod *Pod) []*VolumeClaim {
	var of []*VolumeClaim
	for _, key := range pod.claimKeys {
		// Of several that had the name, the one that was there last before
		// the pod was over.
		for _, c := range slices.Backward(cs.ByName[key]) {
			if !pod.Gone.Known() || !c.Created.Earliest.After(pod.Gone.At()) {
				of = append(of, c)
				break
			}
		}
	}
	return of
}

// Waiter reports whether a pod is the one that waited for a claim when an Event of the
// claim happened: of several the first that was created.
func (cs *VolumeClaims) Waiter(pod *Pod, c *VolumeClaim, t time.Time, work *evidence.Work) bool {
	if !pod.waitedAt(t) {
		return false
	}
	at := pod.CreatedAt()
	for _, other := range cs.Users[ClaimKey(c.Namespace, c.Name)] {
		work.Spend(workPerPod + len(other.Events))
		if other == pod || !other.waitedAt(t) {
			continue
		}
		created := other.CreatedAt()
		if created.Before(at) || created.Equal(at) && other.UID < pod.UID {
			return false
		}
	}
	return true
}

// workPerPod is the work that it takes to see when a pod waited.
const workPerPod = 8

// waitedAt reports whether the pod was starting at a time.
func (p *Pod) waitedAt(t time.Time) bool {
	return !p.waitedUntil().Before(t) && !t.Before(p.CreatedAt().Add(-evidence.ArrivalSlack))
}

// farFuture is after all that there will ever be.
var farFuture = time.Unix(1<<40, 0)

// waitedUntil is when a pod's start was over.
func (p *Pod) waitedUntil() time.Time {
	until := farFuture
	if p.Ledger.StartSpan != nil {
		until = p.Ledger.StartSpan.End
	}
	if tr, ok := p.FirstReady(); ok && tr.At.At().Before(until) {
		until = tr.At.At()
	}
	if at := p.LostAt().At(); p.Lost() && at.Before(until) {
		until = at
	}
	return until
}

// Vanish notes that a claim is gone.
func (cs *VolumeClaims) Vanish(id kube.ObjectID, seen time.Time) {
	if c := cs.ByID[id]; c != nil && c.GoneSeen.IsZero() {
		c.GoneSeen = seen
	}
}

// Forget drops a claim, if there is one.
func (cs *VolumeClaims) Forget(id kube.ObjectID) {
	c := cs.ByID[id]
	if c == nil {
		return
	}
	delete(cs.ByID, id)
	key := ClaimKey(c.Namespace, c.Name)
	cs.ByName[key] = slices.DeleteFunc(cs.ByName[key], func(o *VolumeClaim) bool { return o == c })
	if len(cs.ByName[key]) == 0 {
		delete(cs.ByName, key)
	}
}

// BoundAt is when the claim got its volume; zero while it has none. The status
// comes after the Event of whoever made the volume.
func (c *VolumeClaim) BoundAt() time.Time {
	at := c.Bound.At()
	if c.WasBound {
		at = c.Created.Earliest
	}
	for _, ev := range c.Events {
		if ev.Reason == "ProvisioningSucceeded" {
			at = evidence.Latest(at, ev.First())
		}
	}
	return at
}

// claimTrouble says why a claim of the pod had no volume yet.
func (p *Pod) claimTrouble(at time.Time) (evidence.Failure, bool) {
	for _, c := range p.Claims.Of(p) {
		if bound := c.BoundAt(); !bound.IsZero() && !bound.After(at) {
			continue
		}
		if o, reason := c.LastFailure(at); reason != "" {
			return evidence.Failure{Reason: reason, Message: "claim " + c.Name + ": " + o.Message}, true
		}
	}
	return evidence.Failure{}, false
}

// LastFailure is the last that was said by a time about a claim that got no
// volume. FailedBinding need not be a Warning.
func (c *VolumeClaim) LastFailure(at time.Time) (last Occurrence, reason string) {
	for _, ev := range c.Events {
		if ev.Reason != "ProvisioningFailed" && ev.Reason != "FailedBinding" || ev.First().After(at) {
			continue
		}
		if o := ev.Until(at); reason == "" || o.At.After(last.At) {
			last, reason = o, ev.Reason
		}
	}
	return last, reason
}

// Provisioning is who made the claim's volume, and from its first word to its
// last, or to end; from is zero where nothing shows that it began.
func (c *VolumeClaim) Provisioning(end time.Time) (service string, from, until time.Time) {
	var asked time.Time
	service, until = attr.ServiceVolumeBinder, end
	for _, ev := range c.Events {
		if ev.First().After(end) {
			continue
		}
		switch ev.Reason {
		case "ExternalProvisioning": // the binder waits for somebody to do it
			asked = evidence.Earliest(asked, ev.First())
		case "Provisioning":
			from, service = evidence.Earliest(from, ev.First()), component(ev)
		case "ProvisioningSucceeded":
			until, service = ev.First(), component(ev)
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
func component(ev *Event) string {
	name, _, _ := strings.Cut(ev.Component, "_")
	return cmp.Or(name, attr.ServiceVolumeBinder)
}

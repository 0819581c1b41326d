package causality

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Of a custom resource that has ReplicaSets only the metadata is read, so its state is
// put together: the workload's own metadata says who wrote it and when, its ReplicaSets
// say how many pods of which template there are to be and are. These come in streams of
// their own, in any interleaving. So each piece of news waits for the settle period, and
// then they are taken in in the order of the writes.

// composer puts the state of a workload together.
type composer struct {
	// part reads what a ReplicaSet says of the workload.
	part func(in *appsv1.ReplicaSet) part
	// state is the workload's, not ok if its ReplicaSets do not tell.
	state func(d *workload, parts []part, last *news) (st workloadState, ok bool)
}

// part is what a ReplicaSet says of its workload.
type part struct {
	revision             int64
	generation, observed int64
	replicas             int32 // wanted of the ReplicaSet
	total, available     int32
	minReady             time.Duration
	template             podTemplate
	// wanted is how many the workload is to have in all.
	wanted int32
	// leaving says that its pods are kept for a while and serve nobody.
	leaving bool
	// written is when it was last written, a whole second; zero if not stated.
	written time.Time
	// tried says that it has wanted pods since it has its revision.
	tried bool
}

// settled reports whether it has the pods that it wants.
func (p *part) settled() bool {
	return p.observed >= p.generation && p.total == p.replicas && p.available >= p.replicas
}

// composition is what is kept of a workload that is put together.
type composition struct {
	news  []news             // what waits, in the order in which it came
	parts map[objectID]*news // the latest of each ReplicaSet that was taken in
	// created dates the object's creation, generation is the latest of it.
	created    moment
	generation int64
	// template and replicas are who wrote these last.
	template, replicas written
}

// news is one observation of a workload's metadata, or of one of its ReplicaSets.
type news struct {
	stamp stamp
	o     Observation // without its object
	// meta is the workload's own; nil in news of a ReplicaSet.
	meta *metav1.ObjectMeta
	set  objectID
	part *part // nil if the ReplicaSet is gone
}

// listed reports whether the news is of an object that was there before, so that others
// may follow which belong to the same state.
func (n *news) listed() bool {
	return n.o.Initial || n.o.Type == watch.Added && n.part != nil && n.part.generation > 1
}

// unseen is what is known of the ReplicaSets of a workload that was not seen itself, as
// it may not be read, or its stream comes later. They are workloads of their own until it
// is.
type unseen struct {
	sets map[objectID]*podSet
	news []news
}

// observeMetadata takes in the metadata of a workload that is put together, if the
// observation is of one.
func (e *Engine) observeMetadata(o Observation, k *controller) bool {
	meta, ok := o.Object.(metav1.Object)
	if !ok || o.Inferred {
		return false // a snapshot has no history to put together
	}
	if kind, group := typeOf(o.Object); kind != k.Kind || group != k.group() {
		return false
	}
	id := k.id(meta)
	d := e.workloads[id]
	if d == nil {
		if o.Type == watch.Deleted {
			return false // nothing is known that could have ended
		}
		d = &workload{object: e.track(id, meta.GetName()), controller: k, composition: &composition{parts: map[objectID]*news{}}}
		e.workloads[id] = d
		e.claimSets(d)
	}
	d.touched = o.Time
	d.owned = ownerRefOf(meta)
	own := metav1.ObjectMeta{
		CreationTimestamp: meta.GetCreationTimestamp(),
		DeletionTimestamp: meta.GetDeletionTimestamp(),
		Generation:        meta.GetGeneration(),
		Annotations:       meta.GetAnnotations(),
		ManagedFields:     k.specFields(meta.GetManagedFields()),
	}
	d.tell(news{stamp: newStamp(meta.GetResourceVersion(), o), o: o, meta: own.DeepCopy()})
	e.touch(d)
	return true
}

// specFields are the managedFields of those who write the workload, other than its
// controller, which is who numbers it.
func (k *controller) specFields(fields []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var spec []metav1.ManagedFieldsEntry
	for i := range fields {
		if m := &fields[i]; m.Subresource != "status" && !owns(m, `"f:`+k.revisionAnnotation+`"`) {
			spec = append(spec, *m)
		}
	}
	return spec
}

// tell adds news to what waits.
func (d *workload) tell(n news) {
	n.o.Object = nil
	d.composition.news = append(d.composition.news, n)
}

// tellOwner has a ReplicaSet's workload know of its state, if that is put together.
func (e *Engine) tellOwner(rs *podSet, o Observation, in *appsv1.ReplicaSet) {
	if d := e.workloads[rs.owner]; d != nil && d.composition != nil {
		d.tell(news{stamp: newStamp(in.ResourceVersion, o), o: o, set: rs.objectID, part: rs.readPart(o, in)})
	}
}

// readPart is what a ReplicaSet's state says, nil if it is gone.
func (rs *podSet) readPart(o Observation, in *appsv1.ReplicaSet) *part {
	if o.Type == watch.Deleted {
		return nil
	}
	p := rs.by.compose.part(in)
	if rs.template.hash == (templateHash{}) {
		rs.template = p.template
	}
	for i := range in.ManagedFields {
		if at := in.ManagedFields[i].Time; at != nil {
			p.written = latest(p.written, at.Time)
		}
	}
	p.revision, p.template, p.tried = rs.revision, rs.template, rs.tried
	return &p
}

// expect keeps what a ReplicaSet says of a workload that was not seen.
func (e *Engine) expect(owner objectID, by *controller, o Observation, in *appsv1.ReplicaSet) {
	id := replicaSetID(in)
	u := e.unseen[owner]
	if u == nil {
		u = &unseen{sets: map[objectID]*podSet{}}
	}
	u.news = slices.DeleteFunc(u.news, func(n news) bool {
		return n.set == id && (o.Type == watch.Deleted || o.Time.Sub(n.o.Time) > e.opts.Quiet)
	})
	rs := u.sets[id]
	switch {
	case o.Type == watch.Deleted:
		delete(u.sets, id)
		if len(u.sets) == 0 {
			delete(e.unseen, owner)
		}
		return
	case rs == nil:
		rs = newPodSet(e.track(id, in.Name))
		rs.owner = owner
		e.firstSeen(rs, o, in)
		u.sets[id] = rs
	}
	e.unseen[owner] = u
	rs.by = by
	rs.observe(o, in)
	n := news{stamp: newStamp(in.ResourceVersion, o), o: o, set: id, part: rs.readPart(o, in)}
	n.o.Object = nil
	u.news = append(u.news, n)
}

// forgetExpected drops what is known of a ReplicaSet whose workload was not seen.
func (e *Engine) forgetExpected(id objectID) {
	for owner, u := range e.unseen {
		if delete(u.sets, id); len(u.sets) == 0 {
			delete(e.unseen, owner)
		}
		u.news = slices.DeleteFunc(u.news, func(n news) bool { return n.set == id })
	}
}

// claimSets gives a workload the ReplicaSets that came before it. What they were told as
// until now stays told.
func (e *Engine) claimSets(d *workload) {
	u := e.unseen[d.objectID]
	if u == nil {
		return
	}
	delete(e.unseen, d.objectID)
	for id, set := range u.sets {
		if own := e.workloads[id]; own != nil {
			e.issued.forgetCurrent(&own.ledger)
			delete(e.workloads, id)
			delete(e.due, own)
		}
		if was := e.sets[id]; was != nil {
			e.leave(was)
		}
		e.sets[id] = set
		set.touched = latest(set.touched, e.now)
		set.owner = objectID{}
		e.adopt(set, d.objectID)
	}
	for i, n := range u.news {
		newest := !slices.ContainsFunc(u.news[i+1:], func(later news) bool { return later.set == n.set })
		switch old := e.now.Sub(n.o.Time) > e.opts.Quiet; {
		case old && newest:
			// It is how things were found.
			n.o.Initial, n.stamp.version = true, 0
			d.tell(n)
		case !old:
			d.tell(n)
		}
	}
}

// takeNews takes in what has waited for the settle period, or all that there is where
// nothing more will come. It returns when to look again, zero if nothing waits.
func (e *Engine) takeNews(d *workload, wanted extent) time.Time {
	k := d.composition
	if k == nil || len(k.news) == 0 {
		return time.Time{}
	}
	until := e.now.Add(-e.opts.Settle)
	if wanted == whatSettled && until.Before(e.listed) {
		return e.listed.Add(e.opts.Settle) // the list is not through
	}
	var ripe, rest []news
	var again time.Time
	for _, n := range k.news {
		if wanted != whatSettled || !n.o.Time.After(until) {
			ripe = append(ripe, n)
			continue
		}
		rest = append(rest, n)
		again = earliest(again, n.o.Time.Add(e.opts.Settle))
	}
	k.news = rest
	slices.SortStableFunc(ripe, func(a, b news) int {
		switch {
		case a.o.Initial != b.o.Initial:
			return -compareBool(a.o.Initial, b.o.Initial)
		case a.stamp.version != 0 && b.stamp.version != 0:
			return cmp.Compare(a.stamp.version, b.stamp.version)
		}
		return a.o.Time.Compare(b.o.Time)
	})
	for i := range ripe {
		n := &ripe[i]
		if n.meta != nil {
			e.takeMetadata(d, n)
			continue
		}
		d.takePart(n)
		if n.listed() && slices.ContainsFunc(ripe[i+1:], func(next news) bool { return next.meta == nil && next.listed() }) {
			continue // one state comes in several pieces
		}
		if !d.deleted {
			d.recompose(n)
		}
	}
	return again
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// awaits reports whether news waits of what came before s: the change that s belongs to
// may not be known yet.
func (d *workload) awaits(s stamp) bool {
	return d.composition != nil && slices.ContainsFunc(d.composition.news, func(n news) bool { return n.stamp.before(s) })
}

// takeMetadata takes in a state of the workload's own metadata.
func (e *Engine) takeMetadata(d *workload, n *news) {
	if n.o.Type == watch.Deleted {
		d.vanish(arrived(n.o.Time), n.stamp)
		return
	}
	if d.deleted {
		return
	}
	k, fields := d.composition, n.meta.ManagedFields
	first := !k.created.known()
	e.observeContexts(d, n.meta, n.stamp, n.o.Initial || first && (n.o.Type != watch.Added || n.meta.Generation > 1))
	if first {
		k.created = inSecond(n.meta.CreationTimestamp.Time, n.o.arrival())
	}
	k.generation = n.meta.Generation
	k.template.renew(writer(fields, true, d.writers), n.o)
	k.replicas.renew(writer(fields, false, d.writers), n.o)
	d.writers = readWriters(fields)
	if at := n.meta.DeletionTimestamp; !at.IsZero() {
		d.delete(inSecond(at.Time, n.o.arrival()), n.stamp)
	}
}

// renew notes who wrote last, if it was written since.
func (w *written) renew(now written, o Observation) {
	if now.at.After(w.at) || now.gained > 0 && !now.at.Before(w.at) {
		*w = now
		w.seen = o.arrival()
	}
}

// takePart takes in a state of a ReplicaSet. A list brings again what is known.
func (d *workload) takePart(n *news) {
	k := d.composition
	if last := k.parts[n.set]; last != nil && n.stamp.version != 0 && n.stamp.version < last.stamp.version {
		return
	}
	k.parts[n.set] = n
	if n.part == nil {
		delete(k.parts, n.set)
	}
}

// recompose puts the state together that a ReplicaSet's news led to, and compares it with
// the one before.
func (d *workload) recompose(n *news) {
	k := d.composition
	parts := make([]part, 0, len(k.parts))
	for _, p := range k.parts {
		parts = append(parts, *p.part)
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.revision, b.revision) })
	st, ok := d.controller.compose.state(d, parts, n)
	if !ok || st.revision < d.revision {
		return
	}
	st.generation, st.observed = k.generation, k.generation
	if n.part != nil && (st.complete || st.scaled) {
		st.availableAt = n.part.written
	}
	if !d.seen {
		d.firstState(&metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(k.created.lo)}, st, n.stamp, n.o)
		if c := d.current(); c != nil && st.first && k.created.known() {
			c.start = k.created
		}
	} else {
		if !st.atRest || st.revision > d.revision {
			d.current().wake(n.stamp)
		}
		d.nextState(nil, st, n.stamp, n.o.arrival())
	}
	if !d.seen || st.revision > d.revision {
		d.templateAt = k.template.at
	}
	if !d.seen || st.replicas != d.replicas {
		d.replicasAt = k.replicas.at
	}
	d.seen, d.workloadState, d.stated = true, st, n.stamp
	if st.atRest {
		d.current().pause(true, n.stamp)
	}
	d.progress(nil, st, n.stamp, n.o.arrival())
}

// shortestRest is how long a controller may take for its next step; a rest that is
// shorter is no pause.
const shortestRest = time.Second

// wake ends a pause that nobody states.
func (c *change) wake(s stamp) {
	if c == nil || len(c.pauses) == 0 {
		return
	}
	last := len(c.pauses) - 1
	if p := c.pauses[last]; !p.until.known() && s.arrival.Sub(p.from.at()) < shortestRest {
		c.pauses = c.pauses[:last]
		return
	}
	c.pause(false, s)
}

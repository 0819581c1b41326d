package causality

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// firstState opens a change for a workload that is new or on its way. One
// that is complete, or has failed already, is settled: its story is over, unless
// it was not there when we last looked. Then all of it was while the watch was
// down.
func (d *workload) firstState(meta metav1.Object, st workloadState, s stamp, o Observation) {
	d.stale = st.failedAt
	d.numbered = st.template
	observed := st.observed >= st.generation
	settled := st.complete || !st.failedAt.IsZero() || st.rolledOut
	missed := o.Type == watch.Added && !o.Initial && !st.isNew
	if !st.isNew && settled && observed && !missed {
		return
	}
	who := d.writer(meta.GetManagedFields(), true)
	c := d.offer(&change{
		kind:         attr.ChangeRollout,
		opened:       s,
		revision:     st.revision,
		revisionName: st.revisionName,
		numbered:     s,
		partition:    st.partition,
		generation:   st.generation,
		cause:        attr.CauseCreate,
		manager:      who.manager,
		imagesAfter:  st.template.images,
		wanted:       st.replicas,
		templateHash: st.template.hash,
		staleFailure: st.failedAt,
	})
	arrival := o.Time
	if o.Initial || !st.isNew {
		arrival = time.Time{}
	}
	c.startedBy(meta.GetCreationTimestamp().Time, who, st.first, arrival, o.Time)
	if !st.isNew || o.Initial {
		// Whatever came before this state belongs to the change it shows.
		c.opened = stamp{arrival: c.start.lo}
	}
	if st.paused {
		c.pauses = append(c.pauses, pause{from: c.start})
	}
	if !st.isNew && (settled || st.paused) && !missed {
		// The revision is done with, and a later spec waits for its own, if
		// it is a new template at all.
		c.revision, c.revisionName, c.cause = 0, "", attr.CauseTemplate
		if !who.at.IsZero() {
			c.start = inSecond(who.at, arrival)
		}
		c.opened = s
		d.numbered = podTemplate{}
		d.pending, d.asked = c, st.template
		return
	}
	if st.unnumbered {
		// The first revision will be this one's.
		d.pending, d.asked = c, st.template
	}
	d.begin(c)
}

// nextState compares a state with the one before.
func (d *workload) nextState(fields []metav1.ManagedFieldsEntry, st workloadState, s stamp, arrival time.Time) {
	if st.template.hash != d.template.hash {
		d.writeTemplate(fields, st, s, arrival)
	} else if st.partition < d.partition && !st.updated {
		d.lowerPartition(fields, st, s, arrival)
	}
	d.current().recount(d.workloadState, st)
	if st.replicas != d.replicas || st.firstOrdinal != d.firstOrdinal {
		d.scale(fields, st, s, arrival)
	}
	if d.takenUp(st) {
		d.newRevision(st, s)
	}
	if st.paused != d.paused {
		for _, c := range []*change{d.current(), d.pending} {
			c.pause(st.paused, s)
		}
	}
}

// takenUp reports whether the controller has turned to another template, as
// the kinds state it: by a number, by name, or by the generation it has seen.
func (d *workload) takenUp(st workloadState) bool {
	switch d.controller.numbers {
	case numberedByAnnotation:
		return st.revision > d.revision
	case numberedByNamedRevision:
		return st.revisionName != "" && st.revisionName != d.revisionName
	default:
		return d.pending != nil && st.observed >= d.pending.generation
	}
}

// pause notes that an open rollout was paused or resumed.
func (c *change) pause(paused bool, s stamp) {
	if c == nil || c.kind != attr.ChangeRollout || c.ended {
		return
	}
	n := len(c.pauses)
	switch {
	case paused && (n == 0 || c.pauses[n-1].until.known()):
		c.pauses = append(c.pauses, pause{from: arrived(s.arrival)})
		if len(c.pauses) > maxTransitions {
			c.pauses = slices.Delete(c.pauses, 1, 2) // the first and the last say most
		}
	case !paused && n > 0 && !c.pauses[n-1].until.known():
		c.pauses[n-1].until, c.pauses[n-1].resumed = arrived(s.arrival), s
	}
}

// writeTemplate notes a new pod template. The rollout it asks for begins
// here, but which revision that is, and whether there will be one at all, is
// known when the controller has taken it up.
func (d *workload) writeTemplate(fields []metav1.ManagedFieldsEntry, st workloadState, s stamp, arrival time.Time) {
	if !d.controller.rolls {
		return // it is for the pods that come next, whenever that is
	}
	if d.pending != nil && d.pending == d.current() {
		// Not even the first revision exists yet: the rollout goes on with
		// another template.
		d.pending.templateHash, d.pending.imagesAfter = st.template.hash, st.template.images
		d.asked = st.template
		return
	}
	d.pending = nil
	cur := d.current()
	if cur != nil && cur.kind == attr.ChangeRollout && !cur.ended && cur.templateHash == st.template.hash {
		return // written back before the controller saw it
	}
	c := d.rollout(fields, st, s, arrival)
	// What was written and never rolled out, as while it was paused, counts
	// for nothing.
	c.imagesBefore, c.changed = d.numbered.images, st.template.changedFrom(&d.numbered)
	if isRestart(c.changed) {
		c.cause = attr.CauseRestart
	}
	if d.paused || st.paused {
		c.pauses = append(c.pauses, pause{from: c.start})
	}
	d.pending, d.asked = c, st.template
}

// rollout is the change that a write of the spec asks for.
func (d *workload) rollout(fields []metav1.ManagedFieldsEntry, st workloadState, s stamp, arrival time.Time) *change {
	who := d.writer(fields, true)
	return d.offer(&change{
		kind:         attr.ChangeRollout,
		opened:       s,
		start:        writtenAt(who, d.templateAt, arrival, s.arrival),
		partition:    st.partition,
		generation:   st.generation,
		cause:        attr.CauseTemplate,
		manager:      who.manager,
		imagesAfter:  st.template.images,
		wanted:       st.replicas,
		before:       d.replicas,
		templateHash: st.template.hash,
		staleFailure: d.stale,
	})
}

// lowerPartition goes on with a rollout that was complete as far as the
// partition let it.
func (d *workload) lowerPartition(fields []metav1.ManagedFieldsEntry, st workloadState, s stamp, arrival time.Time) {
	if cur := d.current(); d.pending != nil || cur != nil && cur.kind == attr.ChangeRollout && !cur.ended {
		return
	}
	c := d.rollout(fields, st, s, arrival)
	c.start = arrived(s.arrival)
	if who := writerOf(fields, `"f:partition"`, d.writers); !who.at.IsZero() {
		c.manager, c.start = who.manager, inSecond(who.at, arrival)
	}
	c.cause, c.revisionName, c.numbered = attr.CausePartition, st.revisionName, s
	c.again = d.wasLowered(st.partition)
	d.supersede(c, s)
	d.begin(c)
}

// wasLowered reports whether the revision has had a rollout with that partition
// already: it was raised in between.
func (d *workload) wasLowered(partition int32) bool {
	for _, c := range slices.Backward(d.changes) {
		if c.kind != attr.ChangeRollout {
			continue
		}
		if c.partition == partition {
			return true
		}
		if c.cause != attr.CausePartition {
			break
		}
	}
	return false
}

// newRevision begins the pending rollout in earnest: from now on the one
// before it can not complete any more.
func (d *workload) newRevision(st workloadState, s stamp) {
	c, template := d.pending, d.asked
	d.pending = nil
	if c == nil {
		template = st.template
		if cur := d.current(); cur != nil && cur.kind == attr.ChangeRollout && cur.revision == 0 && cur.revisionName == "" {
			c = cur // the first one
		}
	}
	if c == nil {
		// A new number for the same template, as after a restore.
		c = d.offer(&change{
			kind: attr.ChangeRollout, opened: s, start: arrived(s.arrival), generation: st.generation,
			cause: attr.CauseTemplate, imagesBefore: d.numbered.images, imagesAfter: template.images, partition: st.partition,
			wanted: st.replicas, before: d.replicas, templateHash: template.hash, staleFailure: d.stale,
		})
	}
	if d.controller.numbers == numberedByRevision && c != d.current() && c.templateHash == d.numbered.hash {
		return // written back before the controller saw it
	}
	c.revision, c.revisionName, c.numbered = st.revision, st.revisionName, s
	d.numbered = template
	if c == d.current() {
		return
	}
	d.supersede(c, s)
	d.begin(c)
}

// startedBy dates the change that the first state seen of a workload shows: by its
// creation if that is what it shows, else by the write of its template.
func (c *change) startedBy(created time.Time, who written, first bool, arrival, seen time.Time) {
	switch {
	case first && !created.IsZero():
		c.start = inSecond(created, arrival)
	case !who.at.IsZero():
		c.cause, c.start = attr.CauseTemplate, inSecond(who.at, arrival)
	default:
		c.cause, c.start = attr.CauseTemplate, arrived(seen)
	}
}

// progress notes what the status says of the current change.
func (d *workload) progress(fields []metav1.ManagedFieldsEntry, st workloadState, s stamp, arrival time.Time) {
	if !st.failedAt.IsZero() {
		d.stale = st.failedAt
	}
	defer func() { d.lastAvailable = latest(d.lastAvailable, st.availableAt) }()
	c := d.current()
	if d.waits(c) && st.complete && !st.paused {
		// The controller has seen it, and needs no new revision.
		d.pending, d.numbered = nil, d.asked
	}
	if c == nil || !d.tellsOf(c, st) {
		return
	}
	if !c.ended {
		c.ready = max(st.available, 0)
		if d.controller.completeWhenReady && c.kind == attr.ChangeRollout {
			c.ready = st.ready // it is complete by then
		}
	}
	switch {
	case c.ended && c.outcome == attr.OutcomeFailed && !c.recovered && st.complete:
		c.recovered, c.recovery, c.recoverySeen = true, d.completedAt(fields, st, arrival, s.arrival), s.arrival
	case c.ended:
	case c.isDone(st):
		c.finish(attr.OutcomeComplete, d.completedAt(fields, st, arrival, s.arrival), s)
	case c.kind == attr.ChangeRollout && !st.failedAt.IsZero() && !st.failedAt.Equal(c.staleFailure):
		c.deadline, c.failure = st.deadline, st.failure
		c.finish(attr.OutcomeFailed, inSecond(st.failedAt, arrival), s)
	}
}

// waits reports whether a template waits for its number while c is current.
func (d *workload) waits(c *change) bool { return d.pending != nil && d.pending != c }

// tellsOf reports whether a status is about the current change c: not about a template
// that waits behind it, unless c is a scale of a paused workload, and not about another
// revision than its own.
func (d *workload) tellsOf(c *change, st workloadState) bool {
	if d.waits(c) && (c.kind != attr.ChangeScale || !st.paused) {
		return false
	}
	otherNumber := d.controller.numbers == numberedByAnnotation && st.revision != c.revision
	return c.kind != attr.ChangeRollout || !otherNumber && st.revisionName == c.revisionName
}

// isDone reports whether a status shows the change complete. A rollout is complete as
// kubectl has it, which does not look at replicas that a scale down is about to remove.
func (c *change) isDone(st workloadState) bool {
	return c.due == 0 && (c.kind == attr.ChangeRollout && st.complete || c.kind == attr.ChangeScale && st.scaled)
}

// completedAt dates the status that shows a change complete. The API gives a
// time where the reason became NewReplicaSetAvailable with it, else perhaps in
// managedFields.
func (d *workload) completedAt(fields []metav1.ManagedFieldsEntry, st workloadState, arrival, seen time.Time) moment {
	if st.availableAt.After(d.lastAvailable) {
		return inSecond(st.availableAt, arrival)
	}
	if at := statusWritten(fields); !at.IsZero() {
		return inSecond(at, arrival)
	}
	return arrived(seen)
}

// vanish notes that the workload is no more.
func (d *workload) vanish(at moment, s stamp) {
	d.gone = true
	d.delete(at, s)
}

func (d *workload) delete(at moment, s stamp) {
	if d.deleted {
		return
	}
	d.deleted = true
	if d.pending != nil && d.pending != d.current() {
		// It never got a number; it would have been the next.
		if d.controller.numbers == numberedByAnnotation {
			d.pending.revision = d.revision + 1
		}
		d.supersede(d.pending, s)
		d.begin(d.pending)
	}
	d.pending = nil
	if cur := d.current(); cur != nil && !cur.ended {
		cur.finish(attr.OutcomeDeleted, at, s)
	}
	d.begin(d.offer(&change{
		kind: attr.ChangeDelete, opened: s, start: at, cause: attr.CauseDelete, revision: d.revision, before: d.replicas,
	}))
}

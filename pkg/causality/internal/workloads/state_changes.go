package workloads

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// FirstState opens a change for a workload that is new or on its way. One
// that is complete, or has failed already, is settled: its story is over, unless
// it was not there when we last looked. Then all of it was while the watch was
// down.
func (w *Workload) FirstState(meta metav1.Object, st State, write evidence.Write, o stream.Observation) {
	w.lastFailedAt = st.failedAt
	w.takenUpTemplate, w.created = st.template, meta.GetCreationTimestamp().Time
	missed := o.Type == watch.Added && !o.Initial && !st.IsNew
	if !st.IsNew && st.settled() && st.isObserved() && !missed {
		if st.othersLeft && o.Initial && !o.Inferred {
			w.suspectRollback(meta, st, write, o)
		}
		return
	}
	who := w.writer(meta.GetManagedFields(), true)
	c := w.firstChange(st, who, write)
	arrival := o.Time
	if o.Initial || !st.IsNew {
		arrival = time.Time{}
	}
	waits := st.waits() && !missed
	c.startedBy(meta.GetCreationTimestamp().Time, who, st.First && (!waits || w.Controller.FixedTemplate), arrival, o.Time)
	w.doubtStart(c, st, meta.GetCreationTimestamp().Time, o)
	if !st.IsNew || o.Initial {
		// Whatever came before this state belongs to the change it shows.
		c.Opened = evidence.Write{Arrival: c.Start.Earliest}
	}
	if st.paused {
		c.Pauses = append(c.Pauses, st.firstPause(c, waits, o))
	}
	if waits {
		c.held = st.Held()
		c.Revision, c.RevisionName, c.Cause = 0, "", attr.CauseTemplate
		c.Opened = write
		w.takenUpTemplate = kube.PodTemplate{}
		w.Pending, w.pendingTemplate = c, st.template
		return
	}
	if st.unnumbered {
		// The first revision will be this one's.
		w.Pending, w.pendingTemplate = c, st.template
	}
	w.Begin(c)
	w.failBefore(c, st, o)
}

// failBefore ends a rollout that was listed while it recovers: its deadline had been exceeded, at some
// time until it went on.
func (w *Workload) failBefore(c *Change, st State, o stream.Observation) {
	at := st.failedUntil
	if !o.Initial || o.Inferred || c.Start.Earliest.IsZero() || !at.After(c.Start.At()) {
		return
	}
	w.DoubtArrival(stream.Doubt{At: at, Earliest: c.Start.Earliest.Add(st.deadline), Latest: at, Of: stream.DoubtOfEnd})
	c.Deadline = st.deadline
	c.Finish(attr.OutcomeFailed, evidence.Exactly(at), evidence.Write{Arrival: at})
}

// firstChange is the change that the first state of a workload shows.
func (w *Workload) firstChange(st State, who kube.Written, write evidence.Write) *Change {
	return w.Offer(&Change{
		Kind:         attr.ChangeRollout,
		Opened:       write,
		Revision:     st.Revision,
		RevisionName: st.revisionName,
		Numbered:     write,
		Partition:    st.partition,
		generation:   st.generation,
		Cause:        attr.CauseCreate,
		Manager:      who.Manager,
		ImagesAfter:  st.template.Images,
		runs:         st.template.Runs,
		Wanted:       st.replicas,
		templateHash: st.template.Hash,
		staleFailure: st.failedAt,
	})
}

// settled reports whether a workload has come to rest, well or not.
func (st *State) settled() bool { return st.Complete || !st.failedAt.IsZero() || st.RolledOut }

// isObserved reports whether the controller has seen the spec of the state.
func (st *State) isObserved() bool { return st.observed >= st.generation }

// waits reports whether the number of a state is not that of its template. The revision is done
// with, and a later spec waits for its own, if it is a new template at all: it is not the one that
// the workload was created with.
func (st *State) waits() bool {
	return !st.IsNew && (st.settled() || st.paused && (!st.begun || !st.isObserved()))
}

// Held reports whether a template waits for the end of a pause: there are pods, and none has it.
func (st *State) Held() bool { return st.paused && st.isObserved() && !st.begun && st.total > 0 }

// firstPause is the pause in which a workload is that was not seen before. A template that waits
// was written in it, or with it.
func (st *State) firstPause(c *Change, waits bool, o stream.Observation) pause {
	switch {
	case waits, st.IsNew: // so was a new workload, of which nothing was made yet
		return pause{From: c.Start}
	case !st.pausedAt.IsZero():
		return pause{From: evidence.InSecond(st.pausedAt, time.Time{})}
	default:
		return pause{From: evidence.Arrived(o.Time), Listed: true}
	}
}

// doubtStart notes how well the start of a change is known of which nothing but the first state
// of its workload tells: it was since the workload was created.
// What a first list shows under way began before, and may be over but for what its state says.
func (w *Workload) doubtStart(c *Change, st State, created time.Time, o stream.Observation) {
	undated := c.Start.Earliest.IsZero()
	if undated {
		w.DoubtArrival(stream.Doubt{At: o.Time, Earliest: created, Latest: o.Time})
	}
	if o.Initial && !o.Inferred && !st.IsNew {
		c.Listed, c.MaybeOver = true, !st.underWay
		if undated {
			c.Since = created
			if st.Held() {
				c.Since = evidence.Latest(created, st.pausedAt)
			}
		}
	}
}

// NextState compares a state with the one before.
func (w *Workload) NextState(fields []metav1.ManagedFieldsEntry, st State, write evidence.Write, arrival time.Time) {
	if st.template.Hash != w.template.Hash {
		w.writeTemplate(fields, st, write, arrival)
	} else if st.partition < w.partition && !st.updated {
		w.lowerPartition(fields, st, write, arrival)
	}
	w.Current().recount(w.State, st)
	if st.replicas != w.replicas || st.firstOrdinal != w.firstOrdinal {
		w.scale(fields, st, write, arrival)
	}
	if w.takenUp(st) {
		w.newRevision(st, write)
	}
	if st.paused != w.paused {
		for _, c := range []*Change{w.Current(), w.Pending} {
			c.pause(st.paused, write)
		}
	}
}

// takenUp reports whether the controller has turned to another template, as
// the kinds state it: by a number, by name, or by the generation it has seen.
func (w *Workload) takenUp(st State) bool {
	switch w.Controller.Numbers {
	case numberedByAnnotation:
		if st.Revision != w.Revision {
			return true
		}
		// A template of before that is written again while it is paused has its number at once; and
		// the number of the one before may be what was written with it.
		return w.Pending != nil && (w.Pending.held && st.begun || st.claimed && st.letStand(w) && w.pendingTemplate.Hash != w.takenUpTemplate.Hash)
	case numberedByNamedRevision:
		return st.revisionName != "" && st.revisionName != w.revisionName
	default:
		return w.Pending != nil && st.observed >= w.Pending.generation
	}
}

// pause notes that an open rollout was paused or resumed.
func (c *Change) pause(paused bool, write evidence.Write) {
	if c == nil || c.Kind != attr.ChangeRollout || c.Ended {
		return
	}
	n := len(c.Pauses)
	switch {
	case paused && (n == 0 || c.Pauses[n-1].Until.Known()):
		c.Pauses = append(c.Pauses, pause{From: evidence.Arrived(write.Arrival)})
		if len(c.Pauses) > podlife.MaxTransitions {
			c.Pauses = slices.Delete(c.Pauses, 1, 2) // the first and the last say most
		}
	case !paused && n > 0 && !c.Pauses[n-1].Until.Known():
		c.Pauses[n-1].Until, c.Pauses[n-1].Resumed = evidence.Arrived(write.Arrival), write
	}
}

// writeTemplate notes a new pod template. The rollout it asks for begins
// here, but which revision that is, and whether there will be one at all, is
// known when the controller has taken it up.
func (w *Workload) writeTemplate(fields []metav1.ManagedFieldsEntry, st State, write evidence.Write, arrival time.Time) {
	if !w.Controller.rolls {
		return // it is for the pods that come next, whenever that is
	}
	if w.Pending != nil && w.Pending == w.Current() {
		// Not even the first revision exists yet: the rollout goes on with
		// another template.
		w.Pending.templateHash, w.Pending.ImagesAfter = st.template.Hash, st.template.Images
		w.Pending.runs = st.template.Runs
		w.pendingTemplate = st.template
		return
	}
	w.Pending = nil
	cur := w.Current()
	if cur != nil && cur.Kind == attr.ChangeRollout && !cur.Ended && cur.templateHash == st.template.Hash {
		return // written back before the controller saw it
	}
	c := w.rollout(fields, st, write, arrival)
	// What was written and never rolled out, as while it was paused, counts
	// for nothing.
	c.ImagesBefore, c.Changed = w.takenUpTemplate.Images, st.template.ChangedFrom(&w.takenUpTemplate)
	if kube.IsRestart(c.Changed) {
		c.Cause = attr.CauseRestart
	}
	if w.paused || st.paused {
		c.Pauses = append(c.Pauses, pause{From: c.Start})
	}
	w.Pending, w.pendingTemplate = c, st.template
}

// rollout is the change that a write of the spec asks for.
func (w *Workload) rollout(fields []metav1.ManagedFieldsEntry, st State, write evidence.Write, arrival time.Time) *Change {
	who := w.writer(fields, true)
	return w.Offer(&Change{
		Kind:         attr.ChangeRollout,
		Opened:       write,
		Start:        kube.WrittenAt(who, w.templateAt, arrival, write.Arrival),
		Partition:    st.partition,
		generation:   st.generation,
		Cause:        attr.CauseTemplate,
		Manager:      who.Manager,
		ImagesAfter:  st.template.Images,
		runs:         st.template.Runs,
		Wanted:       st.replicas,
		Before:       w.replicas,
		templateHash: st.template.Hash,
		staleFailure: w.lastFailedAt,
	})
}

// lowerPartition goes on with a rollout that was complete as far as the
// partition let it.
func (w *Workload) lowerPartition(fields []metav1.ManagedFieldsEntry, st State, write evidence.Write, arrival time.Time) {
	if cur := w.Current(); w.Pending != nil || cur != nil && cur.Kind == attr.ChangeRollout && !cur.Ended {
		return
	}
	c := w.rollout(fields, st, write, arrival)
	c.Start = evidence.Arrived(write.Arrival)
	if who := kube.WriterOf(fields, `"f:partition"`, w.Writers); !who.At.IsZero() {
		c.Manager, c.Start = who.Manager, evidence.InSecond(who.At, arrival)
	}
	c.Cause, c.RevisionName, c.Numbered = attr.CausePartition, st.revisionName, write
	c.samePartition = w.wasLowered(st.partition)
	w.supersede(c, write)
	w.Begin(c)
}

// wasLowered reports whether the revision has had a rollout with that partition
// already: it was raised in between.
func (w *Workload) wasLowered(partition int32) bool {
	for _, c := range slices.Backward(w.Changes) {
		if c.Kind != attr.ChangeRollout {
			continue
		}
		if c.Partition == partition {
			return true
		}
		if c.Cause != attr.CausePartition {
			break
		}
	}
	return false
}

// newRevision begins the pending rollout in earnest: from now on the one
// before it can not complete any more.
func (w *Workload) newRevision(st State, write evidence.Write) {
	if w.Controller.Numbers == numberedByAnnotation && w.renumber(st) {
		return
	}
	c, template := w.Pending, w.pendingTemplate
	w.Pending = nil
	if c == nil {
		template = st.template
		if cur := w.Current(); cur != nil && cur.Kind == attr.ChangeRollout && cur.Revision == 0 && cur.RevisionName == "" {
			c = cur // the first one
		}
	}
	if c == nil {
		// A new number for the same template, as after a restore; or the list that the watch began
		// with shows the template, and the number of the one before.
		c = w.Offer(&Change{
			Kind: attr.ChangeRollout, Opened: write, Start: evidence.Arrived(write.Arrival), generation: st.generation,
			Cause: attr.CauseTemplate, ImagesBefore: w.takenUpTemplate.Images, ImagesAfter: template.Images, runs: template.Runs, Partition: st.partition,
			Wanted: st.replicas, Before: w.replicas, templateHash: template.Hash, staleFailure: w.lastFailedAt,
		})
		switch cur := w.Current(); {
		case cur != nil && !cur.Ended && cur.Listed && cur.templateHash == template.Hash:
			c.Since = evidence.Earliest(cur.Since, cur.Start.Earliest)
		case !slices.ContainsFunc(w.Changes, func(c *Change) bool { return c.Kind == attr.ChangeRollout }):
			c.Since = evidence.Latest(w.created, w.templateAt) // it may be what the list shows, which was paused
		}
	}
	if w.Controller.Numbers == numberedByRevision && c != w.Current() && c.templateHash == w.takenUpTemplate.Hash {
		return // written back before the controller saw it
	}
	w.giveNumber(c, st.Revision)
	c.RevisionName, c.Numbered = st.revisionName, write
	w.takenUpTemplate = template
	if c == w.Current() {
		return
	}
	w.supersede(c, write)
	w.Begin(c)
}

// startedBy dates the change that the first state seen of a workload shows: by its
// creation if that is what it shows, else by the write of its template.
func (c *Change) startedBy(created time.Time, who kube.Written, first bool, arrival, seen time.Time) {
	switch {
	case first && !created.IsZero():
		c.Start = evidence.InSecond(created, arrival)
	case !who.At.IsZero():
		c.Cause, c.Start = attr.CauseTemplate, evidence.InSecond(who.At, arrival)
	default:
		c.Cause, c.Start = attr.CauseTemplate, evidence.Arrived(seen)
	}
}

// Progress notes what the status says of the current change.
func (w *Workload) Progress(fields []metav1.ManagedFieldsEntry, st State, write evidence.Write, arrival time.Time) {
	if !st.failedAt.IsZero() {
		w.lastFailedAt = st.failedAt
	}
	defer func() { w.lastAvailable = evidence.Latest(w.lastAvailable, st.availableAt) }()
	if st.Complete {
		w.endSuspected(attr.OutcomeComplete, w.completedAt(fields, st, arrival, write.Arrival), write)
	}
	c := w.Current()
	w.dropPending(c, st)
	if c == nil || !w.isAbout(c, st) {
		return
	}
	if !c.Ended {
		c.Ready = max(st.Available, 0)
		if w.Controller.CompleteWhenReady && c.Kind == attr.ChangeRollout {
			c.Ready = st.ready // it is complete by then
		}
	}
	c.noteRetry(st, write)
	switch {
	case c.Ended && c.outcome == attr.OutcomeFailed && !c.Recovered && st.Complete:
		c.Recovered, c.Recovery, c.RecoverySeen = true, w.completedAt(fields, st, arrival, write.Arrival), write.Arrival
	case c.Ended:
	case c.isDone(st):
		c.Finish(attr.OutcomeComplete, w.completedAt(fields, st, arrival, write.Arrival), write)
	case c.Kind == attr.ChangeRollout && !st.failedAt.IsZero() && !st.failedAt.Equal(c.staleFailure):
		c.Deadline, c.Failure = st.deadline, st.failure
		c.Finish(attr.OutcomeFailed, evidence.InSecond(st.failedAt, arrival), write)
	}
}

// dropPending drops the template that waits behind the current change c, if the controller has seen it and needs
// no new revision.
func (w *Workload) dropPending(c *Change, st State) {
	unmade := st.unmade() && w.pendingTemplate.Hash != w.takenUpTemplate.Hash
	if w.waits(c) && st.Complete && !st.paused && !unmade {
		w.Pending, w.takenUpTemplate = nil, w.pendingTemplate
	}
}

// noteRetry notes that a rollout which was given up is tried again.
func (c *Change) noteRetry(st State, write evidence.Write) {
	if c.Ended && c.Aborted() && st.failure.Reason == "" && c.RetriedBy == (evidence.Write{}) {
		c.RetriedBy = write
	}
}

// waits reports whether a template waits for its number while c is current.
func (w *Workload) waits(c *Change) bool { return w.Pending != nil && w.Pending != c }

// isAbout reports whether a status is about the current change c: not about a template
// that waits behind it, unless c is a scale of a paused workload, and not about another
// revision than its own. A number that is not the controller's says nothing of a status that has
// the template of the change.
func (w *Workload) isAbout(c *Change, st State) bool {
	if w.waits(c) && (c.Kind != attr.ChangeScale || !st.paused) {
		return false
	}
	otherNumber := w.Controller.Numbers == numberedByAnnotation && st.Revision != c.Revision && st.template.Hash != c.templateHash
	return c.Kind != attr.ChangeRollout || !otherNumber && st.revisionName == c.RevisionName
}

// isDone reports whether a status shows the change complete. A rollout is complete as
// kubectl has it, which does not look at replicas that a scale down is about to remove.
func (c *Change) isDone(st State) bool {
	return c.due == 0 && (c.Kind == attr.ChangeRollout && st.Complete || c.Kind == attr.ChangeScale && st.Scaled)
}

// completedAt dates the status that shows a change complete. The API gives a
// time where the reason became NewReplicaSetAvailable with it, else perhaps in
// managedFields.
func (w *Workload) completedAt(fields []metav1.ManagedFieldsEntry, st State, arrival, seen time.Time) evidence.Moment {
	if st.availableAt.After(w.lastAvailable) {
		return evidence.InSecond(st.availableAt, arrival)
	}
	if at := kube.StatusWritten(fields); !at.IsZero() {
		return evidence.InSecond(at, arrival)
	}
	return evidence.Arrived(seen)
}

// Vanish notes that the workload is no more.
func (w *Workload) Vanish(at evidence.Moment, write evidence.Write) {
	w.Gone = true
	w.Delete(at, write)
}

// Delete notes that the workload is to be deleted, which ends what was open and is a change.
func (w *Workload) Delete(at evidence.Moment, write evidence.Write) {
	if w.Deleted {
		return
	}
	w.Deleted = true
	if w.Pending != nil && w.Pending != w.Current() {
		// It never got a number; it would have been the next.
		if w.Controller.Numbers == numberedByAnnotation {
			w.giveNumber(w.Pending, w.Revision+1)
		}
		w.supersede(w.Pending, write)
		w.Begin(w.Pending)
	}
	w.Pending = nil
	w.endSuspected(attr.OutcomeDeleted, at, write)
	if cur := w.Current(); cur != nil && !cur.Ended {
		cur.Finish(attr.OutcomeDeleted, at, write)
	}
	w.Begin(w.Offer(&Change{
		Kind: attr.ChangeDelete, Opened: write, Start: at, Cause: attr.CauseDelete, Revision: w.Revision, Before: w.replicas,
	}))
}

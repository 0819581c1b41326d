package snapshots

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// setWrite is a state of a ReplicaSet to tell.
type setWrite struct {
	at       time.Time
	rank     rank
	replicas int32
	number   int64 // of its revision
	// guess says that no Event tells of it, and generation is counted: see numberWrites.
	guess      bool
	generation int64
}

// emitSet emits a ReplicaSet's past from listed on: the steps since from, and
// the revisions that it got. Where its last step is missing it is put at end.
func (snap *snapshot) emitSet(set *snapshotSet, d *snapshotDeployment, listed, from, end time.Time) {
	steps := slices.DeleteFunc(slices.Clone(set.steps), func(s *snapshotStep) bool { return s.at.Before(from) })
	number := int64(0)
	var writes []setWrite
	if isNew := !set.created.Before(listed) && !set.created.Before(from); isNew {
		if len(set.numbers) > 0 {
			number = set.numbers[0]
		}
	} else {
		steps = slices.DeleteFunc(steps, func(s *snapshotStep) bool { return s.creates })
		for _, n := range set.numbers {
			if r := d.revision(n); number == 0 || r == nil || r.began.Before(from) {
				number = n
			}
		}
		writes = append(writes, setWrite{at: listed, rank: rankListed, replicas: set.before(steps, d), number: number})
	}
	w := &setWriter{set: set, end: snap.end, rise: listed, listed: listed, since: evidence.Latest(listed, d.nextBegan(set))}
	if len(writes) > 0 {
		w.replicas, w.base = writes[0].replicas, writes[0].replicas
	}
	w.writes = writes
	for _, s := range steps {
		w.lost(s.before(w.replicas), s.at)
		w.said = s.event != nil
		w.write(set.stepTo(s, d), s.at)
	}
	w.lost(set.wanted(), evidence.Latest(end, w.last, set.lastRemoval()))
	for _, d := range append(w.doubts, set.doubtsOfCreation(d)...) {
		snap.doubt(set.UID, d)
	}
	writes = w.writes
	for _, n := range set.numbers {
		if r := d.revision(n); r != nil && n != number && !r.began.Before(from) {
			writes = append(writes, setWrite{at: r.began, rank: rankSet, replicas: workloads.UnknownReplicas, number: n})
		}
	}
	snap.emitWrites(set, writes)
}

// nextBegan is when the rollout began that came after the last of a ReplicaSet's; zero if none
// did, or nothing tells.
func (d *snapshotDeployment) nextBegan(set *snapshotSet) time.Time {
	if len(set.numbers) == 0 || set.wanted() > 0 || d.recreates() { // which empties it before
		return time.Time{}
	}
	for _, r := range d.revisions {
		if r.number > set.numbers[len(set.numbers)-1] {
			return r.began
		}
	}
	return time.Time{}
}

// doubtsOfCreation are of the step that the creation of a ReplicaSet was, as far as it is known by that
// alone. It may have been created without replicas, and have got them before the first of its
// pods was made. Pods that came after those of its rollout are not of the step, unless these
// came in the place of others.
func (set *snapshotSet) doubtsOfCreation(d *snapshotDeployment) []stream.Doubt {
	r := d.revisionOf(set)
	if r == nil || !slices.ContainsFunc(set.steps, func(s *snapshotStep) bool { return s.creates && s.event == nil }) {
		return nil
	}
	var doubts []stream.Doubt
	var ready, first time.Time
	made := d.madeFor(r)
	for _, pod := range made {
		ready = evidence.Latest(ready, pod.ready)
	}
	for i, pod := range set.pods {
		first = evidence.Earliest(first, pod.born)
		if i < int(d.wantedFirst()) && !slices.Contains(made, pod) {
			doubts = append(doubts, stream.Doubt{At: pod.ready, Earliest: evidence.Latest(ready, set.created), Latest: pod.ready, Of: stream.DoubtOfReady})
		}
	}
	if set.Generation > 1 && d.otherWrites() > 0 {
		latest := evidence.Earliest(first, r.completed)
		if i := slices.Index(d.revisions, r) + 1; i < len(d.revisions) {
			latest = evidence.Earliest(latest, d.revisions[i].began)
		}
		doubts = append(doubts, stream.Doubt{At: set.created, Earliest: set.created, Latest: latest, Of: stream.DoubtOfStep})
	}
	return doubts
}

// lastRemoval is just after the ReplicaSet deleted a pod for the last time, zero if it did not.
func (set *snapshotSet) lastRemoval() time.Time {
	var last time.Time
	for _, pod := range set.pods {
		if pod.removed {
			last = evidence.Latest(last, pod.asked.Add(1))
		}
	}
	return last
}

// setWriter writes down a ReplicaSet's steps, one after another.
type setWriter struct {
	set      *snapshotSet
	end      time.Time // of the snapshot
	writes   []setWrite
	replicas int32
	last     time.Time
	said     bool // an Event tells of the step that is written
	// rise is when the replicas began to grow to what they are, from base.
	rise time.Time
	base int32
	// due is how many pods the last step was to remove.
	due int32
	// listed is when the first of these states was, and doubts are of the steps of which
	// nothing tells but that they were made by a time.
	listed time.Time
	doubts []stream.Doubt
	// since is when the rollout began after those of the ReplicaSet, which is what empties it.
	since time.Time
}

func (w *setWriter) write(to int32, at time.Time) {
	w.put(to, at, rankSet)
}

func (w *setWriter) put(to int32, at time.Time, r rank) {
	// The first step that is known is the creation, which is a write even if it
	// asked for no replicas.
	if to == w.replicas && (len(w.writes) > 0 || r != rankSet) {
		return
	}
	if to < w.replicas || w.replicas == w.base {
		w.rise, w.base = at, min(to, w.replicas)
	}
	w.due = max(w.replicas-to, 0)
	if w.due > w.leftFrom(at) {
		// Nothing tells when the others were gone.
		w.doubts = append(w.doubts, stream.Doubt{At: at, Earliest: at, Latest: w.end, Of: stream.DoubtOfGone})
	}
	if to-w.replicas > w.bornFrom(at) {
		w.doubts = append(w.doubts, stream.Doubt{At: at, Earliest: at, Latest: w.end, Of: stream.DoubtOfReady})
	}
	w.writes = append(w.writes, setWrite{at: at, rank: r, replicas: to, guess: r == rankBefore || !w.said})
	w.replicas, w.last = to, at
}

// leftFrom is how many pods are known to have been asked to go at a time or later.
func (w *setWriter) leftFrom(at time.Time) (n int32) {
	for _, pod := range w.set.pods {
		if !pod.asked.IsZero() && !pod.asked.Before(at.Truncate(time.Second)) {
			n++
		}
	}
	return n
}

// bornFrom is how many pods are known to have been made at a time or later.
func (w *setWriter) bornFrom(at time.Time) (n int32) {
	for _, pod := range w.set.pods {
		if !pod.born.Before(at.Truncate(time.Second)) {
			n++
		}
	}
	return n
}

// lost writes the steps of which nothing tells but that there were more or fewer
// replicas by a time. Those up came before the pods that needed them, those down
// before the pods that the ReplicaSet deleted; and pods that it deleted although
// no fewer are left had been more than it was to have.
func (w *setWriter) lost(to int32, by time.Time) {
	if removed := w.removedBy(by); len(removed) > 0 {
		w.raise(int32(min(int64(to)+int64(len(removed)), math.MaxInt32)), removed[0])
		for to < w.replicas && len(removed) > 0 {
			at, n := removed[0], int32(0)
			for len(removed) > 0 && removed[0].Sub(at) < sameSync {
				removed, n = removed[1:], n+1
			}
			w.put(max(w.replicas-n, to), at, rankBefore)
		}
	}
	w.raise(to, by)
	if to != w.replicas {
		w.doubts = append(w.doubts, stream.Doubt{At: by, Earliest: evidence.Latest(w.last, w.since), Latest: by})
	}
	w.put(to, by, rankBefore)
}

// raise writes the steps up that the births of pods by a time prove.
func (w *setWriter) raise(to int32, by time.Time) {
	var born []time.Time
	for _, pod := range w.set.pods {
		if !pod.born.Before(w.rise) && pod.born.Before(by) {
			born = append(born, pod.born)
		}
	}
	for to > w.replicas {
		n := int(w.replicas - w.base)
		if n >= len(born) || !born[n].After(w.last) {
			return
		}
		// A pod that came later than its step was made in the place of another one.
		w.doubts = append(w.doubts, stream.Doubt{At: born[n], Earliest: evidence.Latest(w.last, w.listed), Latest: born[n], Of: stream.DoubtOfStep})
		w.put(w.replicas+1, born[n], rankBefore)
	}
}

// removedBy is when the ReplicaSet deleted pods by a time that no step so far
// was to remove.
func (w *setWriter) removedBy(by time.Time) []time.Time {
	var removed []time.Time
	for _, pod := range w.set.pods {
		if pod.removed && !pod.asked.Before(w.last) && pod.asked.Before(by) {
			removed = append(removed, pod.asked)
		}
	}
	slices.SortFunc(removed, time.Time.Compare)
	return removed[min(int(w.due), len(removed)):]
}

// before is how many replicas a ReplicaSet had before the first of its steps.
func (set *snapshotSet) before(steps []*snapshotStep, d *snapshotDeployment) int32 {
	switch {
	case len(steps) > 0 && steps[0].from != workloads.UnknownReplicas:
		return steps[0].from
	case len(steps) > 0 && steps[0].up:
		return 0
	case len(steps) > 0, d.base == set:
		return d.wantedFirst()
	default:
		return set.wanted()
	}
}

// before is how many replicas there were before a step, when as many as have
// been are known: an earlier step may be missing.
func (s *snapshotStep) before(have int32) int32 {
	switch {
	case s.from != workloads.UnknownReplicas:
		return s.from
	case s.up && s.to <= have && s.to != workloads.UnknownReplicas:
		return 0
	default:
		return have
	}
}

// stepTo is what a step led to. A ReplicaSet whose first step nobody tells of
// got what it has, or was meant to have.
func (set *snapshotSet) stepTo(s *snapshotStep, d *snapshotDeployment) int32 {
	if s.to != workloads.UnknownReplicas {
		return s.to
	}
	n := d.wantedFirst()
	if set.Generation == 1 && set.wanted() > 0 {
		return set.wanted() // its spec was never written again
	}
	if set == d.current() && len(d.scales) == 0 {
		n = set.wanted()
	}
	if s.creates {
		n = set.firstBatch(d, n)
	}
	return n
}

// firstBatch is how many of so many pods a ReplicaSet was created with: where all are known,
// those that were made at once. The others waited for one of these.
func (set *snapshotSet) firstBatch(d *snapshotDeployment, wanted int32) int32 {
	r := d.revisionOf(set)
	if r == nil {
		return wanted
	}
	made := d.madeFor(r)
	if int32(len(made)) != wanted { //nolint:gosec // no ReplicaSet has that many pods
		return wanted
	}
	var ready time.Time
	for i, pod := range made {
		if !ready.IsZero() && !pod.born.Before(ready) && pod.born.After(made[i-1].born.Add(time.Second)) {
			return int32(i) //nolint:gosec // as above
		}
		ready = evidence.Earliest(ready, pod.ready)
	}
	return wanted
}

// emitWrites emits the states of a ReplicaSet.
func (snap *snapshot) emitWrites(set *snapshotSet, writes []setWrite) {
	slices.SortStableFunc(writes, func(a, b setWrite) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.rank, b.rank))
	})
	writes = set.numberWrites(mergeWrites(writes))
	replicas, number := int32(0), int64(0)
	if len(set.numbers) > 0 {
		number = set.numbers[0]
	}
	for i, w := range writes {
		typ := watch.Modified
		if i == 0 {
			typ = watch.Added
		}
		if w.replicas != workloads.UnknownReplicas {
			replicas = w.replicas
		}
		number = cmp.Or(w.number, number)
		snap.emit(w.at, w.rank, typ, set.state(replicas, number, w.generation, i == len(writes)-1))
	}
}

// mergeWrites makes those of one instant one.
func mergeWrites(writes []setWrite) (merged []setWrite) {
	for _, w := range writes {
		if n := len(merged); n > 0 && merged[n-1].at.Equal(w.at) && merged[n-1].rank == w.rank {
			if w.replicas == workloads.UnknownReplicas {
				w.replicas, w.guess = merged[n-1].replicas, merged[n-1].guess
			}
			w.number = cmp.Or(w.number, merged[n-1].number)
			merged[n-1] = w
			continue
		}
		merged = append(merged, w)
	}
	return merged
}

// numberWrites gives each write its generation, of which the ID of its step is made. No object has
// more than the latest, and no Event has one. So they are counted: from the creation on, which has
// the first, and back from the latest. Each is right as far as Events tell of each write between.
//
// From the first guess to the last one neither is. Of a Deployment's steps within ten minutes that
// differ in their words the recorder writes nine Events, and one more that has the words of the last
// of all others (EventAggregator of client-go's events_cache.go); of more than 25 it writes one in
// five minutes (EventSourceObjectSpamFilter). Nothing else has from how many to how many these
// went, or how many they were: the pods that are left may be of one step each, or of one for all. So
// these are counted back, as if each were one, and have IDs that no step has, or that of the step
// which they are.
func (set *snapshotSet) numberWrites(writes []setWrite) []setWrite {
	steps, first, last, most := int64(0), len(writes), len(writes), int32(0)
	for i, before := 0, int32(0); i < len(writes); i++ {
		w := &writes[i]
		if w.replicas == workloads.UnknownReplicas {
			continue
		}
		if i > 0 {
			steps++
		}
		if w.guess {
			first, last = min(first, i), i
		}
		if w.guess && i > 0 {
			most = max(most, before-w.replicas, w.replicas-before)
		}
		before = w.replicas
	}
	created := writes[0].rank != rankListed
	if steps == set.Generation-2 && created && writes[0].replicas > 0 && most < 2 {
		// One write more than there are steps: it was created without replicas,
		// as it is while there are too many pods of others.
		writes = slices.Insert(writes, 0, setWrite{at: writes[0].at, rank: rankBefore, number: writes[0].number})
		steps, first, last = steps+1, first+1, last+1
	}
	generation := max(set.Generation-steps, 1)
	if created {
		generation = 1
	}
	for i := range writes {
		if w := &writes[i]; i > 0 && w.replicas != workloads.UnknownReplicas {
			steps--
			switch back := set.Generation - steps; {
			case created && i < first && first < len(writes):
				generation++
			case i > last:
				generation = max(back, 1)
			default:
				generation = max(generation+1, back)
			}
		}
		writes[i].generation = generation
	}
	return writes
}

// state is the ReplicaSet as it was with so many replicas, as a revision.
func (set *snapshotSet) state(replicas int32, number, generation int64, final bool) *appsv1.ReplicaSet {
	to := &appsv1.ReplicaSet{TypeMeta: set.TypeMeta, ObjectMeta: set.ObjectMeta, Spec: set.Spec}
	to.Generation = generation
	to.Spec.Replicas = &replicas
	if final {
		to.Status = set.Status
	}
	if number > 0 && to.Annotations != nil {
		to.Annotations = set.annotationsAs(number)
	}
	return to
}

// annotationsAs are the ReplicaSet's annotations as a revision. Of its history they
// have the revision before, which is all that is read of it.
func (set *snapshotSet) annotationsAs(number int64) map[string]string {
	if set.annotatedAs != number {
		before := ""
		if i, _ := slices.BinarySearch(set.numbers, number); i > 0 {
			before = strconv.FormatInt(set.numbers[i-1], 10)
		}
		set.annotatedAs, set.annotated = number, maps.Clone(set.Annotations)
		set.annotated[workloads.RevisionAnnotation], set.annotated[workloads.RevisionHistoryAnnotation] = strconv.FormatInt(number, 10), before
	}
	return set.annotated
}

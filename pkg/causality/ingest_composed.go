package causality

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// observeMetadata takes in the metadata of a workload that is put together, if the
// observation is of one.
func (e *Engine) observeMetadata(o Observation, k *workloads.Controller) bool {
	meta, ok := o.Object.(metav1.Object)
	if !ok || o.Inferred {
		return false // a snapshot has no history to put together
	}
	if kind, group := kube.TypeOf(o.Object); kind != k.Kind || group != k.IdentityGroup() {
		return false
	}
	id := k.ID(meta)
	w := e.workloads[id]
	if w == nil {
		if o.Type == watch.Deleted {
			return false // nothing is known that could have ended
		}
		w = &workloads.Workload{Object: e.track(id, meta.GetName()), Controller: k, Composition: &workloads.Composition{Parts: map[kube.ObjectID]*workloads.News{}}}
		e.workloads[id] = w
		e.claimSets(w)
	}
	w.Touched = o.Time
	w.Owned = kube.OwnerRefOf(meta)
	own := metav1.ObjectMeta{
		CreationTimestamp: meta.GetCreationTimestamp(),
		DeletionTimestamp: meta.GetDeletionTimestamp(),
		Generation:        meta.GetGeneration(),
		Annotations:       e.contextAnnotations(meta),
		ManagedFields:     k.SpecFields(meta.GetManagedFields()),
	}
	e.tell(w, workloads.News{Write: evidence.NewWrite(meta.GetResourceVersion(), o), O: o, Meta: own.DeepCopy()})
	e.touch(w)
	return true
}

// contextAnnotations are those of an object's annotations that are read.
func (e *Engine) contextAnnotations(meta metav1.Object) map[string]string {
	read := map[string]string{}
	for _, key := range e.opts.TraceContextKeys {
		if text, ok := meta.GetAnnotations()[key]; ok {
			read[key] = text
		}
	}
	return read
}

// tell has news wait. Of a workload of which more is written than can wait, the older half
// is taken in at once.
func (e *Engine) tell(w *workloads.Workload, n workloads.News) {
	w.AddNews(n)
	if k := w.Composition; len(k.News) > 2*workloads.MaxNews {
		half := len(k.News) / 2
		ripe, rest := slices.Clone(k.News[:half]), slices.Clone(k.News[half:])
		k.Leave(rest)
		e.takeInNews(w, ripe)
	}
}

// passToOwner has a ReplicaSet's workload know of its state, if that is put together.
func (e *Engine) passToOwner(set *workloads.PodSet, o Observation, in *appsv1.ReplicaSet) {
	if w := e.workloads[set.Owner]; w != nil && w.Composition != nil {
		e.tell(w, workloads.News{Write: evidence.NewWrite(in.ResourceVersion, o), O: o, Set: set.ObjectID, Part: set.ReadPart(o, in)})
	}
}

// tellLost has a workload that is put together know that a ReplicaSet is its own no more:
// it is gone, as a list that lacks it says, or another workload has it.
func (e *Engine) tellLost(owner, set kube.ObjectID, o Observation) {
	if w := e.workloads[owner]; w != nil && w.Composition != nil {
		e.tell(w, workloads.News{Write: evidence.Write{Arrival: o.Time}, O: o, Set: set})
		e.touch(w)
	}
}

// keepUnseen keeps what a ReplicaSet says of a workload that was not seen.
func (e *Engine) keepUnseen(owner kube.ObjectID, by *workloads.Controller, o Observation, in *appsv1.ReplicaSet) {
	id := workloads.ReplicaSetID(in)
	if e.unseenOf[id] != owner {
		e.forgetUnseen(id) // it was another's
	}
	u := e.unseen[owner]
	if u == nil {
		u = &workloads.Unseen{Sets: map[kube.ObjectID]*workloads.PodSet{}, News: map[kube.ObjectID][]workloads.News{}}
	}
	if o.Type == watch.Deleted {
		e.forgetUnseen(id)
		return
	}
	set := u.Sets[id]
	if set == nil {
		set = workloads.NewPodSet(e.track(id, in.Name))
		set.Owner = owner
		e.firstSeen(set, o, in)
		u.Sets[id] = set
		e.unseenOf[id] = owner
	}
	e.unseen[owner] = u
	set.By = by
	set.Observe(o, in)
	u.Expect(workloads.News{Write: evidence.NewWrite(in.ResourceVersion, o), O: o, Set: id, Part: set.ReadPart(o, in)}, o.Time.Add(-e.opts.Quiet))
}

// forgetUnseen drops what is known of a ReplicaSet whose workload was not seen.
func (e *Engine) forgetUnseen(id kube.ObjectID) {
	owner, known := e.unseenOf[id]
	if !known {
		return
	}
	delete(e.unseenOf, id)
	u := e.unseen[owner]
	if set := u.Sets[id]; set != nil {
		e.old.Earlier(set.Object, e.now)
	}
	delete(u.Sets, id)
	delete(u.News, id)
	if len(u.Sets) == 0 {
		delete(e.unseen, owner)
	}
}

// claimSets gives a workload the ReplicaSets that came before it. What was handed out of
// them as workloads of their own stays so.
func (e *Engine) claimSets(w *workloads.Workload) {
	u := e.unseen[w.ObjectID]
	if u == nil {
		return
	}
	delete(e.unseen, w.ObjectID)
	for id, set := range u.Sets {
		delete(e.unseenOf, id)
		if own := e.workloads[id]; own != nil {
			e.due.Remove(own)
			e.forgetWorkload(own)
		}
		if was := e.sets[id]; was != nil {
			e.releaseSet(was)
		}
		e.sets[id] = set
		set.Touched = evidence.Latest(set.Touched, e.now)
		set.Owner = kube.ObjectID{}
		e.adoptSet(set, w.ObjectID)
	}
	var emitted []workloads.News
	for _, news := range u.News {
		for i, n := range news {
			switch old := e.now.Sub(n.O.Time) > e.opts.Quiet; {
			case old && i == len(news)-1:
				// It is how things were found.
				n.O.Initial, n.Write.Version = true, 0
				emitted = append(emitted, n)
			case !old:
				emitted = append(emitted, n)
			}
		}
	}
	slices.SortFunc(emitted, func(a, b workloads.News) int {
		return cmp.Or(a.O.Time.Compare(b.O.Time), cmp.Compare(a.Write.Version, b.Write.Version), a.Set.Compare(b.Set))
	})
	for _, n := range emitted {
		w.AddNews(n)
	}
}

// takeNews takes in what has waited for the settle period, or all that there is where
// nothing more will come. It returns when to look again, zero if nothing waits.
func (e *Engine) takeNews(w *workloads.Workload, wanted extent) time.Time {
	k := w.Composition
	if k == nil || len(k.News) == 0 {
		return time.Time{}
	}
	until := e.now.Add(-e.opts.Settle)
	if wanted == whatSettled && until.Before(e.listed) {
		return e.listed.Add(e.opts.Settle) // the list is not through
	}
	var ripe []workloads.News
	var again time.Time
	rest := k.News[:0]
	for i, n := range k.News {
		if wanted != whatSettled || !n.O.Time.After(until) {
			if ripe == nil {
				ripe = make([]workloads.News, 0, len(k.News)-i)
			}
			ripe = append(ripe, n)
			continue
		}
		rest = append(rest, n)
		again = evidence.Earliest(again, n.O.Time.Add(e.opts.Settle))
	}
	clear(k.News[len(rest):])
	k.Leave(rest)
	e.takeInNews(w, ripe)
	return again
}

// takeInNews takes in news in the order of the writes, where lists come first: that of ReplicaSets after
// what was known by then of the workload itself, whose creation and writes date what they show.
func (e *Engine) takeInNews(w *workloads.Workload, ripe []workloads.News) {
	var listed time.Time // when the last ReplicaSet was
	for i := range ripe {
		if n := &ripe[i]; n.O.Initial && n.Meta == nil {
			listed = evidence.Latest(listed, n.O.Time)
		}
	}
	turn := func(n *workloads.News) int {
		switch {
		case n.Meta != nil && n.O.Initial:
			return 0
		case n.Meta != nil && !n.O.Time.After(listed):
			return 1
		case n.O.Initial:
			return 2
		default:
			return 3
		}
	}
	slices.SortStableFunc(ripe, func(a, b workloads.News) int {
		if first := cmp.Compare(turn(&a), turn(&b)); first != 0 {
			return first
		}
		if a.Write.Version != 0 && b.Write.Version != 0 {
			return cmp.Compare(a.Write.Version, b.Write.Version)
		}
		return a.O.Time.Compare(b.O.Time)
	})
	for i := range ripe {
		n := &ripe[i]
		if n.Meta != nil {
			e.takeMetadata(w, n)
			continue
		}
		w.TakePart(n)
		if n.Listed() && slices.ContainsFunc(ripe[i+1:], func(next workloads.News) bool { return next.Meta == nil && next.Listed() }) {
			continue // one state comes in several pieces
		}
		if !w.Deleted {
			e.work.Spend(1 + len(w.Composition.Parts))
			w.Recompose(n)
		}
	}
}

// takeMetadata takes in a state of the workload's own metadata.
func (e *Engine) takeMetadata(w *workloads.Workload, n *workloads.News) {
	if n.O.Type == watch.Deleted {
		w.Vanish(evidence.Arrived(n.O.Time), n.Write)
		return
	}
	if w.Deleted {
		return
	}
	k, fields := w.Composition, n.Meta.ManagedFields
	first := !k.Created.Known()
	e.observeContexts(w, n.Meta, n.Write, n.O.Initial || first && (n.O.Type != watch.Added || n.Meta.Generation > 1))
	if first {
		k.Created = evidence.InSecond(n.Meta.CreationTimestamp.Time, n.O.Arrival())
	}
	k.Generation = n.Meta.Generation
	workloads.RenewWritten(&k.Template, kube.Writer(fields, true, w.Writers), n.O)
	workloads.RenewWritten(&k.Replicas, kube.Writer(fields, false, w.Writers), n.O)
	w.Writers = kube.ReadWriters(fields)
	if at := n.Meta.DeletionTimestamp; !at.IsZero() {
		w.Delete(evidence.InSecond(at.Time, n.O.Arrival()), n.Write.Stated(at.Time, n.O))
	}
}

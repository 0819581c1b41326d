package workloads

import (
	"cmp"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// Of a custom resource that has ReplicaSets only the metadata is read, so its state is
// put together: the workload's own metadata says who wrote it and when, its ReplicaSets
// say how many pods of which template there are to be and are. These come in streams of
// their own, in any interleaving. So each piece of news waits for the settle period, and
// then they are taken in in the order of the writes.

// composer puts the state of a workload together.
type composer struct {
	// part reads what a ReplicaSet says of the workload, but for its template, as
	// partOfRollout does, and template reads that.
	part     func(in *appsv1.ReplicaSet) part
	template func(in *appsv1.ReplicaSet) kube.PodTemplate
	// state is the workload's, not ok if its ReplicaSets do not tell.
	state func(d *Workload, parts []part, last *News) (st State, ok bool)
}

// part is what one ReplicaSet says of its workload: that revision 4 is to have 3 of the 10
// pods that the workload wants, and has 2.
type part struct {
	revision             int64
	generation, observed int64
	replicas             int32 // wanted of the ReplicaSet
	total, available     int32
	minReady             time.Duration
	template             kube.PodTemplate
	// wanted is how many the workload is to have in all.
	wanted int32
	// leaving says that its pods are kept for a while and serve nobody.
	leaving bool
	// written is when it was last written, a whole second; zero if not stated.
	written time.Time
	// tried says that it has wanted pods for use since it has its revision.
	tried bool
}

// decidedLike reports whether the workload's controller wants the same of both.
func (p *part) decidedLike(other *part) bool {
	return p.revision == other.revision && p.replicas == other.replicas && p.leaving == other.leaving
}

// settled reports whether it has the pods that it wants.
func (p *part) settled() bool {
	return p.observed >= p.generation && p.total == p.replicas && p.available >= p.replicas
}

// MaxNews bounds what waits of one workload. A controller that works as fast as it can
// writes some hundred times in the settle period.
const MaxNews = 1024

// Composition is what is kept of a workload whose state is put together, such as an Argo
// Rollout.
type Composition struct {
	News  []News                  // what waits, in the order in which it came
	Parts map[kube.ObjectID]*News // the latest of each ReplicaSet that was taken in
	// first is the earliest of what waits.
	first firstWrite
	// stepped says that a ReplicaSet came or went, or is to be of another size or use,
	// since the state was put together: the controller has taken a step.
	stepped bool
	// wanted is how many pods the workload is to have by the part in which that changed last. Its controller writes
	// one part after the other. It is nil where the newest part says so.
	wanted *int32
	// Created dates the object's creation, Generation is the latest of it.
	Created    evidence.Moment
	Generation int64
	// Template and Replicas say who wrote the pod template, and spec.replicas, last.
	Template, Replicas kube.Written
	// dated is the write of the template that the latest rollout began with.
	dated kube.Written
}

// News is one observation of a workload's metadata, or of one of its ReplicaSets.
type News struct {
	Write evidence.Write
	O     stream.Observation // without its object
	// Meta is the workload's own; nil in news of a ReplicaSet.
	Meta *metav1.ObjectMeta
	Set  kube.ObjectID
	Part *part // nil if the ReplicaSet is gone
}

// Listed reports whether the news is of an object that was there before, so that others
// may follow which belong to the same state.
func (n *News) Listed() bool {
	return n.O.Initial || n.O.Type == watch.Added && n.Part != nil && n.Part.generation > 1
}

// Unseen is what is known of the ReplicaSets of a workload that was not seen itself, as
// it may not be read, or its stream comes later. They are workloads of their own until it
// is.
type Unseen struct {
	Sets map[kube.ObjectID]*PodSet
	News map[kube.ObjectID][]News // of each, in the order in which it came
}

// MaxUnseen bounds what is kept of what one of these ReplicaSets said lately.
const MaxUnseen = 64

// Expect keeps news of a ReplicaSet, and of what it said before only what came after a time.
func (u *Unseen) Expect(n News, after time.Time) {
	n.O.Object = nil
	kept := slices.DeleteFunc(u.News[n.Set], func(old News) bool { return old.O.Time.Before(after) })
	if len(kept) >= MaxUnseen {
		kept = slices.Delete(kept, 0, 1)
	}
	u.News[n.Set] = append(kept, n)
}

// SpecFields are the managedFields of those who write the workload, other than its
// controller, which is who numbers it.
func (k *Controller) SpecFields(fields []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var spec []metav1.ManagedFieldsEntry
	for i := range fields {
		if m := &fields[i]; m.Subresource != "status" && !kube.Owns(m, `"f:`+k.revisionAnnotation+`"`) {
			spec = append(spec, *m)
		}
	}
	return spec
}

// AddNews adds news to what waits.
func (w *Workload) AddNews(n News) {
	n.O.Object = nil
	w.Composition.News = append(w.Composition.News, n)
	w.Composition.first.include(n.Write)
}

// keptNews is for how much news room is kept when none waits: bursts are mostly shorter.
const keptNews = 32

// Leave keeps of what waits only rest.
func (k *Composition) Leave(rest []News) {
	if len(rest) == 0 && cap(rest) > keptNews {
		rest = nil
	}
	k.News, k.first = rest, firstWrite{}
	for i := range rest {
		k.first.include(rest[i].Write)
	}
}

// firstWrite is the first of some writes. Those that have no version, as they were listed,
// are ordered among the others by their arrival.
type firstWrite struct {
	version         uint64    // the lowest, 0 if none has one
	arrival, listed time.Time // the earliest of all, and of those without a version
}

func (f *firstWrite) include(write evidence.Write) {
	f.arrival = evidence.Earliest(f.arrival, write.Arrival)
	switch {
	case write.Version == 0:
		f.listed = evidence.Earliest(f.listed, write.Arrival)
	case f.version == 0 || write.Version < f.version:
		f.version = write.Version
	}
}

// by reports whether one of the writes was made by the time of another, or is that one.
func (f *firstWrite) by(write evidence.Write) bool {
	if write.Version == 0 {
		return !f.arrival.IsZero() && !write.Arrival.Before(f.arrival)
	}
	return f.version != 0 && f.version <= write.Version || !f.listed.IsZero() && !write.Arrival.Before(f.listed)
}

// ReadPart is what a ReplicaSet's state says, nil if it is gone.
func (set *PodSet) ReadPart(o stream.Observation, in *appsv1.ReplicaSet) *part {
	if o.Type == watch.Deleted {
		return nil
	}
	p := set.By.Compose.part(in)
	if set.template.Hash == (kube.TemplateHash{}) { // a ReplicaSet keeps it for good
		set.template = set.By.Compose.template(in)
	}
	for i := range in.ManagedFields {
		if at := in.ManagedFields[i].Time; at != nil {
			p.written = evidence.Latest(p.written, at.Time)
		}
	}
	p.revision, p.template, p.tried = set.Revision, set.template, set.Tried
	return &p
}

// Awaits reports whether news waits of a write, or of one before it: the change that the
// write belongs to may not be known yet.
func (w *Workload) Awaits(write evidence.Write) bool {
	return w.Composition != nil && w.Composition.first.by(write)
}

// RenewWritten notes who wrote last, if it was written since.
func RenewWritten(w *kube.Written, now kube.Written, o stream.Observation) {
	if now.At.After(w.At) || now.Gained > 0 && !now.At.Before(w.At) {
		*w = now
		w.Seen = o.Arrival()
	}
}

// TakePart takes in a state of a ReplicaSet. A list brings again what is known.
func (w *Workload) TakePart(n *News) {
	k := w.Composition
	last := k.Parts[n.Set]
	if last != nil && n.Write.Version != 0 && n.Write.Version < last.Write.Version {
		return
	}
	k.stepped = k.stepped || last == nil || n.Part == nil || !n.Part.decidedLike(last.Part)
	switch changed := last == nil || n.Part != nil && n.Part.wanted != last.Part.wanted; {
	case changed && (last == nil || n.O.Initial): // of what a list shows nothing tells which is newer
		k.wanted = nil
	case changed:
		k.wanted = new(n.Part.wanted)
	}
	switch {
	case n.Part == nil:
		delete(k.Parts, n.Set)
	case last == nil:
		kept := *n // and not all the news that came with it
		k.Parts[n.Set] = &kept
	default:
		*last = *n
	}
}

// wantedBy is how many pods the workload is to have, of which newest is the newest part.
func (k *Composition) wantedBy(newest *part) int32 {
	if k.wanted != nil {
		return *k.wanted
	}
	return newest.wanted
}

// Recompose puts the state together that a ReplicaSet's news led to, and compares it with
// the one before.
func (w *Workload) Recompose(n *News) {
	k := w.Composition
	latest := slices.SortedFunc(maps.Values(k.Parts), func(a, b *News) int {
		return cmp.Or(cmp.Compare(a.Part.revision, b.Part.revision), a.Set.Compare(b.Set))
	})
	parts := make([]part, 0, len(latest))
	for _, n := range latest {
		parts = append(parts, *n.Part)
	}
	st, ok := w.Controller.Compose.state(w, parts, n)
	if !ok || st.Revision < w.Revision && !w.startsOver(st, n) {
		return
	}
	stepped := k.stepped
	k.stepped = false
	st.generation, st.observed = k.Generation, k.Generation
	if n.Part != nil && (st.Complete || st.Scaled) {
		st.availableAt = n.Part.written
	}
	if !w.Seen {
		w.FirstState(&metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(k.Created.Earliest)}, st, n.Write, n.O)
		if c := w.Current(); c != nil && st.First && k.Created.Known() {
			c.Start = k.Created
		}
		w.failAborted(w.Current()) // what it is now, Progress notes
	} else {
		// A pod that is lost meanwhile, and made up for, does not end a pause.
		if !st.atRest && stepped || st.Revision != w.Revision {
			w.Current().wake(n.Write)
		}
		w.NextState(nil, st, n.Write, n.O.Arrival())
	}
	if !w.Seen || st.Revision != w.Revision {
		w.templateAt, k.dated = k.Template.At, k.Template
	}
	if !w.Seen || st.replicas != w.replicas {
		w.replicasAt = k.Replicas.At
	}
	w.Seen, w.State, w.Stated, w.highest = true, st, n.Write, max(w.highest, st.Revision)
	if st.atRest {
		w.Current().pause(true, n.Write)
		w.Current().noteListed()
	}
	w.Progress(nil, st, n.Write, n.O.Arrival())
}

// shortestRest is how long a controller may take for its next step; a rest that is
// shorter is no pause.
const shortestRest = time.Second

// noteListed notes of the first pause of a change that a list shows, which nobody states, that it may
// have begun before.
func (c *Change) noteListed() {
	if c != nil && c.Listed && len(c.Pauses) == 1 {
		c.Pauses[0].Listed = true
	}
}

// wake ends a pause that nobody states.
func (c *Change) wake(write evidence.Write) {
	if c == nil || len(c.Pauses) == 0 {
		return
	}
	last := len(c.Pauses) - 1
	if p := c.Pauses[last]; !p.Until.Known() && write.Arrival.Sub(p.From.At()) < shortestRest {
		c.Pauses = c.Pauses[:last]
		return
	}
	c.pause(false, write)
}

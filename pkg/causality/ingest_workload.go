package causality

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// observeJob opens a run when a Job is created or resumed, and ends it when the
// Job has succeeded, failed or was suspended.
func (e *Engine) observeJob(o Observation, k *workloads.Controller, in *batchv1.Job) *workloads.Workload {
	w := e.workload(o, k, in)
	if w == nil {
		return nil
	}
	write := evidence.NewWrite(in.ResourceVersion, o)
	if o.Type == watch.Deleted {
		w.Vanish(evidence.Arrived(o.Time), write)
		return w
	}
	if w.Deleted {
		return w
	}
	arrival := o.Arrival()
	if c := w.Current(); c != nil && !c.Ended {
		c.ObserveRun(in, write, arrival, o.Time)
	}
	// What a CronJob put on all of its Jobs was not meant for this one.
	e.observeContexts(w, in, write, o.Initial || !w.Seen && kube.IsBuiltIn(kube.ControllerRef(in), kube.KindCronJob))
	suspended := in.Spec.Suspend != nil && *in.Spec.Suspend
	done := workloads.FinishedJobCondition(in)
	created := evidence.InSecond(in.CreationTimestamp.Time, arrival)
	if in.CreationTimestamp.IsZero() {
		created = evidence.Arrived(o.Time)
	}
	if !w.Seen {
		w.ObserveCronJob(in, created)
	}
	switch {
	case done != nil:
		w.EndRun(in, done, write, arrival, o.Time)
	case suspended:
		w.Resumed = cmp.Or(workloads.JobResumedAt(in), w.Resumed)
		if c := w.Current(); c != nil && !c.Ended {
			at := evidence.Arrived(o.Time)
			if who := kube.WriterOf(in.ManagedFields, `"f:suspend"`, w.Writers); !who.At.IsZero() {
				at = evidence.InSecond(who.At, arrival)
			}
			c.Finish(attr.OutcomeSuspended, at, write)
		}
	default:
		w.OpenRun(in, write, o, created)
	}
	if w.CronJob != nil && o.Initial && w.ScheduledRun() == nil {
		w.CronJob.Ledger.PassOver() // the Job was over, or had to wait, before we came
	}
	w.Seen = true
	w.Writers = kube.ReadWriters(in.ManagedFields)
	if at := in.DeletionTimestamp; !at.IsZero() {
		w.Delete(evidence.InSecond(at.Time, arrival), write)
	}
	return w
}

// plan attributes pods to steps and steps to changes.
//
// A ReplicaSet creates and deletes pods to reach its spec.replicas. So the
// pods it creates, in order, fill the steps up that were decided before them;
// the ones it deletes fill the steps down. A deletion that fills no step was
// somebody else's, and the pod created to make up for it is a replacement. Of a
// workload that makes its pods itself there are no steps: what happens while a
// change is open is that change's.
func (e *Engine) plan(w *workloads.Workload) *plans.Plan {
	p := plans.New(w, e.setsOf[w.ObjectID])
	p.Around, p.Work, p.Issued = beyond{e}, &e.work, e.issued
	p.Joins, p.Owners, p.Scalers = e.joins(w.Namespace), e.ownersOf(w.Object), e.scalers[w.NameKey()]
	if w.CronJob != nil {
		p.Cron = e.objects[w.CronJob.ID]
	}
	p.Attribute(e.podsOf)
	return p
}

// observeReplicaSet returns the object whose workload has news.
func (e *Engine) observeReplicaSet(o Observation, k *workloads.Controller, in *appsv1.ReplicaSet) *workloads.PodSet {
	id := k.ID(in)
	set := e.sets[id]
	var owner kube.ObjectID
	ref := kube.ControllerRef(in)
	by := workloads.OwningController(ref)
	if by != nil && by.Pods == workloads.PodsMadeBySets {
		owner = kube.NewOwnerRef(ref).In(in.Namespace)
		if by.Compose != nil && e.workloads[owner] == nil {
			e.keepUnseen(owner, by, o, in)
			owner = kube.ObjectID{} // it is a workload of its own as long as that is not seen
		}
	}
	if owner.UID == "" && (set == nil || set.Direct() || set.Owner.UID == "") {
		// No Deployment has it. One that a Deployment let go of (kubectl
		// delete --cascade=orphan) stays with it until another takes it.
		e.observeWorkload(o, k, in, func(last *workloads.Workload) workloads.State {
			return workloads.ReadReplicaSet(in, o, last)
		})
		return e.sets[id]
	}
	if set == nil && o.Type == watch.Deleted {
		return nil // nothing is known that could have ended
	}
	if set == nil || set.Direct() {
		if set != nil {
			e.endAsWorkload(set, in, o)
		}
		set = e.podSet(e.track(id, in.Name))
		e.firstSeen(set, o, in)
	}
	set.Touched = o.Time
	set.Owned = kube.OwnerRefOf(in)
	if owner.UID != "" && owner != set.Owner {
		e.adoptSet(set, owner)
		set.By, set.ReleasedBy = by, evidence.Write{}
	}
	if ref.UID == "" && set.ReleasedBy == (evidence.Write{}) {
		set.ReleasedBy = evidence.NewWrite(in.ResourceVersion, o)
	}
	if o.Type == watch.Deleted {
		set.Gone = true
		set.DeletedBy = evidence.NewWrite(in.ResourceVersion, o)
	} else {
		set.Observe(o, in)
	}
	e.passToOwner(set, o, in)
	return set
}

// firstSeen begins the record of a ReplicaSet that is part of a workload.
func (e *Engine) firstSeen(set *workloads.PodSet, o Observation, in *appsv1.ReplicaSet) {
	arrival := o.Time
	if o.Initial || in.Generation > 1 {
		arrival = time.Time{}
	}
	set.Created = evidence.InSecond(in.CreationTimestamp.Time, arrival)
	if o.Initial {
		set.ListedContexts = e.contextsIn(in.Annotations)
	}
	set.Tried = in.Generation > 1
}

// numbered looks up the numbers of a StatefulSet's or DaemonSet's rollouts: the
// highest that was given by the time the controller took the rollout up. It is done
// whenever the workload or one of its ControllerRevisions, which are a stream of their
// own, has been observed, until the rollout is handed out. So whoever links to a
// rollout, of whose trace's ID the number is a part, finds it numbered. It returns the
// workload, which may be nil.
func (e *Engine) numbered(w *workloads.Workload) *workloads.Workload {
	if w == nil || !w.Controller.Numbers.ByControllerRevision() {
		return w
	}
	told := w.Forgotten
	for _, c := range w.Changes {
		if c.Kind == attr.ChangeDelete && !c.Ledger.Sent {
			c.Revision = told
		}
		if c.Kind != attr.ChangeRollout || c == w.Pending {
			continue
		}
		if !c.Ledger.Sent && c.Ledger.InProgress.IsZero() {
			n := e.numberOf(w, c)
			if n.Revision <= told && c.Cause != attr.CausePartition {
				// Numbers only grow: its own was not seen.
				n = workloads.RevisionNumber{}
			}
			c.Revision, c.RollbackTo = n.Revision, n.Before
		}
		told = max(told, c.Revision)
	}
	w.Revision = max(w.Revision, told)
	return w
}

// numberOf returns the number of a rollout; zero if there is none.
func (e *Engine) numberOf(w *workloads.Workload, c *workloads.Change) workloads.RevisionNumber {
	var found workloads.RevisionNumber
	e.work.Spend(plans.WorkPerLookup * len(e.revisions[w.ObjectID]))
	for _, r := range e.revisions[w.ObjectID] {
		if c.RevisionName != "" && c.RevisionName != r.Name {
			continue
		}
		for i, n := range r.Numbers {
			// A StatefulSet names none that is not there, however late its
			// news comes.
			there := i == 0 && c.RevisionName != "" || !c.Numbered.Before(n.Write)
			if there && n.Revision > found.Revision {
				found = n
			}
		}
	}
	return found
}

func (e *Engine) observeControllerRevision(o Observation, in *appsv1.ControllerRevision) *workloads.Workload {
	id := kube.BuiltIn(kube.KindControllerRevision, in)
	var owner kube.ObjectID
	ref := kube.ControllerRef(in)
	if k := workloads.OwningController(ref); k != nil && k.Numbers.ByControllerRevision() {
		owner = kube.NewOwnerRef(ref).In(in.Namespace)
	}
	if was := e.revisionOf[id]; was != owner {
		w := e.releaseRevision(id, o.Time)
		if owner.UID == "" {
			return w // orphaned; the workload that takes it in gives it a number
		}
	}
	if owner.UID == "" {
		return nil
	}
	if o.Type == watch.Deleted {
		return e.releaseRevision(id, o.Time)
	}
	e.revisionOf[id] = owner
	revisions := e.revisions[owner]
	r := revisions[in.UID]
	if r == nil {
		r = &workloads.ControllerRevision{Name: in.Name}
		if revisions == nil {
			revisions = map[types.UID]*workloads.ControllerRevision{}
			e.revisions[owner] = revisions
		}
		revisions[in.UID] = r
	}
	r.Deleted = time.Time{}
	write := evidence.NewWrite(in.ResourceVersion, o)
	if o.Initial {
		write = evidence.Write{Arrival: in.CreationTimestamp.Time}
	}
	var last int64
	if n := len(r.Numbers); n > 0 {
		last = r.Numbers[n-1].Revision
	}
	if in.Revision > last {
		r.Numbers = append(r.Numbers, workloads.RevisionNumber{Revision: in.Revision, Before: last, Write: write})
		if len(r.Numbers) > workloads.MaxNumbers {
			r.Numbers = r.Numbers[1:]
		}
	}
	return e.workloads[owner]
}

// releaseRevision notes that a ControllerRevision is its workload's no more, and returns
// that. The controller has dropped an old one; or it went with its workload, of which
// the last rollout may still have to be told.
func (e *Engine) releaseRevision(id kube.ObjectID, seen time.Time) *workloads.Workload {
	owner, known := e.revisionOf[id]
	if !known {
		return nil
	}
	delete(e.revisionOf, id)
	w, revisions := e.workloads[owner], e.revisions[owner]
	switch r := revisions[id.UID]; {
	case r == nil:
	case w != nil:
		r.Deleted = seen
	default:
		delete(revisions, id.UID)
		if len(revisions) == 0 {
			delete(e.revisions, owner)
		}
	}
	return w
}

// forgetRevisions drops the ControllerRevisions that have been gone for a while,
// once no rollout waits for its number.
func (r *reviewer) forgetRevisions(old func(seen time.Time) bool) {
	revisions := r.engine.revisions[r.plan.Workload.ObjectID]
	for uid, rev := range revisions {
		if !rev.Deleted.IsZero() && !r.numbersNeeded() && old(rev.Deleted) {
			delete(revisions, uid)
		}
	}
	if len(revisions) == 0 {
		delete(r.engine.revisions, r.plan.Workload.ObjectID)
	}
}

// numbersNeeded reports whether a rollout is not told yet.
func (r *reviewer) numbersNeeded() bool {
	return slices.ContainsFunc(r.plan.Workload.Changes, func(c *workloads.Change) bool { return c.Kind == attr.ChangeRollout && !c.Ledger.Sent })
}

// observeContexts reads the contexts of a workload's state. listed says that
// the values it did not have before may be of any age.
func (e *Engine) observeContexts(w *workloads.Workload, meta metav1.Object, write evidence.Write, listed bool) {
	w.Contexts.Offers = nil
	if e.opts.TraceContext == TraceContextIgnore {
		return
	}
	e.offerContexts(w, meta.GetAnnotations(), false, write, listed)
	if t := workloads.TemplateOf(meta); t != nil {
		e.offerContexts(w, t.Annotations, true, write, listed)
	}
}

// joins reports whether the workloads of a namespace may join their deployers' traces.
func (e *Engine) joins(namespace string) bool {
	allowed := e.opts.TraceContextNamespaces
	return e.opts.TraceContext == TraceContextParent && (len(allowed) == 0 || slices.Contains(allowed, namespace))
}

func (e *Engine) offerContexts(w *workloads.Workload, annotations map[string]string, template bool, write evidence.Write, listed bool) {
	for _, key := range e.opts.TraceContextKeys {
		text, ok := annotations[key]
		if !ok {
			continue
		}
		v := workloads.ContextValue{Text: text[:min(len(text), workloads.MaxContextText)], First: write, Listed: listed}
		i := slices.IndexFunc(w.Contexts.Values, func(have workloads.ContextValue) bool { return have.Text == v.Text })
		if i >= 0 {
			v = w.Contexts.Values[i]
			w.Contexts.Values = slices.Delete(w.Contexts.Values, i, i+1)
		} else {
			v.Text = strings.Clone(v.Text) // not with all that was cut off
			if v.Context = workloads.ParseContext(v.Text); !v.Context.IsValid() {
				e.stats.MalformedContexts++
			}
		}
		w.Contexts.Values = append(w.Contexts.Values, v)
		if len(w.Contexts.Values) > workloads.MaxContexts {
			w.Contexts.Values = slices.Delete(w.Contexts.Values, 0, 1)
		}
		if v.Context.IsValid() {
			w.Contexts.Offers = append(w.Contexts.Offers, workloads.Offer{ContextValue: v, Template: template})
		}
	}
}

// contextsIn are the contexts among annotations.
func (e *Engine) contextsIn(annotations map[string]string) (found []trace.SpanContext) {
	if e.opts.TraceContext == TraceContextIgnore {
		return nil
	}
	for _, key := range e.opts.TraceContextKeys {
		if sc := workloads.ParseContext(annotations[key]); sc.IsValid() {
			found = append(found, sc)
		}
	}
	return found
}

// workload returns the record of a workload, made if need be. Nil means that
// there is nothing to observe.
func (e *Engine) workload(o Observation, k *workloads.Controller, meta metav1.Object) *workloads.Workload {
	id := k.ID(meta)
	w := e.workloads[id]
	if w == nil {
		if o.Type == watch.Deleted {
			return nil // nothing is known that could have ended
		}
		w = &workloads.Workload{Object: e.track(id, meta.GetName()), Controller: k}
		e.workloads[id] = w
		if w.Direct() {
			set := e.podSet(w.Object)
			if set.Owner != id {
				e.adoptSet(set, id)
			}
		}
	}
	w.Touched = o.Time
	w.Owned = kube.OwnerRefOf(meta)
	return w
}

// observeWorkload takes in a state of a workload that has revisions or
// replicas. read reduces it; last is the state before.
func (e *Engine) observeWorkload(o Observation, k *workloads.Controller, meta metav1.Object, read func(last *workloads.Workload) workloads.State) *workloads.Workload {
	w := e.workload(o, k, meta)
	if w == nil {
		return nil
	}
	w.Inferred = o.Inferred
	write := evidence.NewWrite(meta.GetResourceVersion(), o)
	if o.Type == watch.Deleted {
		w.Vanish(evidence.Arrived(o.Time), write)
		return w
	}
	if w.Deleted {
		return w // in the foreground; its pods tell the rest
	}
	fields := meta.GetManagedFields()
	arrival := o.Arrival()
	state := read(w)
	e.observeContexts(w, meta, write, o.Initial || !w.Seen && !state.IsNew && !state.First)
	if !w.Seen {
		w.FirstState(meta, state, write, o)
	} else {
		w.NextState(fields, state, write, arrival)
	}
	w.Keep(fields, state)
	w.Stated = write
	w.Progress(fields, state, write, arrival)
	if w.Direct() {
		e.sets[w.ObjectID].ObserveAvailable(state.Available, o.Time)
	}
	if at := meta.GetDeletionTimestamp(); !at.IsZero() {
		// Foreground deletion: no grace period for workloads.
		w.Delete(evidence.InSecond(at.Time, arrival), write)
	}
	return w
}

package causality

import (
	"cmp"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
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
		w.Vanish(e.goneBy(w, o, write))
		return w
	}
	if w.Deleted {
		return w
	}
	in = e.datedWorkload(o, w).Object.(*batchv1.Job)
	w.Runs = kube.ServiceOf(in.Spec.Template.Labels, in.Spec.Template.Annotations)
	arrival := o.Arrival()
	if c := w.Current(); c != nil && !c.Ended {
		c.ObserveRun(in, write, arrival, o.Time)
	}
	// What a CronJob put on all of its Jobs was not meant for this one.
	e.observeContexts(w, in, write, o.Initial || !w.Seen && kube.IsBuiltIn(kube.ControllerRef(in), kube.KindCronJob))
	suspended := ptr.Deref(in.Spec.Suspend, false)
	done := workloads.FinishedJobCondition(in)
	w.ObserveSuspended(suspended, done != nil)
	created := evidence.InSecond(in.CreationTimestamp.Time, arrival)
	if in.CreationTimestamp.IsZero() {
		created = evidence.Arrived(o.Time)
	}
	if !w.Seen {
		w.ObserveCronJob(in, created)
	}
	switch {
	case done != nil:
		w.OpenMissed(in, write, o, created)
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
		w.Delete(evidence.InSecond(at.Time, arrival), write.Stated(at.Time, o))
	}
	return w
}

package causality

import (
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// plan attributes pods to steps and steps to changes.
//
// A ReplicaSet creates and deletes pods to reach its spec.replicas. So the
// pods it creates, in order, fill the steps up that were decided before them;
// the ones it deletes fill the steps down. A deletion that fills no step was
// somebody else's, and the pod created to make up for it is a replacement. Of a
// workload that makes its pods itself there are no steps: what happens while a
// change is open is that change's.
func (e *Engine) plan(w *workloads.Workload) *plans.Plan {
	p := e.newPlan(w)
	p.Attribute(e.podsOf)
	return p
}

// newPlan is a plan of a workload before any pod is attributed.
func (e *Engine) newPlan(w *workloads.Workload) *plans.Plan {
	p := plans.New(w, e.setsOf[w.ObjectID])
	p.Around, p.Work, p.Issued, p.Quiet = beyond{e}, &e.work, e.issued, e.opts.Quiet
	p.Joins, p.Owners, p.Scalers = e.joins(w.Namespace), e.ownersOf(w.Object), e.scalers[w.NameKey()]
	if w.CronJob != nil {
		p.Cron = e.objects[w.CronJob.ID]
	}
	if pod := e.pods[w.ObjectID]; pod != nil {
		p.ChangedFrom = e.changedFrom(pod)
	}
	return p
}

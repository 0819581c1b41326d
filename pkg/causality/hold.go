package causality

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/preview"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Preview returns what is still to be handed out as it is known now: see package preview. It
// changes nothing of what is handed out later.
func (e *Engine) Preview() []spans.Trace {
	v, budget, worked := preview.New(e.now, e.issued, e.events), e.budget, e.worked
	e.budget = min(budget, preview.Work)
	for _, w := range slices.SortedFunc(maps.Keys(e.open), func(a, b *workloads.Workload) int { return a.Compare(b.ObjectID) }) {
		_ = e.guard(func() { v.Add(e.plan(w)) }) // what fails has no preview
		e.budget = max(e.work.Left, 0)
	}
	e.budget, e.worked, e.plans = budget, worked, nil
	return v.End()
}

// About is what is known of objects, in as much work as Preview may take; it changes nothing.
func (e *Engine) About(refs []Ref) []Known {
	known, budget, worked, around := make([]Known, len(refs)), e.budget, e.worked, e.around(e.plan)
	for i, ref := range refs {
		if e.budget = min(budget, preview.Work-(e.worked-worked)); e.budget > 0 {
			id := e.resolve(kube.ObjectID{Kind: ref.Kind, Namespace: ref.Namespace, UID: ref.UID}, ref.Name)
			_ = e.guard(func() { known[i] = around.About(e.objects[id], e.now) })
		}
	}
	e.budget, e.worked, e.plans = budget, worked, nil
	return known
}

// Hold has time pass without consequences until Release: observations are taken in, and
// nothing is handed out. It is for who looks again at a cluster after nobody has for a
// while, and is told at once of all that happened meanwhile: what had ended before waits
// for what is still to be told of it, as it would have if somebody had looked.
func (e *Engine) Hold() { e.held = true }

// Release ends Hold. What is due is handed out by the next call that moves time.
func (e *Engine) Release() { e.held = false }

// Unsettled are the UIDs of the workloads and other objects of which something is still
// to be handed out, or may be without further news. Of all others an engine that begins
// with a list of what is there knows as much as this one.
func (e *Engine) Unsettled() []types.UID {
	unsettled := map[types.UID]bool{}
	for _, w := range e.due.All() {
		unsettled[w.UID] = true
	}
	for id, w := range e.workloads {
		for i, c := range w.Changes {
			// A rollout that has failed may recover, while nothing has come after it.
			mayRecover := i == len(w.Changes)-1 && c.CutsPods() && !c.Ledger.RecoverySent
			if !c.Ledger.Sent || mayRecover {
				unsettled[id.UID] = true
			}
		}
	}
	for id, pod := range e.pods {
		started, over := pod.StartResolved()
		if pod.Leaving() || pod.Gone.Known() || !over || e.now.Before(started.Add(e.settle())) {
			unsettled[id.UID] = true
		}
	}
	for _, obj := range e.unsettled.All() {
		unsettled[obj.UID] = true
	}
	for _, obj := range e.orphans.All() {
		unsettled[obj.UID] = true
	}
	for id, n := range e.nodes.ByID {
		for _, d := range n.Disruptions {
			if !d.Ledger.Sent {
				unsettled[id.UID] = true
			}
		}
	}
	uids := make([]types.UID, 0, len(unsettled))
	for uid := range unsettled {
		if uid != "" {
			uids = append(uids, uid)
		}
	}
	return uids
}

package causality

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// extent is how much of what the engine knows is handed out.
type extent int

const (
	// whatSettled: what is over, and has waited for what comes late.
	whatSettled extent = iota
	// whatIsOver: what is over, at once. Nothing more will be observed, and
	// another engine tells of what is open.
	whatIsOver
	// everything: what is open, too. Nobody else will tell of it.
	everything
)

// Close ends the stream of an engine whose work another one goes on with, which
// begins with a list of what is there: it returns what is over but has not
// settled. Its late Events and slow stops are forgone, since to the other engine
// it is old news. What is open is not returned: the other one finds it again and
// gives it the same IDs, and no span may be told twice with different content.
// Stats say how many changes that are. The engine must not be used afterwards.
func (e *Engine) Close() []spans.Trace {
	// What is not handed out yet and has ended is due, or it would never be told.
	out := e.reviewDue(whatIsOver)
	out = append(out, e.disruptions(whatIsOver)...)
	return e.withRecords(e.handOut(append(out, e.activities(whatIsOver)...)), whatIsOver)
}

// foundAgain reports whether an engine that begins now with a list of what is there
// will tell of a change itself: it is still open. What has ended is settled to it,
// but for what is being deleted, until that is gone.
func (r *reviewer) foundAgain(c *workloads.Change) bool {
	switch {
	case c.Kind == attr.ChangeDelete:
		// Nothing is left to find once the workload is gone, but it is not over, and
		// nobody knows when it will be.
		return !r.isGone() || r.podsLeft()
	case !c.Over():
		return true
	default:
		return c.Outcome() == attr.OutcomeDeleted && !r.isGone()
	}
}

// mayHaveOwner reports whether a change of a ReplicaSet may yet be part of another one: it
// names a workload that was not seen, and the news of that may be on its way.
func (r *reviewer) mayHaveOwner(c *workloads.Change) bool {
	e := r.engine
	_, waits := e.unseenOf[r.plan.Workload.ObjectID]
	return waits && e.now.Before(c.Opened.Arrival.Add(e.opts.Settle))
}

func (r *reviewer) isGone() bool {
	return r.plan.Workload.Gone || r.plan.Workload.Controller.Pods == workloads.PodItself && !r.podsLeft()
}

// podsLeft reports whether there are pods that go with the workload.
func (r *reviewer) podsLeft() bool {
	return slices.ContainsFunc(r.plan.Pods, func(pod *podlife.Pod) bool { return !pod.Gone.Known() && !pod.Released() })
}

// settledEvents are the Events that no change which began lately can have: those that came
// within the settle period may be of one that is not known yet.
func (e *Engine) settledEvents(events []*podlife.Event) []*podlife.Event {
	return slices.DeleteFunc(events, func(ev *podlife.Event) bool { return e.now.Before(ev.FirstArrival().Add(e.settle())) })
}

package causality

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/records"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
)

// dropRepeated takes out of a trace what has the ID of a span that was handed out. Without
// its root a trace is what comes later. No log record names what was taken out.
func (e *Engine) dropRepeated(t *spans.Trace) {
	root := t.Root().SpanID
	t.Spans = slices.DeleteFunc(t.Spans, func(s spans.Span) bool {
		again := !e.handed.Add(s.TraceID, s.SpanID)
		if again {
			e.stats.Repeated++
			e.records.Repeated(s.TraceID, s.SpanID)
		}
		return again
	})
	t.Late = t.Late || len(t.Spans) > 0 && t.Root().SpanID != root
}

// handOut orders what is finished as people would tell it.
func (e *Engine) handOut(out []spans.Trace) []spans.Trace {
	slices.SortStableFunc(out, func(a, b spans.Trace) int {
		return a.Root().Start.Compare(b.Root().Start)
	})
	for i := range out {
		e.dropRepeated(&out[i])
	}
	out = slices.DeleteFunc(out, func(t spans.Trace) bool { return len(t.Spans) == 0 })
	for i := range out {
		if root := out[i].Root(); !out[i].Late && !root.ParentID.IsValid() {
			e.issued.Add(root.TraceID) // of its own, and no deployer's
		}
		e.stats.Traces++
		e.stats.Spans += int64(len(out[i].Spans))
	}
	return out
}

// around is what is known of what Events are about.
func (e *Engine) around(planOf func(*workloads.Workload) *plans.Plan) records.Around {
	return records.Around{
		Pods: e.pods, Sets: e.sets, Nodes: e.nodes.ByID, Claims: e.claims,
		WorkloadOf: e.workloadOf, Above: e.workloadAbove, PlanOf: planOf, Patience: e.opts.Settle,
	}
}

// describe is what describes an object, and the service that it is part of.
func (e *Engine) describe(obj *podlife.Object) ([]attribute.KeyValue, *spans.App) {
	around := e.around(nil)
	return around.Describe(obj)
}

// withRecords appends the log records whose time has come to what is handed out.
func (e *Engine) withRecords(out []spans.Trace, wanted extent) []spans.Trace {
	all := wanted != whatSettled
	if !all && !e.records.Ready(e.now, e.settle()) {
		return out
	}
	around := e.around(e.planOfAll)
	for {
		f := e.guard(func() { e.records.Take(e.now, e.settle(), all, around, &out) })
		if f == nil {
			return out
		}
		id, name := e.records.GiveUp(around, &out)
		e.contain(f, "record", id, name)
	}
}

package records

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Ref names an object of Kubernetes' own kinds. UID may be empty.
type Ref struct {
	Kind, Namespace, Name string
	UID                   types.UID
}

// Known is what is known of an object, for who is to be told of it now. The zero value is nothing.
type Known struct {
	// Workload is what made the object, or the object itself; the zero Ref where there is none.
	Workload Ref
	// Node is the node that a pod is on; empty where that is not known.
	Node string
	// Resource describes the object, as that of spans about it does.
	Resource []attribute.KeyValue
	// TraceID and SpanID are the root of the change that is open about the object: of a pod that
	// is starting the one that made it, of a workload its own. They are zero where that is not
	// certain.
	TraceID trace.TraceID
	SpanID  trace.SpanID
}

// About is what is known of an object; nothing of nil.
func (a *Around) About(obj *podlife.Object, now time.Time) (k Known) {
	if obj == nil {
		return k
	}
	of, r := a.subject(obj), spans.Record{}
	of.describe(&r, &podlife.Event{Object: obj})
	k.Resource = r.Resource
	if of.pod != nil {
		k.Node = of.pod.Node
	}
	w := of.workload
	if w == nil {
		return k
	}
	k.Workload = Ref{w.Kind, w.Namespace, w.Name, w.UID}
	c := w.Current()
	if c == nil || c.Over() || c.Ledger.Sent || now.Before(c.Opened.Arrival.Add(a.Patience)) {
		return k
	}
	look := lookout{now: now, patience: a.Patience, around: *a, aheads: map[any]*build.Ahead{}}
	p := a.PlanOf(w)
	switch {
	case p == nil:
		return k
	case of.pod != nil && !a.startsWith(p, of.pod, c, now):
		return k
	case of.claim != nil, of.scaler && c.Cause != attr.CauseAutoscale:
		return k
	}
	if ahead := look.of(p, c); ahead != nil {
		k.TraceID, k.SpanID = ahead.Root().TraceID, ahead.Root().SpanID
	}
	return k
}

// startsWith reports whether it is certain that a pod which is starting was made by a change.
func (a *Around) startsWith(p *plans.Plan, pod *podlife.Pod, c *workloads.Change, now time.Time) bool {
	start := p.Starts[pod]
	if _, started := pod.FirstReady(); started || start.Change != c || start.Lost != nil {
		return false
	}
	return !pod.Initial && !pod.Lost() && !pod.Ledger.StartSent && !now.Before(pod.FirstSeen.Arrival.Add(a.Patience))
}

package build

import (
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// addAutoscaler says which autoscaler asked for the scale, and why. What it said
// is a span event of the root: it has no trace of its own to link to.
func (b *changeBuilder) addAutoscaler() {
	if b.change.Cause != attr.CauseAutoscale {
		return
	}
	r, ok := b.plan.RescaleTo(b.change.Wanted, b.start)
	if !ok {
		return
	}
	b.root.Attributes = append(b.root.Attributes,
		attr.AutoscaleReasonKey.String(r.Reason),
		semconv.K8SHPAName(r.By.Name), semconv.K8SHPAUID(string(r.By.UID)))
	if ev := r.Event.Untold(); ev != nil && r.At.Equal(ev.First()) && !r.At.After(b.end) {
		attach(b.root, ev, b.end)
	}
}

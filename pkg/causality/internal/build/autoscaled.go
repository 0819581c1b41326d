package build

import (
	"strconv"
	"strings"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// rescale is what a HorizontalPodAutoscaler said of replicas that it asked for.
type rescale struct {
	by     *podlife.Object
	event  *podlife.Event
	at     time.Time
	reason string
}

// rescaleTo finds what an autoscaler said when it asked for a number of
// replicas: it does so right after the write. Of several the nearest counts.
func rescaleTo(p *plans.Plan, replicas int32, at time.Time) (best rescale, found bool) {
	away := evidence.ArrivalSlack
	size := "New size: " + strconv.Itoa(int(replicas))
	for _, hpa := range p.Scalers {
		p.Work.Spend(1 + len(hpa.Events))
		for _, ev := range hpa.Events {
			if ev.Reason != "SuccessfulRescale" {
				continue
			}
			p.Work.Spend(workPerRescale * len(ev.Occurrences))
			for _, o := range ev.Occurrences {
				reason, ok := rescaleReason(o.Message, size)
				if far := o.At.Sub(at).Abs(); ok && far <= away {
					if found && (far == away && hpa.UID >= best.by.UID) {
						continue
					}
					best, away, found = rescale{hpa, ev, o.At, reason}, far, true
				}
			}
		}
	}
	return best, found
}

// rescaleReason reads "New size: 3; reason: cpu resource utilization
// (percentage of request) above target"
// (k8s.io/kubernetes/pkg/controller/podautoscaler/horizontal.go).
func rescaleReason(message, size string) (string, bool) {
	before, reason, ok := strings.Cut(message, "; reason: ")
	return reason, ok && strings.HasSuffix(before, size)
}

// workPerRescale is what it takes to read such a message.
const workPerRescale = 4

// addAutoscaler says which autoscaler asked for the scale, and why. What it said
// is a span event of the root: it has no trace of its own to link to.
func (b *changeBuilder) addAutoscaler() {
	if b.change.Cause != attr.CauseAutoscale {
		return
	}
	r, ok := rescaleTo(b.plan, b.change.Wanted, b.start)
	if !ok {
		return
	}
	b.root.Attributes = append(b.root.Attributes,
		attr.AutoscaleReasonKey.String(r.reason),
		semconv.K8SHPAName(r.by.Name), semconv.K8SHPAUID(string(r.by.UID)))
	if ev := r.event.Untold(); ev != nil && r.at.Equal(ev.First()) && !r.at.After(b.end) {
		attach(b.root, ev, b.end)
	}
}

package causality

import (
	"slices"
	"strconv"
	"strings"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// asAutoscaler reports whether the HPA controller wrote the replicas: it
// goes through the subresource, as part of the controller manager.
func (w written) asAutoscaler() bool {
	return w.subresource == "scale" && w.manager == "kube-controller-manager"
}

// aim notes what an object is for.
func (e *Engine) aim(obj *object, target nameKey) {
	if obj.target == target {
		return
	}
	if old := obj.target; old != (nameKey{}) {
		left := slices.DeleteFunc(e.scalers[old], func(o *object) bool { return o == obj })
		if len(left) == 0 {
			delete(e.scalers, old)
		} else {
			e.scalers[old] = left
		}
	}
	obj.target = target
	if target != (nameKey{}) {
		e.scalers[target] = append(e.scalers[target], obj)
	}
}

// rescale is what a HorizontalPodAutoscaler said of replicas that it asked for.
type rescale struct {
	by     *object
	event  *event
	at     time.Time
	reason string
}

// rescaleTo finds what an autoscaler said when it asked for a number of
// replicas: it does so right after the write. Of several the nearest counts.
func (p *plan) rescaleTo(replicas int32, at time.Time) (best rescale, found bool) {
	away := arrivalSlack
	size := "New size: " + strconv.Itoa(int(replicas))
	for _, hpa := range p.scalers {
		p.work.spend(1 + len(hpa.events))
		for _, ev := range hpa.events {
			if ev.reason != "SuccessfulRescale" {
				continue
			}
			p.work.spend(rescaleSteps * len(ev.occurrences))
			for _, o := range ev.occurrences {
				reason, ok := rescaleReason(o.message, size)
				if far := o.at.Sub(at).Abs(); ok && far <= away {
					if found && (far == away && hpa.uid >= best.by.uid) {
						continue
					}
					best, away, found = rescale{hpa, ev, o.at, reason}, far, true
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

// rescaleSteps is what it takes to read such a message.
const rescaleSteps = 4

// addAutoscaler says which autoscaler asked for the scale, and why. What it said
// is a span event of the root: it has no trace of its own to link to.
func (b *changeBuilder) addAutoscaler() {
	if b.change.cause != attr.CauseAutoscale {
		return
	}
	r, ok := b.rescaleTo(b.change.wanted, b.start)
	if !ok {
		return
	}
	b.root.Attributes = append(b.root.Attributes,
		attr.AutoscaleReasonKey.String(r.reason),
		semconv.K8SHPAName(r.by.name), semconv.K8SHPAUID(string(r.by.uid)))
	if r.at.Equal(r.event.first()) && !r.at.After(b.end) {
		attach(b.root, r.event, b.end)
	}
}

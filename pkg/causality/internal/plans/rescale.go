package plans

import (
	"strconv"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// Rescale is what a HorizontalPodAutoscaler said of replicas that it asked for.
type Rescale struct {
	By     *podlife.Object
	Event  *podlife.Event
	At     time.Time
	Reason string
}

// RescaleTo finds what an autoscaler said when it asked for a number of
// replicas: it does so right after the write. Of several the nearest counts.
func (p *Plan) RescaleTo(replicas int32, at time.Time) (best Rescale, found bool) {
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
					if found && (far == away && hpa.UID >= best.By.UID) {
						continue
					}
					best, away, found = Rescale{hpa, ev, o.At, reason}, far, true
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

package build

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// stopSidecars adds the time that it took to stop the sidecars of a pod that is to end. The
// kubelet does so when the containers that they serve have ended, the last one first
// (k8s.io/kubernetes/pkg/kubelet/kuberuntime: terminationOrdering).
func (sb *startBuilder) stopSidecars(tl podlife.Timeline) {
	var turn time.Time
	for i := range tl.Containers {
		if line := &tl.Containers[i]; !line.Init {
			turn = evidence.Latest(turn, line.End)
		}
	}
	if turn.IsZero() || sb.cutBy != "" {
		return
	}
	for i := range slices.Backward(tl.Containers) {
		container := tl.Containers[i].Container
		r := sb.pod.StoppedSidecar(container)
		if r == nil {
			continue
		}
		end := evidence.Earliest(evidence.Latest(r.Finished.At(), turn), sb.end)
		s := sb.add(SpanSpec{
			Kind: kind.StopContainer, id: []string{container.Name}, Subject: sb.pod.Subject() + " container/" + container.Name,
			Start: turn, End: end, Attrs: slices.Concat(container.Attributes(), containerStopAttributes(container), r.Attributes()),
		})
		if r.Reason == podlife.OOMKilled {
			fail(s, evidence.Failure{Reason: r.Reason, Message: r.Exit()})
		}
		sb.containers[container.Name] = append(sb.containers[container.Name], s)
		turn = evidence.Latest(turn, s.End)
	}
}

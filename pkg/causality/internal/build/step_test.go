package build

import (
	"slices"
	"testing"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// TestMadeUpForLooksAtEachPodOnce asks it of pods that came one for the other, in either order. The work
// suffices for one look at each.
func TestMadeUpForLooksAtEachPodOnce(t *testing.T) {
	const n, wasReady = 1000, 300
	for _, backwards := range []bool{false, true} {
		p := &plans.Plan{Starts: map[*podlife.Pod]plans.Attribution{}}
		for i := range n {
			pod := &podlife.Pod{}
			if i > 0 {
				p.Starts[pod] = plans.Attribution{Lost: p.Pods[i-1]}
			}
			if i == wasReady {
				pod.Ready = slices.Grow(pod.Ready, 1)[:1]
				pod.Ready[0].Status = true
			}
			p.Pods = append(p.Pods, pod)
		}
		b := &changeBuilder{builder: builder{work: &evidence.Work{Left: n}}, plan: p}
		for i := range n {
			if backwards {
				i = n - 1 - i
			}
			if got, want := b.madeUpFor(p.Pods[i]), i > wasReady; got != want {
				t.Fatalf("backwards %v: pod %d: %v, want %v", backwards, i, got, want)
			}
		}
	}
}

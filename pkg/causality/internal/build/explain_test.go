package build

import (
	"testing"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// TestCommonestFailure counts failures together whose messages differ by what is each pod's own.
func TestCommonestFailure(t *testing.T) {
	probe := func(address string) evidence.Failure {
		return evidence.Failure{Reason: "Unhealthy", Message: "Readiness probe failed: dial tcp " + address + ": connection refused"}
	}
	exit := func(message string) evidence.Failure {
		return evidence.Failure{Reason: "CrashLoopBackOff", Message: message}
	}
	in := func(f evidence.Failure, container string) evidence.Failure {
		f.Container = container
		return f
	}
	noNode := evidence.Failure{Reason: "FailedScheduling", Message: "0/3 nodes are available"}
	for name, tt := range map[string]struct {
		count map[evidence.Failure]int
		want  evidence.Failure
		n     int
	}{
		"none":              {},
		"own addresses":     {map[evidence.Failure]int{probe("10.0.0.2"): 1, probe("10.0.0.1"): 1, probe("10.0.0.3"): 1}, probe("10.0.0.1"), 3},
		"commonest message": {map[evidence.Failure]int{probe("10.0.0.2"): 2, probe("10.0.0.1"): 1}, probe("10.0.0.2"), 3},
		"the most have it":  {map[evidence.Failure]int{noNode: 2, probe("10.0.0.2"): 1, probe("10.0.0.1"): 1, probe("10.0.0.3"): 1}, probe("10.0.0.1"), 3},
		"exit codes":        {map[evidence.Failure]int{exit("exit code 2"): 2, exit("exit code 1"): 1, exit("OOMKilled, exit code 137"): 1}, exit("exit code 2"), 2},
		"containers":        {map[evidence.Failure]int{in(probe("10.0.0.2"), "side"): 1, in(probe("10.0.0.1"), "side"): 1, in(probe("10.0.0.3"), "app"): 1}, in(probe("10.0.0.1"), "side"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got, n := commonest(tt.count); got != tt.want || n != tt.n {
				t.Errorf("%d: %+v, want %d: %+v", n, got, tt.n, tt.want)
			}
		})
	}
}

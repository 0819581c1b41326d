package attr

import (
	"iter"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// Phase is what a piece of a critical path counts as, spelled as attributes and the label
// phase of metrics have it: "pull_image".
type Phase string

// The phases. docs/traces.md says what each comprises.
const (
	PhaseController     Phase = "controller" // it was free to act
	PhaseUnknown        Phase = "unknown"    // nothing proves what was waited for
	PhaseCreatePod      Phase = "create_pod" // from the decision that there be pods to the pod
	PhasePaused         Phase = "paused"
	PhaseSchedule       Phase = "schedule"
	PhasePrepareSandbox Phase = "prepare_sandbox"
	PhaseVolumes        Phase = "volumes"
	PhaseInitContainer  Phase = "init_container"
	PhasePullImage      Phase = "pull_image"
	PhaseStartContainer Phase = "start_container"
	PhaseRunContainer   Phase = "run_container"
	PhaseBackOff        Phase = "back_off"
	PhaseBecomeReady    Phase = "become_ready"
	PhaseMinReadyWait   Phase = "min_ready_wait"
	PhasePodStop        Phase = "pod_stop"
	PhaseStopContainer  Phase = "stop_container"
	PhaseStatusLatency  Phase = "status_latency"  // from what the kubelet saw to its report in the API
	PhaseDeleteWait     Phase = "delete_wait"     // until somebody deletes a pod (strategy OnDelete)
	PhaseOldPodWait     Phase = "old_pod_wait"    // for an old pod that does not get ready, or stops
	PhaseNodeDisruption Phase = "node_disruption" // the pod's node was not what it needs
)

const criticalPath = "rollspan.critical_path."

// Key is the attribute that has the sum of the phase, in seconds:
// rollspan.critical_path.pull_image.
func (p Phase) Key() attribute.Key { return attribute.Key(criticalPath) + attribute.Key(p) }

// String is the phase in words: "pull image".
func (p Phase) String() string { return strings.ReplaceAll(string(p), "_", " ") }

// PhaseOf is the phase that a key has the sum of; ok is false for other keys.
func PhaseOf(key attribute.Key) (p Phase, ok bool) {
	name, ok := strings.CutPrefix(string(key), criticalPath)
	if !ok || key == CriticalPathSegmentsKey {
		return "", false
	}
	return Phase(name), true
}

// PhasesOf are the phases that the attributes of a root have the sums of, in seconds.
func PhasesOf(root []attribute.KeyValue) iter.Seq2[Phase, float64] {
	return func(yield func(Phase, float64) bool) {
		for _, kv := range root {
			p, ok := PhaseOf(kv.Key)
			if ok && kv.Value.Type() == attribute.FLOAT64 && !yield(p, kv.Value.AsFloat64()) {
				return
			}
		}
	}
}

const leftOut = "rollspan.left_out."

// LeftOutKey is the attribute that has a statistic of how long pods that were left out of a
// trace took for the phase: rollspan.left_out.pull_image.p95.
func (p Phase) LeftOutKey(s Statistic) attribute.Key {
	return attribute.Key(leftOut + string(p) + "." + string(s))
}

// Statistic is what is said of many durations, as attributes have it.
type Statistic string

// The statistics. All but the first are in seconds.
const (
	statisticCount Statistic = "count" // of pods that took any time
	statisticTotal Statistic = "total"
	statisticP50   Statistic = "p50"
	statisticP95   Statistic = "p95"
	statisticMax   Statistic = "max"
)

// Statistics of durations, in seconds, which are sorted: how many they are, what they add up
// to, their median, their 95th percentile (both by nearest rank), and the longest.
func (p Phase) Statistics(sorted []float64) []attribute.KeyValue {
	total := 0.0
	for _, d := range sorted {
		total += d
	}
	rank := func(percent int) float64 { return sorted[max((len(sorted)*percent+99)/100-1, 0)] }
	return []attribute.KeyValue{
		p.LeftOutKey(statisticCount).Int(len(sorted)),
		p.LeftOutKey(statisticTotal).Float64(total),
		p.LeftOutKey(statisticP50).Float64(rank(50)),
		p.LeftOutKey(statisticP95).Float64(rank(95)),
		p.LeftOutKey(statisticMax).Float64(sorted[len(sorted)-1]),
	}
}

// LeftOutOf is the phase that a key has a statistic of; ok is false for other keys.
func LeftOutOf(key attribute.Key) (p Phase, s Statistic, ok bool) {
	name, ok := strings.CutPrefix(string(key), leftOut)
	phase, statistic, dot := strings.Cut(name, ".")
	if !ok || !dot {
		return "", "", false
	}
	return Phase(phase), Statistic(statistic), true
}

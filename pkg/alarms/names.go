package alarms

import (
	"maps"
	"slices"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// The names of alarms that are raised by something else than an Event.
const (
	NodeNotReady       = "RollspanNodeNotReady"
	NodeNotSchedulable = "RollspanNodeNotSchedulable"
	NodeProblem        = "RollspanNodeProblem"
	RolloutFailed      = "RollspanRolloutFailed"
	RolloutTooLong     = "RollspanRolloutTooLong"
	RolloutSlow        = "RollspanRolloutSlow"
	CrashLoop          = "RollspanCrashLoop"
)

// eventAlarm is an alarm that Events raise.
type eventAlarm struct {
	name     string
	severity Severity
	kind     string
	reasons  []string
	// lacks is the resource that pods lack which cannot be scheduled.
	lacks string
	// from is how often the Event must have happened to one object within Quiet.
	from int
}

// eventAlarms are those of eventarbiter (README.md of github.com/andyxning/eventarbiter), but
// for those that are states: the kubelet says Rebooted and SystemOOM, kernel-monitor of
// node-problem-detector OOMKilling and TaskHung (config/kernel-monitor.json).
var eventAlarms = []eventAlarm{
	{name: "RollspanNodeSystemOOM", severity: Warning, kind: "Node", reasons: []string{"SystemOOM"}},
	{name: "RollspanNodeRebooted", severity: Warning, kind: "Node", reasons: []string{"Rebooted"}},
	{name: "RollspanNodeOOMKilling", severity: Warning, kind: "Node", reasons: []string{"OOMKilling"}},
	{name: "RollspanNodeTaskHung", severity: Warning, kind: "Node", reasons: []string{"TaskHung"}},
	{name: "RollspanPodBackOff", severity: Warning, kind: "Pod", reasons: []string{"BackOff"}},
	{name: "RollspanPodFailed", severity: Warning, kind: "Pod", reasons: []string{"Failed"}},
	// What was FailedSync has its own reason for a pod's sandbox since Kubernetes 1.8.
	{name: "RollspanPodFailedSync", severity: Warning, kind: "Pod", reasons: []string{"FailedSync", "FailedCreatePodSandBox"}},
	{name: "RollspanPodInsufficientCPU", severity: Warning, kind: "Pod", reasons: []string{failedScheduling}, lacks: "cpu"},
	{name: "RollspanPodInsufficientMemory", severity: Warning, kind: "Pod", reasons: []string{failedScheduling}, lacks: "memory"},
	// A pod that starts fails its readiness probe some times.
	{name: "RollspanPodUnhealthy", severity: Warning, kind: "Pod", reasons: []string{"Unhealthy"}, from: 10},
}

// severities are those of the alarms that are raised by something else.
var severities = map[string]Severity{
	NodeNotReady: Critical, NodeNotSchedulable: Warning, NodeProblem: Warning,
	RolloutFailed: Critical, RolloutTooLong: Warning, RolloutSlow: Warning, CrashLoop: Critical,
}

// Names are those of all alarms, with their severities.
func Names() map[string]Severity {
	all := maps.Clone(severities)
	for _, a := range eventAlarms {
		all[a.name] = a.severity
	}
	return all
}

// Reasons are those of the Events that raise alarms.
func Reasons() (all []string) {
	for _, a := range eventAlarms {
		all = append(all, a.reasons...)
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// ofNode is the alarm that a disruption raises, by the attribute rollspan.cause.
func ofNode(cause string) string {
	switch cause {
	case attr.CauseNotReady, attr.CauseUnreachable:
		return NodeNotReady
	case attr.CauseCordoned:
		return NodeNotSchedulable
	case attr.CauseRebooted:
		return "" // the kubelet has an Event for it
	default:
		return NodeProblem
	}
}

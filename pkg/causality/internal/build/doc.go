// Package build derives spans from a plan and the records it was made of.
//
// Each kind of trace has a function: ChangeTrace for a rollout, a scale, a deletion or a Job's
// run, ReplacementTrace for a pod that was lost, RestartTrace, DisruptionTrace,
// ActivityTrace, and the functions in late.go for what comes after its trace was handed out. A
// builder makes the spans of one trace, and what it hands out it notes in ledgers. It changes
// no fact. What happened after the end of a span does not count for it, so that it does not
// matter how late it is built.
//
// The package may know everything that the engine has recorded and planned. It knows neither
// the engine nor the time: whoever calls it says what is over, and where to cut what is not.
//
// Begin with ChangeTrace in change.go, which lists what a rollout's trace is made of. Then read
// step.go, pod_start.go and pod_stop.go, and criticalpath_change.go for what it waited for.
package build

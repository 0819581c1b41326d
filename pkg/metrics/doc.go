// Package metrics shows Prometheus what traces are too many to show: how long
// changes take, what of that each phase takes, and why changes fail. Exemplars
// lead from there to single traces.
//
// It reads finished spans and nothing else, so that metrics and traces cannot
// disagree, and an engine that is replayed need not know of it. What is counted
// is counted when the engine hands it out, whether a collector is there or not:
// an alert about a failed rollout must not depend on the tracing backend. An
// exemplar is added when the collector has acknowledged the root span, as one
// that leads nowhere is worse than none.
//
// The number of series is bounded whatever the cluster does; see family. The
// metrics are listed in docs/metrics.md.
package metrics

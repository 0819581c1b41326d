// Package causality turns what a watcher saw of a cluster into finished
// traces: it knows what caused what, and nothing of clocks, clients or
// goroutines.
//
// An Engine is a deterministic state machine. Its caller feeds it
// observations in the order they arrive (Observe), tells it that time passes
// (Advance), and sends what both hand back. That makes everything it knows
// testable from recordings, and makes a live run and its replay agree.
//
// # How it works
//
// Observations only add facts to small records of Deployments, ReplicaSets,
// Pods, Nodes and Events (deployment.go, replicaset.go, pod.go, node.go,
// event.go). Each record is a function of its own object's stream, whose order
// can be relied on. Streams of different kinds arrive in any interleaving, so no
// record looks at another one while observations come in.
//
// A change (change.go) opens and ends by facts of one Deployment alone. When
// one has ended and has been quiet for the settle period, the engine looks at
// all records of that Deployment together: plan.go says which step created or
// removed which pod and to which change that belongs, and the build files
// derive the spans. Building from facts, and late, is what makes the result
// independent of the order of arrival.
//
// # Time
//
// Most of the API states whole seconds, rounded down; some Events carry
// nanoseconds; the arrival of a watch event is an upper bound. A moment
// (moment.go) keeps what is known as bounds, and build code narrows causes by
// their effects. The order of writes follows resource versions where they
// compare (stamp).
package causality

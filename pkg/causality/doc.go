// Package causality turns what a watcher saw of a cluster into finished traces. It knows
// what caused what, and nothing of clocks, clients or goroutines.
//
// An Engine is a deterministic state machine. Its caller feeds it observations in the order
// in which they arrive (Observe), tells it that time passes (Advance), and sends what both
// hand back. So whatever it concludes can be tested with a recording, and a live run and its
// replay agree.
//
// # For who embeds it
//
// This package is Engine, Options, Stats and Fault. Package stream has the Observation that
// an Engine is fed with, and package snapshots makes a stream of observations from a dump of
// a cluster. What comes out is of package spans. The packages below internal are the
// engine's own and may change with any version. Nothing here needs gRPC, or a client of the
// API server. Example feeds an Engine by hand.
//
// # How it works
//
// An observation only adds facts to a record: of a pod, a workload, a node, an Event (the
// files ingest_*.go, and packages podlife, workloads and nodes). A record is a function of
// its own object's stream, whose order can be relied on. Streams of different kinds arrive in
// any interleaving, so nothing is concluded from two records while observations come in. What
// belongs together is filed together, as a pod with the ReplicaSet that controls it
// (adoption.go).
//
// A change is opened and ended by facts of one workload alone. When one has ended and has been
// quiet for the settle period, the engine reviews the workload (review.go): it makes a plan
// (package plans), which says which step created or removed each pod and to which change that
// belongs, and hands out the spans that package build derives from plan and records. What was
// handed out is noted in ledgers (package ledger). Neither a plan nor a builder changes a
// fact. Building from facts, and late, is what makes the result independent of the order of
// arrival.
//
// # Where to begin
//
// Read Engine.Observe and Engine.Advance in engine.go, then review.go. docs/architecture.md
// has a diagram of the packages, and an order in which to read them.
package causality

// Package snapshots makes a stream of observations from one snapshot of a cluster, such as
// a support bundle.
//
// A snapshot has the last state of each object and no history. But objects and Events prove
// some of what led there: a ReplicaSet keeps the number of its revision, a pod the times of
// its conditions, an Event how often it happened. Reconstruct puts in order what is proven and
// leaves out the rest. An Engine takes its observations like any others and builds the same
// traces; nothing else knows of snapshots.
//
// The package reads objects with what packages kube, podlife and workloads know of the API. It
// may not use the engine's records of what was observed, its plans or its builders.
//
// Begin with Reconstruct in reconstruct.go, then read how the past of a Deployment follows
// from its ReplicaSets: deployment.go, revision.go and replicaset.go. docs/dumps.md says what is
// proven, and by what.
package snapshots

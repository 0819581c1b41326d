// Package workloads has the records of what has pods made: workloads, the changes that they
// go through, and the ReplicaSets with the steps in which these are scaled.
//
// A kind of workload is one value, a Controller, in one file: deployment.go, statefulset.go,
// rollout.go and so on. The value says how the controller numbers rollouts, makes and replaces
// pods, and what it waits for, and it reads the kind's objects into a State. All else asks the
// Controller, and never which kind it is. A new kind is a new file and a row in Controllers.
//
// A change is opened and ended by facts of its workload alone: state_changes.go compares each
// State with the one before. The package knows no Node, and not which pod belongs to which
// change: that is for package plans to find.
//
// Begin with controller.go, then deployment.go as an example. Then read workload.go, change.go,
// state_changes.go and replicaset.go. composition.go is for custom resources, of which only the
// metadata is read.
package workloads

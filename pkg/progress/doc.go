// Package progress says how the rollout of one workload goes: what it waits for now, how long the
// one before took, and how it has ended. It is told what is in a namespace, and what happens
// there from then on; it has no clock, client or goroutine, so every claim about it is a test on a
// recording.
//
// When a rollout has ended is decided as kubectl rollout status decides it, by the object itself
// (rule.go). What it waited for, and why it failed, is the engine's word: its trace is the one that
// a running rollspan sends. What a rollout can no longer recover from by itself is in doom.go.
//
// Begin with tracker.go.
package progress

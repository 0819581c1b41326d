// Package watcher is where a cluster comes in: it turns what a Kubernetes API
// server (or a recording of one) says into causality.Observations, each with
// the time it arrived.
//
// There are two ways in, and they meet in the same engine:
//
//   - Live watches a cluster. Per kind there is one client-go Reflector whose
//     store keeps identities only (objectStore, eventStore). Kinds that are not
//     known beforehand, but own what is watched, get one when they are first
//     seen (owners). All feed one bounded queue, and one goroutine hands what
//     comes out of it to the engine. Run wraps a Live into a controller-runtime
//     manager, which gives leader election, health probes and metrics.
//   - RecordingReader reads recordings: watch events as JSON lines. Recorder
//     writes them, through the same reflectors and stores.
//
// Nothing here decides what an observation means; that is package causality.
package watcher

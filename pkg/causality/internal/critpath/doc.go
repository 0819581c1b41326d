// Package critpath finds the critical path of a trace: what a change waited for at each time,
// from its end back to its beginning.
//
// A Path walks the finished spans of one trace. Within a pod it goes by what its parts were:
// of these it takes the one that ended last, and before that the one that had ended when that
// began. What a controller waited for between pods only package build knows, which takes the
// path from one pod to the next. The pieces tile the change, so that their times add up to its
// duration.
//
// The package knows spans, their kinds and their phases, and nothing of Kubernetes. Begin with
// Path.Descend in path.go.
package critpath

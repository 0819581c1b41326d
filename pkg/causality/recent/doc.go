// Package recent finds in the objects and Events of one moment what of them something has
// happened to of late.
//
// A process that begins where another one stopped has only what there is now, and that is a whole
// cluster. To reconstruct the past of all of it would take too much memory, and most of it did
// nothing in between. So an Activity takes in each object once, keeps a few numbers of it, and says
// afterwards which objects are worth the reconstruction, which is package snapshots'.
//
// The package compares states of objects with times, by what packages kube and workloads know of
// the API. It may not know how the past is reconstructed, and nothing of the engine.
//
// Begin with Activity in activity.go: Note takes in the objects, Close ends that, and Active is
// asked of each again.
package recent

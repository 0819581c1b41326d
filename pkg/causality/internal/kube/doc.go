// Package kube reads objects of the Kubernetes API: who an object is (objectid.go) and who
// owns it (ownerref.go), who wrote it (template.go, by the managedFields), what of a pod
// template has changed (changed.go), which times it states (stated_times.go, newest_time.go), and
// how long a text may be (text.go).
//
// Its functions are pure and keep nothing. It knows the API and no record of the engine.
// Whatever follows from one state of one object alone belongs here. Begin with objectid.go:
// every record is found by an ObjectID.
package kube

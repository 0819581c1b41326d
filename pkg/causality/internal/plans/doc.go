// Package plans works out what the pods of a workload did it for: which step of which change
// created or removed each, which pod was lost, and which one replaced it.
//
// A Plan is made anew from the records whenever it is needed, so that it does not depend on
// the order in which these filled up. It changes no record: planning twice, or planning
// another workload, changes nothing. The one thing that it notes is where the trace of a change
// is, when that is asked for the first time (place.go), as all links to the change have to
// agree.
//
// The package knows one workload's records. What lies beyond the workload, such as the pod
// that another one had to make room for, it asks the engine for (Surroundings). It builds no
// span.
//
// Begin with Plan.Attribute in plan.go, which lists the passes. attributeStops and
// attributeStarts are the heart; passes.go has the special cases, and dating.go says when
// steps and changes began.
package plans

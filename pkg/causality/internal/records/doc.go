// Package records makes log records of Kubernetes Events: one for each time at which an Event
// happened, within seconds, and not when what the Event is part of is over.
//
// A record names the trace and the span that have the Event, or will have it. Where the span was
// handed out already, the Event's ledger says which it is. Where it is still to come, package build
// looks ahead: it builds, of what is known by then, what the trace will have of the Event's object.
// That is right as soon as nothing can come any more that belongs before the Event, so a record
// waits for as long as late observations are waited for, but no longer than MaxDelay. Where it is
// not certain, a record names nothing: to be led to the wrong trace is worse than to none. The law
// is in laws_records_test.go.
//
// What is looked at for one record is bounded: all records that are due at a time share one plan of
// each workload, and records are due at most once a second.
//
// Begin with records.go, then ahead.go.
package records

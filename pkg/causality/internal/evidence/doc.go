// Package evidence has what the engine reasons with: times that are known within bounds, and
// the order of writes.
//
// Most of the API states whole seconds, rounded down. Some Events carry nanoseconds. The
// arrival of a watch event is an upper bound of what it tells. So a Moment keeps what is known
// as bounds, and an effect narrows its cause: a container that had started at 10:02:07.1 was
// created before that, though its pod's status only says 10:02:07. A Write orders what was
// written to the API by resource version where both sides have one, and else by arrival.
//
// The package also bounds what may be kept (Reasons, Trimmed) and what may be spent (Work).
// It knows no object of Kubernetes. Begin with moment.go.
package evidence

// Package history keeps the changes that were told, so that they can be looked at later: on the
// embedded page, and by `rollspan history --server`.
//
// Begin reading in history.go: a Store takes the traces that the engine hands out, and a Reader
// answers what was told, newest first, together with what is in progress. Spans that come after
// their change was told are joined to it. Summary is what is known of a change without its spans,
// and Overview what happened at the same time.
//
// The package knows spans and their encoding. It knows neither how they came about nor who shows
// them.
package history

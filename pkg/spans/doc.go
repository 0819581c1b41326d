// Package spans is the span model of rollspan and everything that happens to
// a span after the causality engine has finished it: its stable IDs, its
// OTLP form.
//
// The engine (package causality) imports the model only. Nothing here knows
// how a span came about.
package spans

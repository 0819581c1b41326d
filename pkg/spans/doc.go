// Package spans is the span model of rollspan: what the causality engine hands out,
// with IDs that are the same in every run.
//
// Whoever embeds the engine gets this package with it. So it depends on nothing that
// encodes, prints or sends spans: packages text (below this one), otlp and otlp/export
// do. Nothing here knows how a span came about.
package spans

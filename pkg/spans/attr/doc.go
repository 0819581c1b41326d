// Package attr is the table of the names that rollspan gives things in its spans: the
// keys of attributes, the words that some of them have for values, the phases of critical
// paths and the services that do the work. The engine writes them, metrics and texts read
// them, and a test holds docs/traces.md to them. So each is spelled here, and nowhere else.
//
// A key that OpenTelemetry's semantic conventions have is taken from there.
package attr

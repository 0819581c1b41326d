// Package export delivers spans to an OTLP collector, at least once, whatever
// the collector does meanwhile: it queues, batches, retries, splits what is too
// large, and tells what the collector says from what has to be kept secret.
//
// It is apart from package otlp because it brings the gRPC and HTTP clients of
// OpenTelemetry, and their configuration from flags and the environment. Who
// prints traces, or delivers them otherwise, needs neither.
package export

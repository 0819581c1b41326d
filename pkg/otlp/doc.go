// Package otlp turns spans into the messages of OTLP, and into the JSON lines that
// the OpenTelemetry Collector and Jaeger read from files. It bounds what one span
// can hold and repairs its text, so that no object of a cluster can make a request
// that no collector takes.
//
// It opens no connection: what it encodes, package export below it delivers, or
// whoever has another way to do so (Encoder.Pack and Encoder.Request).
package otlp

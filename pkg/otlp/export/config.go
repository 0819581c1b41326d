package export

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Protocols an Exporter speaks, as OTEL_EXPORTER_OTLP_PROTOCOL names them.
const (
	ProtocolGRPC = "grpc"
	ProtocolHTTP = "http/protobuf"
)

// Defaults of Config.
const (
	DefaultTimeout    = 10 * time.Second
	DefaultQueueSpans = 100_000
	DefaultQueueBytes = 128 << 20
	DefaultBatchSpans = 512
	DefaultMinBackoff = time.Second
	DefaultMaxBackoff = 30 * time.Second
)

// Config says where spans go and how many may wait. The zero value is what the
// environment says, with the defaults below for the rest.
//
// The first group of fields mirrors the standard variables
// OTEL_EXPORTER_OTLP_<NAME>. A field that is set wins over
// OTEL_EXPORTER_OTLP_TRACES_<NAME>, and that one over
// OTEL_EXPORTER_OTLP_<NAME>.
type Config struct {
	// Endpoint is the collector: a URL ("http://collector:4317", plain text;
	// "https://collector:4317", TLS), or for gRPC host:port or unix:///path.
	// For HTTP, /v1/traces is appended unless the URL ends in it already.
	// Default http://localhost:4317, and http://localhost:4318 for HTTP.
	Endpoint string
	// Protocol is ProtocolGRPC or ProtocolHTTP. Default gRPC, but HTTP if
	// the endpoint's port is 4318, which is registered for it.
	Protocol string
	// Headers are sent with every request; mostly credentials. They are never
	// logged. Default none.
	Headers Headers
	// HeadersFile is a file with more headers, written like Headers or one a line, which win over
	// Headers. BearerTokenFile is a file with a token, which is sent as "authorization: Bearer
	// <token>". Both are read again for every request, so they can be renewed. Default none.
	HeadersFile, BearerTokenFile string
	// Insecure sends plain text to an Endpoint without a scheme. It says
	// nothing about one that has a scheme. Default false.
	Insecure bool
	// Certificate is the file (PEM) with the certificates that the
	// collector's own is verified against. Default: the system's.
	Certificate string
	// ClientCertificate and ClientKey are the files (PEM) with rollspan's own
	// certificate for mutual TLS. Default none. All three files are read again
	// for every request, and where one was renewed the connection is made anew.
	ClientCertificate, ClientKey string
	// Timeout is how long one request may take. Default DefaultTimeout. (The
	// variables give it in milliseconds.)
	Timeout time.Duration
	// Compression is "gzip" or "none". Default "gzip", but "none" to this machine, and to a
	// collector that turns out not to take the other.
	Compression string

	// QueueSpans and QueueBytes bound the spans that wait for the collector,
	// those in flight included. Bytes are those that are sent, before
	// compression; in memory a span takes some 150 bytes more. When a bound is
	// reached, the namespace that holds most loses its oldest spans. Defaults
	// DefaultQueueSpans and DefaultQueueBytes.
	QueueSpans, QueueBytes int
	// BatchSpans is the highest number of spans in one request. Default
	// DefaultBatchSpans.
	BatchSpans int
	// MinBackoff is the wait after the first failed request; each further
	// failure doubles it, up to MaxBackoff. Defaults DefaultMinBackoff and
	// DefaultMaxBackoff.
	MinBackoff, MaxBackoff time.Duration
	// Greet has the collector asked at the start, by a request without spans, so that the
	// log says whether it answers before there is anything to send. Default false.
	Greet bool

	// Acknowledged, if it is not nil, gets the roots of traces that the
	// collector has taken, each once, in the order they were sent, and as they
	// were sent: cut to the limits of a span, and without a Subject. It is
	// called from the goroutine that sends, which waits for it. Where a
	// collector rejects some of a request it does not say which; then none of
	// that request's spans are passed on.
	Acknowledged func([]*spans.Span)
	// Gone, if it is not nil, gets all spans that have left the queue for good and are not in
	// Store: the collector has taken them or refused them, or others needed the room. Those that
	// wait when Shutdown ends have not. It must not keep them, nor call the Exporter.
	Gone func([]*otlp.Packed)
	// Signal is what the Exporter sends. With SignalLogs it is log records in the place of spans:
	// to where a collector takes those by the same endpoint, with the same headers, certificates
	// and bounds. The variables OTEL_EXPORTER_OTLP_LOGS_<NAME> stand for those of traces, which
	// count only where nothing else is set. Default: traces.
	Signal Signal
	// Store, if it is not nil, keeps what waits on a disk, so that QueueSpans and QueueBytes
	// bound only what of it is in memory. What it had at the beginning is sent first.
	Store Store
}

// AddFlags adds a flag for each field of c that somebody who runs rollspan
// may want to set.
func (c *Config) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Endpoint, "otlp-endpoint", c.Endpoint,
		"OTLP collector: a URL like http://collector:4317, or host:port for gRPC (env OTEL_EXPORTER_OTLP_ENDPOINT)")
	fs.StringVar(&c.Protocol, "otlp-protocol", c.Protocol,
		`"grpc" or "http/protobuf"; default grpc, or http/protobuf if the port is 4318 (env OTEL_EXPORTER_OTLP_PROTOCOL)`)
	fs.Var(&c.Headers, "otlp-headers",
		"headers of every request; other users of the machine can see flags, so give secrets in the environment (env OTEL_EXPORTER_OTLP_HEADERS)")
	fs.StringVar(&c.HeadersFile, "otlp-headers-file", c.HeadersFile,
		"`FILE` with headers of every request, name=value one a line, such as a mounted Secret; it may be renewed")
	fs.StringVar(&c.BearerTokenFile, "otlp-bearer-token-file", c.BearerTokenFile,
		"`FILE` with a token that is sent as 'authorization: Bearer <token>'; it may be renewed")
	fs.BoolVar(&c.Insecure, "otlp-insecure", c.Insecure,
		"no TLS, for a gRPC endpoint given as host:port (env OTEL_EXPORTER_OTLP_INSECURE)")
	fs.StringVar(&c.Certificate, "otlp-certificate", c.Certificate,
		"PEM file to verify the collector's certificate against; it may be renewed (env OTEL_EXPORTER_OTLP_CERTIFICATE)")
	fs.StringVar(&c.ClientCertificate, "otlp-client-certificate", c.ClientCertificate,
		"PEM file with rollspan's certificate for mutual TLS (env OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)")
	fs.StringVar(&c.ClientKey, "otlp-client-key", c.ClientKey,
		"PEM file with the key of that certificate (env OTEL_EXPORTER_OTLP_CLIENT_KEY)")
	fs.DurationVar(&c.Timeout, "otlp-timeout", c.Timeout,
		"how long one request may take, default 10s (env OTEL_EXPORTER_OTLP_TIMEOUT, in milliseconds)")
	fs.StringVar(&c.Compression, "otlp-compression", c.Compression,
		`"gzip" or "none"; default gzip, or none to this machine (env OTEL_EXPORTER_OTLP_COMPRESSION)`)
	fs.IntVar(&c.QueueSpans, "otlp-queue-spans", orDefault(c.QueueSpans, DefaultQueueSpans),
		"how many spans may wait for the collector before the namespace with most of them loses its oldest")
	fs.IntVar(&c.QueueBytes, "otlp-queue-bytes", orDefault(c.QueueBytes, DefaultQueueBytes),
		"how many bytes may wait for the collector before the namespace with most of them loses its oldest spans")
	fs.IntVar(&c.BatchSpans, "otlp-batch-spans", orDefault(c.BatchSpans, DefaultBatchSpans),
		"highest number of spans in one request")
}

// Configured tells whether a collector was named, by Endpoint or in the
// environment. If none was, an Exporter would talk to localhost.
func (c *Config) Configured() bool {
	return len(c.sources(c.Endpoint, "ENDPOINT")) > 0
}

// Validate returns everything that is wrong with c and with the variables it
// stands in front of. Each error names the flag or the variable, and says what
// to do. It reads the certificate files, and nothing else.
func (c *Config) Validate() error {
	_, err := c.resolve()
	return err
}

// withDefaults fills in and checks the fields that have no variable.
func (c *Config) withDefaults() (Config, error) {
	out := *c
	out.QueueSpans = orDefault(out.QueueSpans, DefaultQueueSpans)
	out.QueueBytes = orDefault(out.QueueBytes, DefaultQueueBytes)
	out.BatchSpans = orDefault(out.BatchSpans, DefaultBatchSpans)
	out.MinBackoff = orDefault(out.MinBackoff, DefaultMinBackoff)
	out.MaxBackoff = max(orDefault(out.MaxBackoff, DefaultMaxBackoff), out.MinBackoff)

	var errs []error
	for _, limit := range []struct {
		flag  string
		value int
	}{
		{"--otlp-queue-spans", out.QueueSpans},
		{"--otlp-queue-bytes", out.QueueBytes},
		{"--otlp-batch-spans", out.BatchSpans},
	} {
		if limit.value < 1 {
			errs = append(errs, fmt.Errorf("%s: %d is not a limit; it must be at least 1", limit.flag, limit.value))
		}
	}
	if out.MinBackoff < 0 {
		errs = append(errs, errors.New("the backoff between requests must not be negative"))
	}
	return out, errors.Join(errs...)
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Headers are the headers of a request, written like the variable:
// name=value,name=value with percent-encoded values. They print without their
// content, because it is secret.
type Headers string

// String tells only whether there are headers.
func (h Headers) String() string {
	if h == "" {
		return ""
	}
	return "(not shown)"
}

// Set takes any text; Config.Validate finds what is wrong with it. An error
// here would make the flag package print the text.
func (h *Headers) Set(s string) error {
	*h = Headers(s)
	return nil
}

// Type names the format in a flag's help.
func (Headers) Type() string { return "name=value,..." }

package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
)

// The OTLP clients say what became of a request by an error, and over HTTP
// that is a text: no status, no Retry-After, and a request that was answered
// with 200 is an error too if the rest of the answer was lost. So each client
// gets a hook at its transport, where the collector's answer passes by, and
// the hook leaves it in the answer that the request's context carries.
//
// The clients' own retries are off. They give up after a minute, they repeat
// the same request where half of it might pass, they hide from us that the
// collector is down, and they would have to end before Shutdown could.

// newClient returns the client for s, not started.
func newClient(s *settings) otlptrace.Client {
	if s.protocol == ProtocolHTTP {
		return newHTTPClient(s)
	}
	if s.tls != nil {
		return &renewingClient{settings: s, version: s.tls.current(), client: newGRPCClient(s)}
	}
	return newGRPCClient(s)
}

func newGRPCClient(s *settings) otlptrace.Client {
	intercept := []grpc.UnaryClientInterceptor{keepAnswer}
	if s.Signal == SignalLogs {
		intercept = append(intercept, asLogs)
	}
	opts := []otlptracegrpc.Option{
		otlptracegrpc.WithHeaders(s.headers),
		otlptracegrpc.WithTimeout(s.timeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}),
		otlptracegrpc.WithDialOption(s.dialOptions(intercept...)...),
		otlptracegrpc.WithTLSCredentials(s.credentials()),
	}
	if to := s.endpoint.target; strings.HasPrefix(to, "unix:") {
		opts = append(opts, otlptracegrpc.WithEndpoint(to))
	} else {
		opts = append(opts, otlptracegrpc.WithEndpointURL(to))
	}
	return otlptracegrpc.NewClient(opts...)
}

// dialOptions are how a connection by gRPC is made and used, whatever is sent; intercept sees each
// call before the headers of files are put to it.
func (s *settings) dialOptions(intercept ...grpc.UnaryClientInterceptor) []grpc.DialOption {
	// Not the packages' WithCompressor: it cannot say "none", and a variable
	// that says gzip would win over our setting.
	compressor := ""
	if s.gzip {
		compressor = gzip.Name
	}
	if s.headerFiles != nil {
		intercept = append(intercept, s.headerFiles.intercept)
	}
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(intercept...),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(compressor), grpc.MaxCallRecvMsgSize(maxGRPCAnswer)),
		grpc.WithMaxHeaderListSize(maxAnswer),
		// By default the library waits up to two minutes between two
		// attempts to connect, however often a request asks for it.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: s.MinBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: s.MaxBackoff,
			},
			MinConnectTimeout: s.timeout,
		}),
		// When the collector's node dies, nothing closes the
		// connection. With keepalive on, the library has the kernel
		// close it once sent data stays unconfirmed for Timeout. The
		// pings themselves are rarer than servers forbid (5 minutes).
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 6 * time.Minute, Timeout: 20 * time.Second}),
	}
}

// credentials are those of a connection by gRPC. One that is made anew has the certificates as
// they are then.
func (s *settings) credentials() credentials.TransportCredentials {
	if s.tls == nil {
		return insecure.NewCredentials()
	}
	return renewingCredentials{s.tls}
}

func newHTTPClient(s *settings) otlptrace.Client {
	compression := otlptracehttp.NoCompression
	if s.gzip {
		compression = otlptracehttp.GzipCompression
	}
	client := s.httpClient()
	client.Transport = answerKeeper{client.Transport}
	return otlptracehttp.NewClient(
		otlptracehttp.WithEndpointURL(s.endpoint.target),
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf),
		otlptracehttp.WithHeaders(s.headers),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}),
		otlptracehttp.WithCompression(compression),
		// A client of ours is not given a timeout, nor certificates, by the
		// package: the transport has the certificates, and the context of
		// each request has the timeout.
		otlptracehttp.WithHTTPClient(client),
	)
}

// httpClient makes requests with the certificates and the headers of files as they are then, and
// without a timeout.
func (s *settings) httpClient() *http.Client {
	var transport http.RoundTripper = &renewingTransport{settings: s}
	if s.tls == nil {
		transport = newTransport(s)
	}
	if s.headerFiles != nil {
		transport = headerTransport{s.headerFiles, transport}
	}
	return &http.Client{
		Transport: transport,
		// Following would turn the POST into a GET, whose 200 would
		// pass for an acknowledgement, and give the headers away.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func newTransport(s *settings) *http.Transport {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		// To connect may take as long as the request that waits for it, and
		// longer: the next one has the connection then.
		DialContext:         (&net.Dialer{Timeout: max(30*time.Second, s.timeout), KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: max(10*time.Second, s.timeout),
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     90 * time.Second,
		// A collector has little to say; this is for one that never stops.
		MaxResponseHeaderBytes: maxAnswer,
		// As above: a dead peer must not keep a connection for long.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 20 * time.Second},
	}
	if s.tls != nil {
		transport.TLSClientConfig = s.tls.config()
	}
	return transport
}

type answerKey struct{}

// withAnswer returns a context for one request, and where its answer will be.
func withAnswer(ctx context.Context) (context.Context, *answer) {
	a := &answer{}
	return context.WithValue(ctx, answerKey{}, a), a
}

// upload makes one request by a client of these settings.
func (s *settings) upload(ctx context.Context, client otlptrace.Client, list []*tracepb.ResourceSpans) answer {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	ctx, a := withAnswer(ctx)
	err := client.UploadTraces(ctx, list)
	if a.verdict == unanswered && err != nil {
		// The client would not even send it.
		if *a = (answer{verdict: unsure, said: err.Error()}); speaksOfSize(a.said) {
			a.verdict = tooLarge
		}
	}
	a.tell(s)
	return *a
}

// keepAnswer is the hook of the gRPC client.
func keepAnswer(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	connectInHaste(ctx, cc)
	err := invoke(ctx, method, req, reply, cc, opts...)
	if a, ok := ctx.Value(answerKey{}).(*answer); ok {
		response, _ := reply.(*coltracepb.ExportTraceServiceResponse)
		*a = answerOfGRPC(err, response)
	}
	return err
}

// asLogs has the client of traces call the service of logs. Its messages have the same fields by
// the same numbers: a request whose ResourceSpans have log records is one of ResourceLogs.
func asLogs(ctx context.Context, _ string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, collogspb.LogsService_Export_FullMethodName, req, reply, cc, opts...)
}

const (
	// maxAnswer is how much of an answer's headers, and of an HTTP answer's
	// body, is read, in bytes.
	maxAnswer = 1 << 20
	// maxGRPCAnswer is the same for an answer by gRPC. The library speaks of it
	// with the words with which a server speaks of its own limit; so this is a
	// number that nobody else has as a limit: a prime.
	maxGRPCAnswer = 1<<20 - 3
)

// answerKeeper is the hook of the HTTP client.
type answerKeeper struct{ next http.RoundTripper }

func (k answerKeeper) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := k.next.RoundTrip(r)
	a, ok := r.Context().Value(answerKey{}).(*answer)
	if !ok {
		return response, err
	}
	if err != nil {
		*a = answer{verdict: unreachable, said: err.Error()}
		return response, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	err = errors.Join(err, response.Body.Close())
	*a = answerOfHTTP(response, body)
	if err != nil && a.verdict != accepted {
		a.said = fmt.Sprintf("%s (the answer broke off: %v)", a.said, err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

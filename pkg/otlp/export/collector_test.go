package export

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/rollspan/rollspan/pkg/otlp/internal/otlptest"
	"github.com/rollspan/rollspan/pkg/spans"
)

// reply is what a test's collector answers to one request. The zero value
// accepts everything.
type reply struct {
	// grpc and http refuse the request; a test sets both.
	grpc codes.Code
	http int
	// message is the collector's word about it.
	message string
	// retry says that the collector names a time (a very short one) after
	// which it wants the request again.
	retry bool
	// rejected is the partial success.
	rejected int64
}

// request is what a test's collector received.
type request struct {
	spans         []*tracepb.Span
	authorization string
	compression   string
}

// collector is an OTLP receiver on a loopback port that can go away and come
// back. It keeps what it accepted. The port is its own while it is away, too.
type collector struct {
	t        *testing.T
	protocol string
	address  string
	// maxBytes is the largest request it takes.
	maxBytes int
	// tls is nil for plain text.
	tls *tls.Config

	stop func()

	mu       sync.Mutex
	handle   func(request) reply
	accepted []string
	requests int
}

// newCollector returns a collector that is not up yet.
func newCollector(t *testing.T, protocol string) *collector {
	t.Helper()
	c := &collector{t: t, protocol: protocol, address: holdAddress(t), maxBytes: 4 << 20}
	t.Cleanup(c.down)
	return c
}

func (c *collector) listen() net.Listener {
	l, err := net.Listen("tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

// up brings the collector up, always on the same address.
func (c *collector) up() {
	l := c.listen()
	if c.protocol == ProtocolGRPC {
		options := []grpc.ServerOption{grpc.MaxRecvMsgSize(c.maxBytes), grpc.StatsHandler(compressionTag{})}
		if c.tls != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(c.tls)))
		}
		server := grpc.NewServer(options...)
		coltracepb.RegisterTraceServiceServer(server, grpcReceiver{collector: c})
		go server.Serve(l) //nolint:errcheck // It ends when the test wants it.
		c.stop = server.GracefulStop
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(c.serveHTTP), ErrorLog: log.New(io.Discard, "", 0)}
	if c.tls != nil {
		l = tls.NewListener(l, c.tls)
	}
	go server.Serve(l) //nolint:errcheck // It ends when the test wants it.
	c.stop = func() {
		// Requests are answered, connections are closed.
		if err := server.Shutdown(context.Background()); err != nil {
			c.t.Error(err)
		}
	}
}

func (c *collector) down() {
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
}

// on sets how requests are answered from now on.
func (c *collector) on(handle func(request) reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handle = handle
}

func (c *collector) receive(r request) reply {
	c.mu.Lock()
	c.requests++
	handle := c.handle
	c.mu.Unlock()
	var answer reply
	if handle != nil {
		answer = handle(r)
	}
	if answer.grpc == codes.OK {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range r.spans {
			c.accepted = append(c.accepted, hex.EncodeToString(s.SpanId))
		}
	}
	return answer
}

// got lists the IDs of the spans that were accepted, in order.
func (c *collector) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.accepted...)
}

func spansOf(r *coltracepb.ExportTraceServiceRequest) []*tracepb.Span {
	var out []*tracepb.Span
	for _, rs := range r.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			out = append(out, ss.Spans...)
		}
	}
	return out
}

func partialSuccess(r reply) *coltracepb.ExportTraceServiceResponse {
	if r.rejected == 0 && r.message == "" {
		return &coltracepb.ExportTraceServiceResponse{}
	}
	return &coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{
		RejectedSpans: r.rejected, ErrorMessage: r.message,
	}}
}

type grpcReceiver struct {
	coltracepb.UnimplementedTraceServiceServer
	collector *collector
}

func (g grpcReceiver) Export(ctx context.Context, r *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	answer := g.collector.receive(request{
		spans: spansOf(r), authorization: strings.Join(md.Get("authorization"), ""), compression: compressionOf(ctx),
	})
	if answer.grpc == codes.OK {
		return partialSuccess(answer), nil
	}
	st := status.New(answer.grpc, answer.message)
	if answer.retry {
		detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
		if err != nil {
			return nil, err
		}
		st = detailed
	}
	return nil, st.Err()
}

// compressionTag lets a receiver know how a request was compressed, which
// gRPC hides from it.
type compressionTag struct{}

func (compressionTag) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, compressionTag{}, new(string))
}

func (compressionTag) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if header, ok := s.(*stats.InHeader); ok {
		*ctx.Value(compressionTag{}).(*string) = header.Compression
	}
}

func (compressionTag) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (compressionTag) HandleConn(context.Context, stats.ConnStats)                       {}

func compressionOf(ctx context.Context) string {
	if s, ok := ctx.Value(compressionTag{}).(*string); ok {
		return *s
	}
	return ""
}

func (c *collector) serveHTTP(w http.ResponseWriter, r *http.Request) {
	var content io.Reader = r.Body
	compression := r.Header.Get("Content-Encoding")
	if compression == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		content = unzipped
	}
	body, err := io.ReadAll(content)
	var export coltracepb.ExportTraceServiceRequest
	switch {
	case err != nil:
		return // The client went away.
	case r.URL.Path != signalTraces.path():
		http.NotFound(w, r)
		return
	case len(body) > c.maxBytes:
		http.Error(w, "request body too large", http.StatusRequestEntityTooLarge)
		return
	case proto.Unmarshal(body, &export) != nil:
		http.Error(w, "not protobuf", http.StatusBadRequest)
		return
	}
	answer := c.receive(request{
		spans: spansOf(&export), authorization: r.Header.Get("authorization"), compression: compression,
	})
	var message proto.Message = partialSuccess(answer)
	if answer.grpc != codes.OK {
		message = &rpcstatus.Status{Message: answer.message}
		if answer.retry {
			w.Header().Set("Retry-After", strconv.Itoa(0))
		}
	}
	out, err := proto.Marshal(message)
	if err != nil {
		c.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(max(answer.http, http.StatusOK))
	w.Write(out) //nolint:errcheck // The client may be gone.
}

// forever is longer than a machine that is busy with something else keeps a
// test waiting: who waits that long waits in vain.
const forever = 5 * time.Minute

// logs keeps what is logged, and lets a test wait for it.
type logs struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

func (l *logs) logger() logr.Logger {
	l.changed = make(chan struct{})
	return funcr.New(func(_, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, args)
		close(l.changed)
		l.changed = make(chan struct{})
	}, funcr.Options{})
}

// count counts the lines with text in them.
func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.countLocked(text)
}

func (l *logs) countLocked(text string) (n int) {
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// await returns once a line has text in it.
func (l *logs) await(t *testing.T, text string) {
	t.Helper()
	tooLong := time.After(forever)
	for {
		l.mu.Lock()
		n, changed := l.countLocked(text), l.changed
		l.mu.Unlock()
		if n > 0 {
			return
		}
		select {
		case <-changed:
		case <-tooLong:
			t.Fatalf("%q was never logged; only\n%s", text, l)
		}
	}
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// numbered returns n traces of one span each, numbered from first.
func numbered(first, n int) []spans.Trace {
	var out []spans.Trace
	for i := first; i < first+n; i++ {
		s := otlptest.Rollout().Spans[1]
		s.SpanID = spans.NewSpanID(s.TraceID, fmt.Sprint(i))
		s.Name = fmt.Sprint("span ", i)
		out = append(out, spans.Trace{Spans: []spans.Span{s}})
	}
	return out
}

// ids lists the span IDs of traces.
func ids(traces ...[]spans.Trace) []string {
	var out []string
	for _, group := range traces {
		for _, t := range group {
			for _, s := range t.Spans {
				out = append(out, s.SpanID.String())
			}
		}
	}
	return out
}

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// A sink is a collector that takes all there is, and notes what it was told.
type sink struct {
	coltracepb.UnimplementedTraceServiceServer
	server *grpc.Server
	listen net.Listener

	mu    sync.Mutex
	told  told
	bytes int64
	last  time.Time
	// sample are requests to be compressed when nothing is measured any more.
	sample      [][]byte
	sampleBytes int
}

// maxSample bounds the sample, in bytes.
const maxSample = 64 << 20

// told is what has arrived.
type told struct {
	// starts and stops are the UIDs of pods that such a span is about.
	starts, stops map[string]bool
	// rollouts and deletes are roots of Deployments, by trace and span.
	rollouts, deletes map[string]arrival
	// spans are all that came, and perSecond those of each second.
	spans     int
	perSecond map[int64]int
	// records are the log records that came, in recordBytes over the wire.
	records     int
	recordBytes int64
}

// arrival is when a root came, and when its change had ended.
type arrival struct {
	namespace  string
	ended, was time.Time
	complete   bool
}

func startSink() (*sink, error) {
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{listen: listen, told: told{
		starts: map[string]bool{}, stops: map[string]bool{},
		rollouts: map[string]arrival{}, deletes: map[string]arrival{}, perSecond: map[int64]int{},
	}}
	s.server = grpc.NewServer(grpc.StatsHandler(s), grpc.MaxRecvMsgSize(64<<20))
	coltracepb.RegisterTraceServiceServer(s.server, s)
	collogspb.RegisterLogsServiceServer(s.server, logSink{sink: s})
	go func() { _ = s.server.Serve(listen) }() // it ends with stop
	return s, nil
}

func (s *sink) stop() { s.server.Stop() }

func (s *sink) endpoint() string { return "http://" + s.listen.Addr().String() }

// Export takes spans.
func (s *sink) Export(_ context.Context, request *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = now
	if s.sampleBytes < maxSample {
		message, err := proto.Marshal(request)
		if err != nil {
			return nil, err
		}
		s.sample = append(s.sample, message)
		s.sampleBytes += len(message)
	}
	for _, of := range request.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				s.told.note(now, of.GetResource().GetAttributes(), span)
			}
		}
	}
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

// A logSink is the same collector's part for logs.
type logSink struct {
	collogspb.UnimplementedLogsServiceServer
	sink *sink
}

// Export takes log records.
func (s logSink) Export(_ context.Context, request *collogspb.ExportLogsServiceRequest) (*collogspb.ExportLogsServiceResponse, error) {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, of := range request.GetResourceLogs() {
		for _, scope := range of.GetScopeLogs() {
			s.sink.told.records += len(scope.GetLogRecords())
		}
	}
	return &collogspb.ExportLogsServiceResponse{}, nil
}

func (t *told) note(now time.Time, resource []*commonpb.KeyValue, span *tracepb.Span) {
	t.spans++
	t.perSecond[now.Unix()]++
	switch pod := value(resource, "k8s.pod.uid"); {
	case span.GetName() == "Pod start":
		t.starts[pod] = true
	case span.GetName() == "Pod stop":
		t.stops[pod] = true
	case len(span.GetParentSpanId()) > 0:
	default:
		t.root(now, resource, span)
	}
}

func (t *told) root(now time.Time, resource []*commonpb.KeyValue, span *tracepb.Span) {
	id := string(span.GetTraceId()) + string(span.GetSpanId())
	a := arrival{
		namespace: value(resource, "k8s.namespace.name"), was: now,
		ended:    time.Unix(0, int64(span.GetEndTimeUnixNano())), //nolint:gosec // Until the year 2262.
		complete: value(span.GetAttributes(), string(attr.OutcomeKey)) == string(attr.OutcomeComplete),
	}
	switch {
	case strings.HasPrefix(span.GetName(), "Deployment rollout"):
		t.rollouts[id] = a
	case strings.HasPrefix(span.GetName(), "Deployment delete"):
		t.deletes[id] = a
	}
}

func value(of []*commonpb.KeyValue, key string) string {
	i := slices.IndexFunc(of, func(kv *commonpb.KeyValue) bool { return kv.GetKey() == key })
	if i < 0 {
		return ""
	}
	return of[i].GetValue().GetStringValue()
}

// look calls f with what has arrived, which it must not keep.
func (s *sink) look(f func(t *told, bytes int64, last time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.told, s.bytes, s.last)
}

// HandleRPC counts bytes as they came over the wire, compressed or not.
func (s *sink) HandleRPC(ctx context.Context, rpc stats.RPCStats) {
	in, ok := rpc.(*stats.InPayload)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Value(methodKey{}) == collogspb.LogsService_Export_FullMethodName {
		s.told.recordBytes += int64(in.WireLength)
	} else {
		s.bytes += int64(in.WireLength)
	}
}

// methodKey is where a context has the method of its request.
type methodKey struct{}

// TagRPC keeps spans and log records apart.
func (*sink) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, methodKey{}, info.FullMethodName)
}

// HandleConn does nothing.
func (*sink) HandleConn(context.Context, stats.ConnStats) {}

// TagConn does nothing.
func (*sink) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// gzipShare is what gzip makes of the requests, as OTLP's clients have it: each by
// itself, at the default level.
func (s *sink) gzipShare() (float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var packed bytes.Buffer
	for _, message := range s.sample {
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(message); err != nil {
			return 0, err
		}
		if err := w.Close(); err != nil {
			return 0, err
		}
	}
	return float64(packed.Len()) / float64(max(1, s.sampleBytes)), nil
}

// lags are the seconds from the end of complete rollouts to their roots' arrival, less
// the settle period, in namespaces with that prefix.
func (t *told) lags(prefix string) []float64 {
	var out []float64
	for _, a := range t.rollouts {
		if a.complete && strings.HasPrefix(a.namespace, prefix) {
			out = append(out, (a.was.Sub(a.ended) - settle).Seconds())
		}
	}
	slices.Sort(out)
	return out
}

// settle is rollspan's default for --settle.
const settle = 5 * time.Second

package soak

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

// manner is how a collector behaves towards one request.
type manner int

const (
	takes       manner = iota
	throttles          // 429 with Retry-After, RetryInfo by gRPC
	halfTakes          // has the first half, and fails
	warns              // takes all, and says that in a way it does not (partial success)
	fails              // 503
	breaksOff          // resets the connection before all is read
	hangsUp            // takes all, and resets the connection instead of an answer
	takesSlowly        // takes all, in its time
	forgetsTime        // takes all, when nobody waits for the answer any more
)

// collector is what one row of the table sends to. It notes what it takes, and hands it on to
// Jaeger.
type collector struct {
	t       testing.TB
	address string
	byHTTP  bool
	jaeger  coltracepb.TraceServiceClient
	// listener takes log records; nil where none are sent.
	listener *listener

	mu sync.Mutex
	// behaves says how to behave towards the next request; nil for well.
	behaves func() manner
	spans   map[string]*seen // by their IDs
	last    time.Time
	stop    func() // nil while it is down
}

// seen is a span that has arrived.
type seen struct {
	*tracepb.Span
	body               []byte
	first              time.Time
	theSame, inAnother int
	another            []byte
	namespace, subject string
}

func newCollector(t testing.TB, byHTTP bool, jaeger *grpc.ClientConn) *collector {
	t.Helper()
	addresses, err := harness.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{t: t, address: addresses[0], byHTTP: byHTTP, jaeger: coltracepb.NewTraceServiceClient(jaeger), spans: map[string]*seen{}}
	t.Cleanup(c.down)
	return c
}

// flags say where to send.
func (c *collector) flags() []string {
	protocol := "grpc"
	if c.byHTTP {
		protocol = "http/protobuf"
	}
	return []string{"--otlp-endpoint", "http://" + c.address, "--otlp-protocol", protocol}
}

func (c *collector) behave(how func() manner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behaves = how
}

// up has it listen, where it has before.
func (c *collector) up() {
	l, err := net.Listen("tcp", c.address)
	if err != nil {
		c.t.Error(err)
		return
	}
	var stop func()
	if c.byHTTP {
		s := &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}
		go func() { _ = s.Serve(l) }() // it ends with down
		stop = func() { _ = s.Close() }
	} else {
		s := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
		coltracepb.RegisterTraceServiceServer(s, byGRPC{c: c})
		if c.listener != nil {
			collogspb.RegisterLogsServiceServer(s, c.listener)
		}
		go func() { _ = s.Serve(l) }()
		stop = s.Stop
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop = stop
}

// down refuses connections, and cuts those that there are.
func (c *collector) down() {
	c.mu.Lock()
	stop := c.stop
	c.stop = nil
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// byGRPC is a collector as gRPC calls it.
type byGRPC struct {
	coltracepb.UnimplementedTraceServiceServer
	c *collector
}

// Export takes a request.
func (g byGRPC) Export(_ context.Context, r *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	answer, err := g.c.take(g.c.next(), r)
	if errors.Is(err, errThrottled) {
		st, _ := status.New(codes.ResourceExhausted, "less, please").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
		return nil, st.Err()
	} else if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return answer, nil
}

// ServeHTTP takes a request.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	how := c.next()
	if how == breaksOff {
		_, _ = io.CopyN(io.Discard, r.Body, 100)
		reset(w)
		return
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	content, err := io.ReadAll(body)
	message := &coltracepb.ExportTraceServiceRequest{}
	if err := errors.Join(err, proto.Unmarshal(content, message)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := c.take(how, message)
	switch {
	case errors.Is(err, errThrottled):
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusTooManyRequests)
	case errors.Is(err, errHangUp):
		reset(w)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		content, _ := proto.Marshal(answer) // it has nothing that could be wrong
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(content)
	}
}

// reset resets the connection of a request.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

var (
	errThrottled = errors.New("less, please")
	errHangUp    = errors.New("hung up")
	errHalf      = errors.New("half of it is there")
	errFails     = errors.New("it is a bad day")
)

// next is how it behaves towards the request that comes next.
func (c *collector) next() manner {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.behaves == nil {
		return takes
	}
	return c.behaves()
}

// slowness is how long a slow collector takes for a request, and --otlp-timeout of a row how
// long rollspan waits.
const (
	slowness  = 1500 * time.Millisecond
	impatient = "2s"
	tooSlow   = 3 * time.Second
)

func (c *collector) take(how manner, r *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	switch how {
	case throttles:
		return nil, errThrottled
	case fails:
		return nil, errFails
	case halfTakes:
		half := &coltracepb.ExportTraceServiceRequest{ResourceSpans: r.GetResourceSpans()[:(len(r.GetResourceSpans())+1)/2]}
		if err := c.handOn(half); err != nil {
			return nil, err
		}
		return nil, errHalf
	case takesSlowly, forgetsTime:
		d := slowness
		if how == forgetsTime {
			d = tooSlow
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		<-timer.C
	}
	if err := c.handOn(r); err != nil {
		return nil, err
	}
	if how == hangsUp {
		return nil, errHangUp
	}
	answer := &coltracepb.ExportTraceServiceResponse{}
	if how == warns {
		answer.PartialSuccess = &coltracepb.ExportTracePartialSuccess{ErrorMessage: "these spans are old"}
	}
	return answer, nil
}

// handOn gives spans to Jaeger, and notes them.
func (c *collector) handOn(r *coltracepb.ExportTraceServiceRequest) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), time.Minute)
	defer cancel()
	if _, err := c.jaeger.Export(ctx, r); err != nil {
		return fmt.Errorf("Jaeger: %w", err)
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range r.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.note(now, of.GetResource().GetAttributes(), span)
			}
		}
	}
	return nil
}

func (c *collector) note(now time.Time, resource []*commonpb.KeyValue, span *tracepb.Span) {
	whole := &tracepb.ResourceSpans{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span}}}}
	for _, kv := range resource {
		whole.SchemaUrl += kv.GetKey() + "=" + kv.GetValue().String() + "\n"
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(whole)
	if err != nil {
		c.t.Error(err)
	}
	id := string(span.GetTraceId()) + string(span.GetSpanId())
	c.last = now
	switch old := c.spans[id]; {
	case old == nil:
		c.spans[id] = &seen{Span: span, body: body, first: now, namespace: value(resource, "k8s.namespace.name"),
			subject: cmp.Or(value(resource, "k8s.pod.name"), value(resource, "k8s.replicaset.name"), value(resource, "k8s.job.name"), value(resource, "k8s.deployment.name"))}
	case bytes.Equal(old.body, body):
		old.theSame++
	default:
		old.inAnother++
		old.another = body
	}
}

func value(of []*commonpb.KeyValue, key string) string {
	for _, kv := range of {
		if kv.GetKey() == key {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}

// has is what has arrived so far.
func (c *collector) has() map[string]seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]seen, len(c.spans))
	for id, s := range c.spans {
		out[id] = *s
	}
	return out
}

func toJaeger(t testing.TB, endpoint string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// text is a span as people read it.
func text(body []byte) string {
	whole := &tracepb.ResourceSpans{}
	if err := proto.Unmarshal(body, whole); err != nil {
		return err.Error()
	}
	return whole.String()
}

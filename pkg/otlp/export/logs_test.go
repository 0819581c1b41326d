package export

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
)

// logReceiver is a collector that takes log records only.
type logReceiver struct {
	collogspb.UnimplementedLogsServiceServer
	mu  sync.Mutex
	got []string
}

func (l *logReceiver) Export(_ context.Context, in *collogspb.ExportLogsServiceRequest) (*collogspb.ExportLogsServiceResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := &collogspb.ExportLogsServiceResponse{}
	for _, of := range in.GetResourceLogs() {
		for _, scope := range of.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				l.got = append(l.got, record.GetBody().GetStringValue())
				if record.GetBody().GetStringValue() == "rejected" {
					out.PartialSuccess = &collogspb.ExportLogsPartialSuccess{RejectedLogRecords: 1, ErrorMessage: "no"}
				}
			}
		}
	}
	return out, nil
}

func (l *logReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in collogspb.ExportLogsServiceRequest
	if r.URL.Path != "/base/v1/logs" || err != nil || proto.Unmarshal(body, &in) != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	out, _ := l.Export(r.Context(), &in)
	answer, _ := proto.Marshal(out)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

// Log records go to the collector's service of logs, by the endpoint that traces have, and what
// it says of them is understood.
func TestLogRecordsGoToTheServiceOfLogs(t *testing.T) {
	byHTTP := &logReceiver{}
	server := httptest.NewServer(byHTTP)
	t.Cleanup(server.Close)

	byGRPC := &logReceiver{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	grpcServer := grpc.NewServer()
	collogspb.RegisterLogsServiceServer(grpcServer, byGRPC)
	go func() { _ = grpcServer.Serve(listener) }() // until it is stopped
	t.Cleanup(grpcServer.Stop)

	for name, c := range map[string]struct {
		config   Config
		receiver *logReceiver
	}{
		"http":                   {Config{Endpoint: server.URL + "/base", Protocol: ProtocolHTTP}, byHTTP},
		"http, named for traces": {Config{Endpoint: server.URL + "/base/v1/traces", Protocol: ProtocolHTTP}, byHTTP},
		"grpc":                   {Config{Endpoint: "http://" + listener.Addr().String()}, byGRPC},
	} {
		t.Run(name, func(t *testing.T) {
			c.receiver.got = nil
			encoder, err := otlp.NewEncoder(otlp.Options{})
			if err != nil {
				t.Fatal(err)
			}
			c.config.Signal = SignalLogs
			e, err := New(c.config, encoder, logr.Discard())
			if err != nil {
				t.Fatal(err)
			}
			e.EnqueueRecords(&spans.Record{UID: spans.NewTraceID("1"), Message: "taken"}, &spans.Record{UID: spans.NewTraceID("2"), Message: "rejected"})
			if left, err := e.Shutdown(t.Context()); left != 0 || err != nil {
				t.Fatal(left, err)
			}
			if s := e.Stats(); s.Sent != 1 || s.Rejected != 1 || s.Enqueued != 2 {
				t.Errorf("%+v", s)
			}
			if got := c.receiver.got; len(got) != 2 || got[0] != "taken" || got[1] != "rejected" {
				t.Errorf("%q", got)
			}
		})
	}
}

// The variables for logs count before those for all signals, and those for traces only where
// nothing else is set.
func TestLogEndpointByVariables(t *testing.T) {
	for _, c := range []struct {
		set  map[string]string
		want string
	}{
		{map[string]string{"ENDPOINT": "http://all:4318", "LOGS_ENDPOINT": "http://logs:4318/own", "TRACES_ENDPOINT": "http://traces:4318/v1/traces"}, "http://logs:4318/own"},
		{map[string]string{"ENDPOINT": "http://all:4318", "TRACES_ENDPOINT": "http://traces:4318/v1/traces"}, "http://all:4318/v1/logs"},
		{map[string]string{"TRACES_ENDPOINT": "http://traces:4318/v1/traces"}, "http://traces:4318/v1/logs"},
		{nil, "http://localhost:4318/v1/logs"},
	} {
		t.Run(c.want, func(t *testing.T) {
			for key, value := range c.set {
				t.Setenv("OTEL_EXPORTER_OTLP_"+key, value)
			}
			s, err := (&Config{Signal: SignalLogs, Protocol: ProtocolHTTP}).resolve()
			if err != nil || s.endpoint.target != c.want {
				t.Errorf("%v, want %s: %v", s, c.want, err)
			}
		})
	}
}

//go:build unix

package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/otlp/export"
)

// receiver is a collector that is away, or takes all.
type receiver struct {
	*httptest.Server

	mu   sync.Mutex
	away bool
	// clusters has of each span the cluster's name that it came with, each time it came.
	clusters map[string][]string
	// rollouts have arrived, and offered are those that came while it was away.
	rollouts, offered int
}

const rolloutOfWeb = "Deployment rollout shop/web"

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{away: true, clusters: map[string][]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var body io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	wire, err := io.ReadAll(body)
	var message coltracepb.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(wire, &message) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if r.away {
		r.offered += strings.Count(string(wire), rolloutOfWeb)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, rs := range message.ResourceSpans {
		cluster := ""
		for _, kv := range rs.Resource.Attributes {
			if kv.Key == "k8s.cluster.name" {
				cluster = kv.Value.GetStringValue()
			}
		}
		for _, s := range rs.ScopeSpans[0].Spans {
			id := hex.EncodeToString(s.TraceId) + hex.EncodeToString(s.SpanId)
			r.clusters[id] = append(r.clusters[id], cluster)
			if s.Name == rolloutOfWeb && len(r.clusters[id]) == 1 { // who was killed may have sent it
				r.rollouts++
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *receiver) back() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = false
}

func (r *receiver) has(rollouts int) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.rollouts >= rollouts
	}
}

// wasOffered says that a rollout came while it was away.
func (r *receiver) wasOffered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.offered > 0
}

// TestKilledWithBacklog kills rollspan while the collector is away. The next one, which encodes
// spans otherwise, sends what waited as the first would have, and tells nothing of it again; and
// so does the one after that.
func TestKilledWithBacklog(t *testing.T) {
	api, collector := newWrittenAPI(t), newReceiver(t)
	kubeconfig, dir := kubeconfigOf(t, api.URL, "c", true), t.TempDir()
	run := func(cluster string) *command {
		c := start(t, "run", "--kubeconfig", kubeconfig, "--settle", "1s", "--qps=1000", "--burst=1000", "--data-dir", dir,
			"--otlp-endpoint", collector.URL, "--otlp-protocol=http/protobuf", "--cluster-name", cluster)
		until(t, "it to watch", func() bool { return strings.Contains(c.errs.String(), "watching;") })
		return c
	}
	rollout := func(revision int, web *shopDeployment) {
		for _, step := range web.rollout(revision) {
			step()
			until(t, "the watches to have it", api.delivered)
		}
	}
	web := newShopDeployment(api)

	first := run("first")
	rollout(1, web)
	until(t, "its spans to wait", collector.wasOffered)
	first.kill(t)

	// It ends with a backlog, too, and loses nothing by that.
	second := run("second")
	second.send(t, syscall.SIGTERM)
	second.ends(t, ExitOK)
	if !strings.Contains(second.errs.String(), "wait on the disk for the next run") {
		t.Errorf("it does not say what waits:\n%s", second.errs.String())
	}

	third := run("third")
	collector.back()
	until(t, "the first rollout to arrive", collector.has(1))
	rollout(2, web)
	until(t, "the second rollout to arrive", collector.has(2))
	third.kill(t)

	fourth := run("fourth")
	rollout(3, web)
	until(t, "the third rollout to arrive", collector.has(3))
	fourth.send(t, syscall.SIGTERM)
	fourth.ends(t, ExitOK)

	collector.mu.Lock()
	defer collector.mu.Unlock()
	by := map[string]int{}
	for id, clusters := range collector.clusters {
		for _, cluster := range clusters {
			if cluster != clusters[0] {
				t.Errorf("span %s is sent as %v", id, clusters)
			}
		}
		by[clusters[0]]++
	}
	if by["first"] < 5 || by["second"] > 0 || by["third"] < 5 || by["fourth"] < 5 {
		t.Errorf("spans by who has encoded them: %v", by)
	}
}

// What is kept of a span is what it was.
func TestPackedInQueue(t *testing.T) {
	own, other := []byte("own"), []byte("other")
	for _, it := range []otlp.Packed{
		{Namespace: "shop", Wire: []byte("resource, span"), Resource: 8, Root: true},
		{Wire: []byte("span")},
		{Wire: []byte("span"), Around: other},
	} {
		body := encodePacked(nil, &it, own)
		got, ok := decodePacked(it.Namespace, body, own)
		if !ok || !bytes.Equal(got.Wire, it.Wire) || got.Resource != it.Resource || got.Root != it.Root || !bytes.Equal(got.Around, it.Around) {
			t.Errorf("%+v became %+v", it, got)
		}
		for n := range len(body) - len(it.Wire) {
			if _, ok := decodePacked("", body[:n], own); ok {
				t.Errorf("%d bytes of %d are a span", n, len(body))
			}
		}
	}
}

// The data directory is shared out between the journal and the queue, if there is one.
func TestDataDirIsSharedOut(t *testing.T) {
	for format, want := range map[string][2]int64{outputOTLP: {50, 50}, outputTree: {100, 0}} {
		r := &run{dataDirMost: 100}
		r.conversion.format = format
		if a, b := r.shareDataDir(); a != want[0] || b != want[1] {
			t.Errorf("-o %s: %d and %d", format, a, b)
		}
	}
}

var _ export.Store = diskQueue{}

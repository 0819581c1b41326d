package watcher

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// stuck is an engine and a sink that do not return from what they are told to be
// stuck in, until they are released.
type stuck struct {
	in      string
	release chan struct{}
}

func (s stuck) wait(in string) {
	if s.in == in {
		<-s.release
	}
}

func (s stuck) Observe(causality.Observation) []spans.Trace {
	s.wait("Observe")
	return []spans.Trace{{Spans: []spans.Span{{TraceID: trace.TraceID{1}, Name: "Deployment rollout", Subject: "deployment/web"}}}}
}

func (s stuck) Advance(time.Time) []spans.Trace {
	s.wait("Advance")
	return nil
}

func (s stuck) Close() []spans.Trace {
	s.wait("Close")
	return nil
}

func (s stuck) Hold()                  {}
func (s stuck) Release()               {}
func (s stuck) Unsettled() []types.UID { return nil }
func (s stuck) Preview() []spans.Trace { return nil }

func (s stuck) About([]causality.Ref) []causality.Known { return nil }

func (s stuck) Stats() causality.Stats { return causality.Stats{} }

func (s stuck) Deliver(spans.Trace) error {
	s.wait("Deliver")
	return nil
}

// testClock is a clock that is set.
type testClock struct{ seconds atomic.Int64 }

func (c *testClock) now() time.Time { return time.Unix(c.seconds.Load(), 0) }

func settleAll(l *Live) {
	for _, s := range l.streams.sources {
		l.streams.settle(s)
	}
}

// The loop is alive while it waits, however long, and while what it is in takes less
// than half a minute. It is alive again when what was stuck returns.
func TestALoopThatIsStuckIsNotHealthy(t *testing.T) {
	for in, want := range map[string]string{
		"Observe": "the loop has not turned for 30s: it is observing Pod shop/a; no change is told until rollspan is restarted",
		"Deliver": "the loop has not turned for 30s: it is delivering Deployment rollout of deployment/web " +
			"(trace 01000000000000000000000000000000); no change is told until rollspan is restarted",
		"Advance": "the loop has not turned for 30s: it is looking at what is due; no change is told until rollspan is restarted",
		"Close":   "the loop has not turned for 30s: it is looking at what is over; no change is told until rollspan is restarted",
	} {
		t.Run(in, func(t *testing.T) {
			l := newTestLive(t)
			settleAll(l)
			var clock testClock
			log, messages := testLog(slog.LevelError)
			l.heartbeat.now, l.heartbeat.log = clock.now, log
			healthy := func(at int64) error {
				clock.seconds.Add(at)
				return l.heartbeat.Check(nil)
			}
			if err := healthy(3600); err != nil {
				t.Errorf("before there is news: %v", err)
			}

			s := stuck{in, make(chan struct{})}
			stopped, ended := make(chan struct{}), make(chan error, 1)
			go func() {
				ended <- l.feed(remembering(t, watchedEngine{s, l.heartbeat}), watchedSink{s, l.heartbeat}, stopped)
			}()
			if in != "Advance" {
				web := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}}
				web.SetGroupVersionKind(podKind.GroupVersionKind)
				o := causality.Observation{Type: watch.Added, Object: web}
				if err := l.enqueue(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			if in == "Close" {
				close(stopped)
			}
			eventually(t, "the loop to be stuck", func() bool {
				now, _, _ := l.heartbeat.busy()
				return now.what != "" && strings.Contains(want, now.String())
			})
			if err := healthy(29); err != nil {
				t.Errorf("after 29 seconds: %v", err)
			}
			for range 2 {
				if err := l.heartbeat.Check(nil); err != nil {
					t.Error(err)
				}
			}
			if err := healthy(1); err == nil || err.Error() != want {
				t.Errorf("after 30 seconds: %v\nwant %s", err, want)
			}
			if err := healthy(60); err == nil || !strings.Contains(err.Error(), " for 1m30s: ") {
				t.Errorf("a minute later: %v", err)
			}
			if said := messages(); len(said) != 1 || said[0] != `level=ERROR msg="rollspan is stuck; /healthz fails"` {
				t.Errorf("it said %q", said)
			}

			close(s.release)
			eventually(t, "the loop to turn again", func() bool { return l.heartbeat.Check(nil) == nil })
			if in != "Close" {
				close(stopped)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// startStuck runs a Live whose engine is stuck in its first observation, and returns
// when it is.
func startStuck(t *testing.T, o ManagerOptions) (l *Live, stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	api := newFakeAPI(t)
	api.lists["/api/v1/pods"] = []string{`{"metadata":{"name":"a","namespace":"shop","uid":"u"}}`}
	log, _ := testLog(slog.LevelError + 1)
	s := stuck{"Observe", make(chan struct{})}
	l, err := NewLive(LiveOptions{Config: api.config(), Log: log, Sink: func(string) (Sink, error) { return s, nil }})
	if err != nil {
		t.Fatal(err)
	}
	l.newEngine = func(causality.Options) engine { return s }
	t.Cleanup(func() {
		close(s.release)
		<-l.ended
	})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	errs := make(chan error, 1)
	go func() { errs <- Run(ctx, l, o) }()
	eventually(t, "the engine to be stuck", func() bool {
		now, _, _ := l.heartbeat.busy()
		return now.what == "observing"
	})
	return l, cancel, errs
}

// The end of the program does not wait for an engine that is stuck.
func TestRunEndsWhateverTheEngineDoes(t *testing.T) {
	_, stop, ended := startStuck(t, ManagerOptions{Grace: 50 * time.Millisecond})
	stop()
	if err := <-ended; !errors.Is(err, errUnended) || !strings.Contains(err.Error(), "observing Pod shop/a") {
		t.Errorf("it ended with %v", err)
	}
}

// What /healthz says of a loop that is stuck, for who asks.
func TestHealthzOfAStuckLoop(t *testing.T) {
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	l, stop, ended := startStuck(t, ManagerOptions{HealthAddress: address})
	get := func(path string) (code int, body string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = response.Body.Close() }() // only read
		b, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(b)
	}
	eventually(t, "the server", func() bool { code, _ := get("/healthz"); return code == http.StatusOK })
	l.heartbeat.mu.Lock()
	l.heartbeat.since = l.heartbeat.since.Add(-stuckAfter)
	l.heartbeat.mu.Unlock()
	if code, body := get("/healthz"); code != http.StatusInternalServerError || !strings.Contains(body, "[-]engine failed") {
		t.Errorf("%d\n%s", code, body)
	}
	if code, body := get("/healthz/engine"); code != http.StatusInternalServerError || !strings.Contains(body, "it is observing Pod shop/a") {
		t.Errorf("%d\n%s", code, body)
	}
	stop()
	if err := <-ended; !errors.Is(err, errUnended) {
		t.Error(err)
	}
}

package export

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/otlp/internal/otlptest"
	"github.com/rollspan/rollspan/pkg/spans"
)

// both runs a test against a gRPC and against an HTTP collector.
func both(t *testing.T, test func(t *testing.T, c *collector)) {
	for _, protocol := range []string{ProtocolGRPC, ProtocolHTTP} {
		t.Run(strings.ReplaceAll(protocol, "/", "-"), func(t *testing.T) {
			test(t, newCollector(t, protocol))
		})
	}
}

const secret = "Bearer s3cr3t-t0ken"

// testConfig is a Config for c that tries again at once.
func testConfig(c *collector) Config {
	return Config{
		Endpoint: "http://" + c.address, Protocol: c.protocol, Headers: "authorization=" + secret,
		MinBackoff: time.Millisecond, MaxBackoff: 4 * time.Millisecond,
	}
}

// startExporter returns an Exporter that waits for an answer as long as it takes,
// unless config says how long: on a busy machine it would otherwise give up a
// request that arrives all the same, and its spans would come twice.
func startExporter(t *testing.T, config Config) (*Exporter, *logs) {
	t.Helper()
	if config.Timeout == 0 {
		config.Timeout = forever
	}
	l := &logs{}
	e, err := New(config, testEncoder(t), l.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		e.Shutdown(ended) //nolint:errcheck // Most tests have done it before.
		if strings.Contains(l.String(), "s3cr3t") {
			t.Errorf("the credentials were logged:\n%s", l)
		}
	})
	return e, l
}

// finish shuts e down without a hurry, and checks that everything is accounted
// for.
func finish(t *testing.T, e *Exporter) Stats {
	t.Helper()
	if left, err := e.Shutdown(t.Context()); left != 0 || err != nil {
		t.Fatalf("Shutdown: %d left, %v", left, err)
	}
	return checkBalance(t, e)
}

func checkBalance(t *testing.T, e *Exporter) Stats {
	t.Helper()
	s := e.Stats()
	if s.Enqueued != int64(s.Queued+s.Behind)+s.Sent+s.Rejected+s.Dropped.Total() {
		t.Errorf("spans are unaccounted for: %+v", s)
	}
	return s
}

func wantSpans(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the collector has %d spans, want %d; in order: %v, want %v", len(got), len(want), got, want)
	}
}

func TestCollectorDownAtStart(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		e, l := startExporter(t, testConfig(c))
		traces := []spans.Trace{otlptest.Rollout()}
		more := numbered(0, 30)
		e.Enqueue(traces)
		e.Enqueue(more)
		l.await(t, "cannot be reached")
		c.up()
		l.await(t, "takes spans again")

		stats := finish(t, e)
		wantSpans(t, c.got(), ids(traces, more))
		if stats.Sent != 32 || stats.Retries == 0 || stats.Down {
			t.Errorf("%+v", stats)
		}
		for _, once := range []string{"cannot be reached", "takes spans again"} {
			if n := l.count(once); n != 1 {
				t.Errorf("%q was logged %d times:\n%s", once, n, l)
			}
		}
		if !strings.Contains(l.String(), c.address) || !strings.Contains(l.String(), `"check"="the host is there, and nothing listens`) {
			t.Errorf("the log does not say where or what to do:\n%s", l)
		}
	})
}

func TestCollectorDiesAndComesBack(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		config := testConfig(c)
		config.BatchSpans = 3
		e, l := startExporter(t, config)
		c.up()
		traces := numbered(0, 40)
		half := make(chan struct{})
		var once sync.Once
		c.on(func(request) reply {
			if len(c.got()) < 18 {
				return reply{}
			}
			once.Do(func() { close(half) })
			return reply{grpc: codes.Unavailable, http: http.StatusServiceUnavailable, message: "dying"}
		})
		e.Enqueue(traces)
		<-half
		c.down()
		l.await(t, "cannot be reached")
		c.on(nil)
		c.up()

		stats := finish(t, e)
		wantSpans(t, c.got(), ids(traces)) // In order, and none twice.
		if stats.Sent != 40 || l.count("takes spans again") != 1 {
			t.Errorf("%+v\n%s", stats, l)
		}
	})
}

// idsOf are the IDs of spans that are encoded.
func idsOf(list []*otlp.Packed) (ids []string) {
	for _, it := range list {
		_, id := it.IDs()
		ids = append(ids, id.String())
	}
	return ids
}

// What others needed the room of is gone, and what waits at the end is not.
func TestGoneForRoom(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		config := testConfig(c) // of a collector that is not up
		config.QueueSpans = 10
		var mu sync.Mutex
		var gone []string
		config.Gone = func(list []*otlp.Packed) {
			mu.Lock()
			defer mu.Unlock()
			gone = append(gone, idsOf(list)...)
		}
		e, _ := startExporter(t, config)
		traces := numbered(0, 40)
		e.Enqueue(traces)
		stats := e.Stats()
		now, cancel := context.WithCancel(t.Context())
		cancel()
		left, _ := e.Shutdown(now) // it says that some are left
		mu.Lock()
		defer mu.Unlock()
		if int64(len(gone)) != stats.Dropped.QueueFull || len(gone)+left != 40 || left == 0 {
			t.Errorf("%d are gone and %d left; %+v", len(gone), left, stats)
		}
	})
}

func TestPartialSuccess(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		c.on(func(request) reply { return reply{rejected: 2, message: "span too old"} })
		config := testConfig(c)
		config.Acknowledged = func(taken []*spans.Span) { t.Errorf("%d spans were acknowledged; nobody can know that", len(taken)) }
		var gone []string // from one goroutine, which finish waits for
		config.Gone = func(list []*otlp.Packed) { gone = append(gone, idsOf(list)...) }
		e, l := startExporter(t, config)
		e.Enqueue(numbered(0, 5))

		stats := finish(t, e)
		wantSpans(t, gone, ids(numbered(0, 5)))
		if stats.Sent != 3 || stats.Rejected != 2 || stats.Retries != 0 || stats.LastError != "span too old" {
			t.Errorf("%+v", stats)
		}
		if c.requests != 1 || l.count("span too old") != 1 {
			t.Errorf("%d requests, want 1:\n%s", c.requests, l)
		}
	})
}

func TestThrottled(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		n := 0 // Requests come one after the other.
		c.on(func(request) reply {
			if n++; n%2 == 1 {
				return reply{grpc: codes.ResourceExhausted, http: http.StatusTooManyRequests, message: "slow down", retry: n == 1}
			}
			return reply{}
		})
		config := testConfig(c)
		config.BatchSpans = 4
		e, l := startExporter(t, config)
		traces := numbered(0, 12)
		e.Enqueue(traces)

		if stats := finish(t, e); stats.Sent != 12 || stats.Retries < 3 {
			t.Errorf("%+v", stats)
		}
		wantSpans(t, c.got(), ids(traces))
		if l.count("asks for less") != 1 || l.count("takes spans again") != 0 {
			t.Errorf("throttling is normal, and said once:\n%s", l)
		}
	})
}

func TestTooLarge(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.maxBytes = 16 << 10
		c.up()
		e, l := startExporter(t, testConfig(c))
		before, after := numbered(0, 300), numbered(300, 300)
		giant := otlptest.Rollout()
		for i := range 8 {
			giant.Spans[0].Attributes = append(giant.Spans[0].Attributes,
				attribute.String(strings.Repeat("k", i+1), strings.Repeat("v", spans.MaxText)))
		}
		giant.Spans = giant.Spans[:1]
		e.Enqueue(slices.Concat(before, []spans.Trace{giant}, after))

		stats := finish(t, e)
		wantSpans(t, c.got(), ids(before, after))
		if stats.Dropped.TooLarge != 1 || stats.Dropped.Total() != 1 {
			t.Errorf("%+v", stats)
		}
		if l.count(giant.Spans[0].SpanID.String()) != 1 || l.count("arge") == 0 {
			t.Errorf("the log does not say which span, and why:\n%s", l)
		}
	})
}

func TestOneBadSpan(t *testing.T) {
	for name, answer := range map[string]reply{
		"refused": {grpc: codes.InvalidArgument, http: http.StatusBadRequest, message: "bad span"},
		// A collector that fails may do so for the span's sake, or not.
		"crashes": {grpc: codes.Internal, http: http.StatusInternalServerError, message: "bad span"},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, c *collector) {
				c.up()
				c.on(func(r request) reply {
					for _, s := range r.spans {
						if s.Name == "span 13" {
							return answer
						}
					}
					return reply{}
				})
				config := testConfig(c)
				config.BatchSpans = 32
				var acknowledged []string // from one goroutine, which finish waits for
				config.Acknowledged = func(taken []*spans.Span) {
					for _, s := range taken {
						acknowledged = append(acknowledged, s.SpanID.String())
					}
				}
				var gone []string
				config.Gone = func(list []*otlp.Packed) { gone = append(gone, idsOf(list)...) }
				e, l := startExporter(t, config)
				traces := numbered(0, 40)
				e.Enqueue(traces)

				stats := finish(t, e)
				wantSpans(t, gone, ids(traces))
				want := slices.Delete(ids(traces), 13, 14)
				wantSpans(t, acknowledged, want)
				got := c.got() // one is sent ahead, and again, to see whether it is the spans
				slices.Sort(got)
				slices.Sort(want)
				wantSpans(t, slices.Compact(got), want)
				if stats.Sent != 39 || stats.Dropped.Refused != 1 || stats.Dropped.Total() != 1 {
					t.Errorf("%+v", stats)
				}
				if l.count("Dropped a span") != 1 || l.count("bad span") == 0 {
					t.Errorf("the log does not have the collector's words:\n%s", l)
				}
			})
		})
	}
}

// What only people can put right costs no span.
func TestWaitsForPeople(t *testing.T) {
	for name, answer := range map[string]reply{
		"do not accept": {grpc: codes.Unauthenticated, http: http.StatusUnauthorized, message: "no such user: " + secret},
		"not allowed":   {grpc: codes.PermissionDenied, http: http.StatusForbidden, message: "s3cr3t-t0ken may not write"},
		"elsewhere":     {grpc: codes.Unimplemented, http: http.StatusNotFound, message: "what?"},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, c *collector) {
				c.up()
				c.on(func(r request) reply {
					if r.authorization != secret {
						t.Errorf("the collector got the header %q", r.authorization)
					}
					return answer
				})
				e, l := startExporter(t, testConfig(c))
				traces := numbered(0, 5)
				e.Enqueue(traces)
				l.await(t, "keeps trying")
				c.on(nil)

				if stats := finish(t, e); stats.Sent != 5 || stats.Dropped.Total() != 0 {
					t.Errorf("%+v", stats)
				}
				wantSpans(t, c.got(), ids(traces))
				want := "credentials"
				if answer.http == http.StatusNotFound {
					want = "takes no traces"
				}
				if l.count("keeps trying") != 1 || l.count(want) == 0 {
					t.Errorf("want %q:\n%s", want, l)
				}
			})
		})
	}
}

func TestSlowCollector(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		e, l := startExporter(t, func() Config {
			config := testConfig(c)
			config.Timeout = 500 * time.Millisecond
			return config
		}())
		arrived, release := make(chan struct{}), make(chan struct{})
		var requests atomic.Int32
		c.on(func(request) reply {
			if requests.Add(1) == 1 {
				close(arrived)
				// Until the client has given up, and not until the deadline
				// that gRPC tells the server: an answer at that moment may
				// still be in time.
				select {
				case <-release:
				case <-t.Context().Done(): // The test has failed.
				}
				return reply{grpc: codes.Unavailable, http: http.StatusServiceUnavailable}
			}
			return reply{}
		})
		traces := numbered(0, 20)
		e.Enqueue(traces[:1])
		<-arrived
		e.Enqueue(traces[1:]) // Returns, though the collector does not.
		l.await(t, "--otlp-timeout")
		close(release)
		if stats := finish(t, e); stats.Sent != 20 || stats.Retries == 0 {
			t.Errorf("%+v", stats)
		}
		// On a busy machine others may take too long, too. What the Exporter gave
		// up the collector may have all the same, and gets once more.
		wantSpans(t, withoutRepeats(c.got()), ids(traces))
	})
}

// withoutRepeats leaves out what was there before.
func withoutRepeats(list []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func TestQueueOverflowDropsTheOldest(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		arrived, release := make(chan struct{}), make(chan struct{})
		c.on(func(request) reply {
			arrived <- struct{}{}
			<-release
			return reply{}
		})
		config := testConfig(c)
		config.QueueSpans, config.BatchSpans = 10, 5
		e, l := startExporter(t, config)
		inFlight, lost, kept := numbered(0, 5), numbered(5, 15), numbered(20, 5)
		e.Enqueue(inFlight)
		<-arrived
		e.Enqueue(lost)
		e.Enqueue(kept)
		if stats := checkBalance(t, e); stats.Queued != 10 || stats.Dropped.QueueFull != 15 {
			t.Errorf("%+v", stats)
		}
		c.on(nil)
		close(release)

		stats := finish(t, e)
		wantSpans(t, c.got(), ids(inFlight, kept))
		if stats.Sent != 10 || stats.Dropped.Total() != 15 {
			t.Errorf("%+v", stats)
		}
		if n := l.count("Dropped the oldest spans"); n != 1 {
			t.Errorf("dropping was logged %d times, want once in a while:\n%s", n, l)
		}
	})
}

func TestQueueBytesAreBounded(t *testing.T) {
	c := newCollector(t, ProtocolGRPC)
	config := testConfig(c)
	config.QueueBytes = 64 << 10
	e, _ := startExporter(t, config)
	e.Enqueue(numbered(0, 2000))
	stats := checkBalance(t, e)
	if stats.QueuedBytes > config.QueueBytes || stats.Queued == 0 || stats.Dropped.QueueFull == 0 {
		t.Errorf("%+v", stats)
	}
}

func TestShutdownReportsWhatIsLeft(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		e, l := startExporter(t, testConfig(c))
		e.Enqueue(numbered(0, 7))
		l.await(t, "cannot be reached")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		left, err := e.Shutdown(ended)
		if left != 7 || err == nil || !strings.Contains(err.Error(), c.address) {
			t.Errorf("%d left, %v", left, err)
		}
		e.Enqueue(numbered(7, 2))
		if again, err := e.Shutdown(t.Context()); again != 7 || err == nil {
			t.Errorf("the second time: %d left, %v", again, err)
		}
		if stats := checkBalance(t, e); stats.Dropped.Closed != 2 {
			t.Errorf("%+v", stats)
		}
	})
}

// A web page or a redirect that says 200 in the end is no acknowledgement.
func TestNotACollector(t *testing.T) {
	var mu sync.Mutex
	posts := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch posts++; {
		case r.Method != http.MethodPost:
			t.Errorf("a %s was made of the POST", r.Method)
		case posts == 1:
			http.Redirect(w, r, "/login", http.StatusFound)
		case posts == 2:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		}
	}))
	defer server.Close()
	e, l := startExporter(t, Config{
		Endpoint: server.URL, Protocol: ProtocolHTTP, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond,
	})
	e.Enqueue(numbered(0, 3))
	if stats := finish(t, e); stats.Sent != 3 || stats.Retries != 2 || posts != 3 {
		t.Errorf("%d posts, %+v", posts, stats)
	}
	if l.count("302 Found: it leads to /login") != 1 {
		t.Errorf("the log does not say where the redirect leads:\n%s", l)
	}
}

// A collector that said 200 has the spans, even if the rest of its answer is
// lost.
func TestAnswerBreaksOff(t *testing.T) {
	var posts atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		posts.Add(1)
		w.Header().Set("Content-Length", "100") // And nothing follows.
	}))
	defer server.Close()
	e, _ := startExporter(t, Config{Endpoint: server.URL, Protocol: ProtocolHTTP})
	e.Enqueue(numbered(0, 3))
	if stats := finish(t, e); stats.Sent != 3 || posts.Load() != 1 {
		t.Errorf("%d posts, %+v", posts.Load(), stats)
	}
}

// Everything at once, for the race detector and the books.
func TestManyWriters(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		n := 0
		c.on(func(request) reply {
			switch n++; n % 5 {
			case 0:
				return reply{grpc: codes.Unavailable, http: http.StatusServiceUnavailable}
			case 1:
				return reply{rejected: 1}
			}
			return reply{}
		})
		config := testConfig(c)
		config.QueueSpans, config.BatchSpans = 150, 10
		e, _ := startExporter(t, config)
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for i := range 25 {
					e.Enqueue(numbered(w*100+i*4, 4))
					checkBalance(t, e)
				}
			})
		}
		writers.Wait()
		stats := finish(t, e)
		got := c.got()
		if int64(len(got)) != stats.Sent+stats.Rejected || stats.Enqueued != 400 {
			t.Errorf("the collector has %d spans, %+v", len(got), stats)
		}
		slices.Sort(got)
		if once := slices.Compact(got); int64(len(once)) != stats.Sent+stats.Rejected {
			t.Errorf("some of %d spans came twice", stats.Sent)
		}
	})
}

// BenchmarkEnqueue is what handing a trace over costs the goroutine that
// watches the cluster, with a full queue, which is the worst case.
func BenchmarkEnqueue(b *testing.B) {
	e := &Exporter{
		wake: make(chan struct{}, 1), closing: make(chan struct{}),
		encoder:  testEncoder(b),
		queue:    newQueue(10_000, DefaultQueueBytes, 0),
		settings: &settings{},
	}
	traces := []spans.Trace{otlptest.Rollout()}
	b.ReportAllocs()
	for b.Loop() {
		e.Enqueue(traces)
	}
}

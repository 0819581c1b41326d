package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollspan/rollspan/pkg/alarms"
)

// receiver takes events, and answers as it is told.
type receiver struct {
	*httptest.Server
	running sync.WaitGroup
	mu      sync.Mutex
	taken   map[int]string // the subjects of what it has said that it took, by request
	headers []http.Header
	asked   int
}

// newReceiver starts a receiver. answer gets the number of the request, from 1 on, and says whether
// the event was taken.
func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter) bool) *receiver {
	t.Helper()
	r := &receiver{taken: map[int]string{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.running.Add(1)
		defer r.running.Done()
		var e cloudEvent
		body, err := io.ReadAll(request.Body)
		if err != nil || json.Unmarshal(body, &e) != nil || request.Method != http.MethodPost ||
			request.Header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" {
			t.Errorf("%s of %s: %v\n%s", request.Method, request.Header, err, body)
		}
		r.mu.Lock()
		r.asked++
		n := r.asked
		r.headers = append(r.headers, request.Header)
		r.mu.Unlock()
		took := answer(n, w)
		r.mu.Lock()
		defer r.mu.Unlock()
		if took {
			r.taken[n] = e.Subject
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// subjects are those of what was taken, when all requests are over.
func (r *receiver) subjects() (list []string) {
	r.running.Wait()
	for _, n := range slices.Sorted(maps.Keys(r.taken)) {
		list = append(list, r.taken[n])
	}
	return list
}

// status answers with a status, which says whether the event was taken.
func status(code int) func(int, http.ResponseWriter) bool {
	return func(_ int, w http.ResponseWriter) bool {
		w.WriteHeader(code)
		return code < 300
	}
}

// logs is what a Sender has logged.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) logger() logr.Logger {
	return funcr.New(func(_, line string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, line)
	}, funcr.Options{})
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func (l *logs) count(part string) int { return strings.Count(l.String(), part) }

func start(t *testing.T, c Config, now func() time.Time) (*Sender, *logs) {
	t.Helper()
	c.MinBackoff, c.MaxBackoff = time.Millisecond, 2*time.Millisecond
	said := &logs{}
	s, err := newSender(c, newTeller(t), nil, said.logger(), now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx) // it was closed before, or what is left does not matter
	})
	return s, said
}

func alarm(namespace string, n int) alarms.Alarm {
	return alarms.Alarm{Name: "A", Object: alarms.Object{Kind: "Pod", Namespace: namespace, Name: fmt.Sprint(n)}, Since: time.Unix(int64(n), 0)}
}

// balanced checks that every event is in one place.
func balanced(t *testing.T, s *Sender, offered int64) Stats {
	t.Helper()
	st := s.Stats()
	if st.Offered != offered || st.Offered != int64(st.Queued)+st.Sent+st.Lost.Total() || st.Queued > st.MaxQueued || st.QueuedBytes > st.MaxQueuedBytes {
		t.Errorf("of %d events: %+v", offered, st)
	}
	return st
}

// TestReceivers sends three events to receivers that are not as one would wish. What is taken is
// taken once and in order, what is not is counted, and said once.
func TestReceivers(t *testing.T) {
	all := []string{"shop/pod/0", "shop/pod/1", "shop/pod/2"}
	firstTwice := func(failed func(w http.ResponseWriter)) func(int, http.ResponseWriter) bool {
		return func(n int, w http.ResponseWriter) bool {
			if n <= 2 {
				failed(w)
				return false
			}
			return true
		}
	}
	breakOff := func(w http.ResponseWriter, begin string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, begin) // whether it arrives or not
		_ = conn.Close()
	}
	for name, test := range map[string]struct {
		answer           func(int, http.ResponseWriter) bool
		taken            []string
		refused, retries int64
		said             string // once, if not empty
		check            string // what to look at, if not empty
	}{
		"takes":                     {answer: status(http.StatusOK), taken: all},
		"takes with nothing to say": {answer: status(http.StatusNoContent), taken: all},
		"takes with an odd status":  {answer: status(299), taken: all},
		"is away at first":          {answer: firstTwice(func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }), taken: all, retries: 2, said: "503 Service Unavailable", check: "look into the receiver's own log"},
		"wants less": {answer: firstTwice(func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		}), taken: all, retries: 2, said: "429 Too Many Requests", check: "look into the receiver's own log"},
		"takes no credentials":   {answer: firstTwice(func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }), taken: all, retries: 2, said: "check --webhook-url and the headers"},
		"dies before it answers": {answer: firstTwice(func(w http.ResponseWriter) { breakOff(w, "") }), taken: all, retries: 2, said: "keeps trying", check: "check that the receiver runs"},
		"dies within an answer":  {answer: firstTwice(func(w http.ResponseWriter) { breakOff(w, "HTTP/1.1 50") }), taken: all, retries: 2, said: "keeps trying"},
		"dies behind a status that is good": {answer: func(_ int, w http.ResponseWriter) bool {
			breakOff(w, "HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nhalf")
			return true
		}, taken: all},
		"does not want the second": {answer: func(n int, w http.ResponseWriter) bool {
			if n == 2 {
				w.WriteHeader(http.StatusUnprocessableEntity)
			}
			return n != 2
		}, taken: []string{all[0], all[2]}, refused: 1, said: "Dropped events for the webhook"},
		"wants none":     {answer: status(http.StatusBadRequest), refused: 3, said: "400 Bad Request"},
		"fails for ever": {answer: status(http.StatusInternalServerError), refused: 3, retries: 3 * (maxFailures - 1), said: "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, test.answer)
			s, said := start(t, Config{URL: r.URL}, time.Now)
			for n := range 3 {
				s.Begin(alarm("shop", n))
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if got := r.subjects(); !slices.Equal(got, test.taken) {
				t.Errorf("it took %v, want %v", got, test.taken)
			}
			st := balanced(t, s, 3)
			if st.Sent != int64(len(test.taken)) || st.Lost.Refused != test.refused || st.Retries != test.retries {
				t.Errorf("%+v, want %d sent, %d refused, %d retries", st, len(test.taken), test.refused, test.retries)
			}
			if test.said == "" && said.String() != "" || test.said != "" && (said.count(test.said) < 1 || said.count("do not take") > 1 || said.count("not take events; they wait") > 1) {
				t.Errorf("it logs, want %q:\n%s", test.said, said)
			}
			if said.count(test.check) == 0 {
				t.Errorf("it does not say to %q:\n%s", test.check, said)
			}
		})
	}
}

// TestFailureAfterAnOutage has a receiver that is away for longer than an event may be failed for, and
// fails once as it comes back. That it was away says nothing of the event.
func TestFailureAfterAnOutage(t *testing.T) {
	r := newReceiver(t, func(n int, w http.ResponseWriter) bool {
		switch {
		case n <= maxFailures:
			w.WriteHeader(http.StatusServiceUnavailable)
		case n == maxFailures+1:
			w.WriteHeader(http.StatusInternalServerError)
		}
		return n > maxFailures+1
	})
	s, _ := start(t, Config{URL: r.URL}, time.Now)
	s.Begin(alarm("shop", 0))
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if st := balanced(t, s, 1); st.Sent != 1 || st.Retries != maxFailures+1 {
		t.Errorf("%+v", st)
	}
}

// TestReceiverThatNeverAnswers has one that takes the first request and then says nothing. Whoever
// has events does not wait for it: a hundred times what the queue holds goes by, and what has no
// room is counted. Each namespace keeps its share.
func TestReceiverThatNeverAnswers(t *testing.T) {
	asked, end := make(chan bool, 1), make(chan bool)
	r := newReceiver(t, func(int, http.ResponseWriter) bool {
		select {
		case asked <- true:
		default:
		}
		<-end
		return false
	})
	t.Cleanup(func() { close(end) }) // before the receiver is closed
	s, said := start(t, Config{URL: r.URL, QueueEvents: 20, QueueBytes: 1 << 20, Timeout: time.Hour}, time.Now)
	s.Begin(alarm("quiet", 0))
	s.Begin(alarm("quiet", 1))
	<-asked
	for n := range 2000 {
		s.Begin(alarm("flood", n))
	}
	st := balanced(t, s, 2002)
	if st.Queued != 20 || st.Lost.QueueFull != 1982 {
		t.Errorf("%+v", st)
	}
	s.mu.Lock()
	var waiting []string
	for _, it := range s.queue {
		waiting = append(waiting, it.namespace)
	}
	newest := s.queue[19].body
	s.mu.Unlock()
	if !slices.Equal(waiting[:3], []string{"quiet", "quiet", "flood"}) || !bytes.Contains(newest, []byte("flood/pod/1999")) {
		t.Errorf("what waits is of %v, the newest is %s", waiting, newest)
	}
	if n := said.count("Dropped events for the webhook"); n != 1 {
		t.Errorf("it says %d times that events were dropped:\n%s", n, said)
	}

	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(Metrics(s.Stats)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 7 {
		t.Fatalf("there are %d metrics: %v", len(families), err)
	}
	for _, m := range families[0].GetMetric() {
		full := m.GetLabel()[0].GetValue() == "queue_full"
		if want := float64(1982); families[0].GetName() != "rollspan_webhook_events_total" || full != (m.GetCounter().GetValue() == want) {
			t.Errorf("%s has %v", families[0].GetName(), m)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err == nil || !strings.Contains(err.Error(), "20 events were not delivered to the webhook at "+r.URL) {
		t.Errorf("the error is %v", err)
	}
	s.Begin(alarm("late", 0))
	if st := balanced(t, s, 2003); st.Lost.Closed != 21 {
		t.Errorf("%+v", st)
	}
}

// TestQueueIsBoundedInBytes has room for three events.
func TestQueueIsBoundedInBytes(t *testing.T) {
	end := make(chan bool)
	r := newReceiver(t, func(int, http.ResponseWriter) bool { <-end; return true })
	t.Cleanup(func() { close(end) })
	s, _ := start(t, Config{URL: r.URL, QueueBytes: 3 << 10, Timeout: time.Hour}, time.Now)
	for n := range 10 {
		s.Begin(alarm("shop", n))
	}
	if st := balanced(t, s, 10); st.Queued < 2 || st.Queued > 6 || st.Lost.QueueFull != int64(10-st.Queued) {
		t.Errorf("%+v", st)
	}
}

// TestReceiverThatIsAwayForLong drops what is too old to be of use.
func TestReceiverThatIsAwayForLong(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	// Each look at the clock is a minute later.
	var minutes atomic.Int64
	s, said := start(t, Config{URL: nobody}, func() time.Time { return time.Unix(60*minutes.Add(1), 0) })
	s.Begin(alarm("shop", 0))
	s.Begin(alarm("shop", 1))
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if st := balanced(t, s, 2); st.Lost.Expired != 2 || st.Retries < 2 {
		t.Errorf("%+v", st)
	}
	if said.count("not take events; they wait") != 1 || said.count("connection refused") != 1 || said.count("tried for too long") == 0 {
		t.Errorf("it logs:\n%s", said)
	}
}

// TestRedirects leads the request, with what is secret in it, to another host. Nobody goes there.
func TestRedirects(t *testing.T) {
	other := newReceiver(t, func(int, http.ResponseWriter) bool { t.Error("the request was led elsewhere"); return true })
	for _, code := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		r := newReceiver(t, func(n int, w http.ResponseWriter) bool {
			if n == 1 {
				w.Header().Set("Location", other.URL+"/login?token=hunter2-hunter2")
				w.WriteHeader(code)
			}
			return n > 1
		})
		s, said := start(t, Config{URL: r.URL, HeadersFile: headers(t, "authorization=Bearer%20hunter2-hunter2")}, time.Now)
		s.Begin(alarm("shop", 0))
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if st := balanced(t, s, 1); st.Sent != 1 || st.Retries != 1 {
			t.Errorf("%d: %+v", code, st)
		}
		if said.count("it leads to "+other.URL+", which is not followed") != 1 || said.count("hunter2") > 0 {
			t.Errorf("%d: it logs:\n%s", code, said)
		}
	}
}

func headers(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSecrets has secrets in a file, which is renewed, and in the URL. The receiver gets them, and
// repeats them when it complains. No log has them.
func TestSecrets(t *testing.T) {
	file := headers(t, "authorization=Bearer%20first-secret\nx-team=shop")
	renewed := make(chan bool)
	r := newReceiver(t, func(n int, w http.ResponseWriter) bool {
		if n == 2 {
			<-renewed
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "I do not know second-secret at /hooks/url-secret") // it is only about the log
			return false
		}
		return true
	})
	s, said := start(t, Config{URL: r.URL + "/hooks/url-secret?sig=query-secret", HeadersFile: file}, time.Now)
	s.Begin(alarm("shop", 0))
	s.Begin(alarm("shop", 1))
	if err := os.WriteFile(file, []byte("authorization=Bearer%20second-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	close(renewed)
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.headers) != 3 || r.headers[2].Get("Authorization") != "Bearer second-secret" || r.headers[2].Get("X-Team") != "" {
		t.Errorf("the headers are %v", r.headers)
	}
	for _, secret := range []string{"first-secret", "second-secret", "url-secret", "query-secret"} {
		if said.count(secret) > 0 {
			t.Errorf("%s is in the log:\n%s", secret, said)
		}
	}
	if said.count("500 Internal Server Error") != 1 {
		t.Errorf("it logs:\n%s", said)
	}
}

// TestRetryAfter is what a receiver may ask for.
func TestRetryAfter(t *testing.T) {
	s, _ := start(t, Config{URL: "http://127.0.0.1:1"}, time.Now)
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "": 0, "soon": 0, "1000000": maxAfter} {
		response := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {header}}, Body: http.NoBody}
		if a := read(s.peer, response, nil); a.after != want || a.verdict != away {
			t.Errorf("%q: %+v, want to wait %v", header, a, want)
		}
	}
}

// TestWrongConfigs are refused at the start, with the flag's name and without secrets.
func TestWrongConfigs(t *testing.T) {
	for want, c := range map[string]Config{
		"--webhook-url: it does not begin with https://": {URL: "hooks.example/secret-path"},
		"--webhook-url: it is no URL":                    {URL: "https://hooks.example:port/secret-path"},
		"--webhook-url: a password in the URL":           {URL: "https://me:secret-path@hooks.example"},
		"--webhook-headers-file: ":                       {URL: "https://hooks.example/secret-path", HeadersFile: "/nowhere"},
		"--webhook-certificate: the URL is plain text":   {URL: "http://hooks.example/secret-path", Certificate: "ca.pem"},
		"--webhook-client-key: a certificate needs":      {URL: "https://hooks.example/secret-path", ClientKey: "key.pem"},
		"--webhook-timeout: -1s is not a time":           {URL: "https://hooks.example/secret-path", Timeout: -time.Second},
		"--webhook-include: \"x\"":                       {URL: "https://hooks.example/secret-path", Include: []string{"x"}},
		"--webhook-exclude is of no use without":         {Exclude: []string{"type=alarm"}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret-path") {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
	for _, c := range []Config{{}, {URL: "https://hooks.example/x?y=z", Include: []string{"outcome=failed"}}} {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

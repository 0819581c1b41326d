package watcher

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// engine is what a Live needs of a *causality.Engine.
type engine = journal.Engine

// stuckAfter is how long the loop may be in one call of the engine or the sink
// before it is taken for one that will not return. The calls of a list are one for
// each object, and take microseconds; the longest looks at what is due of all that
// is in a cluster.
const stuckAfter = 30 * time.Second

// heartbeat knows what the loop that owns the engine is in, and since when. A loop
// that waits for news is in nothing, however long it waits.
type heartbeat struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	in    call
	since time.Time // zero while the loop is in nothing
	said  time.Time // since of the call that was complained about
}

// call is what the loop is in. It is put into words when somebody asks.
type call struct {
	what  string
	about runtime.Object // nil for no object
	trace *spans.Trace   // nil for none
}

func (c call) String() string {
	switch m, ok := c.about.(metav1.Object); {
	case ok:
		name := cache.ObjectName{Namespace: m.GetNamespace(), Name: m.GetName()}
		return fmt.Sprintf("%s %s %s", c.what, c.about.GetObjectKind().GroupVersionKind().Kind, name)
	case c.trace != nil && c.trace.Root() != nil:
		root := c.trace.Root()
		return fmt.Sprintf("%s %s of %s (trace %s)", c.what, root.Name, root.Subject, root.TraceID)
	}
	return c.what
}

// enter notes that the loop is in a call, until leave.
func (h *heartbeat) enter(c call) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in, h.since = c, h.now()
	return h.leave
}

func (h *heartbeat) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in, h.since = call{}, time.Time{}
}

// busy is how long the loop has been in the call that it is in, and what that is.
func (h *heartbeat) busy() (in call, since time.Time, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() {
		return call{}, time.Time{}, 0
	}
	return h.in, h.since, h.now().Sub(h.since)
}

// At says what the loop that owns the engine is at, for people.
func (l *Live) At() string {
	if in, _, took := l.heartbeat.busy(); took > 0 {
		return fmt.Sprintf("%s, for %s", in, took.Round(time.Millisecond))
	}
	return "waiting for news"
}

// Check is a liveness check: it fails while the loop is stuck. The first one that
// fails is logged, as the server of the checks does not say why they do.
func (h *heartbeat) Check(*http.Request) error {
	in, since, took := h.busy()
	if took < stuckAfter {
		return nil
	}
	err := fmt.Errorf("the loop has not turned for %s: it is %s; no change is told until rollspan is restarted", took.Round(time.Second), in)
	h.mu.Lock()
	say := !h.said.Equal(since)
	h.said = since
	h.mu.Unlock()
	if say {
		h.log.Error("rollspan is stuck; /healthz fails", "error", err)
	}
	return err
}

// errUnended says that a Live did not end in the time it had.
var errUnended = errors.New("the watch did not end in time")

// unended is that error, with what the loop was at.
func (l *Live) unended(grace time.Duration) error {
	return fmt.Errorf("%w (%s): it is %s", errUnended, grace, l.At())
}

// collector is the metric of how long the loop has been in one call.
func (h *heartbeat) collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "rollspan", Name: "engine_busy_seconds",
		Help: "How long the engine, or the output, has been at what it is at; 0 while it waits for news."},
		func() float64 { _, _, took := h.busy(); return took.Seconds() })
}

// watchedEngine notes the calls of an engine.
type watchedEngine struct {
	engine
	heartbeat *heartbeat
}

func (w watchedEngine) Observe(o causality.Observation) []spans.Trace {
	defer w.heartbeat.enter(call{what: "observing", about: o.Object})()
	return w.engine.Observe(o)
}

func (w watchedEngine) Advance(now time.Time) []spans.Trace {
	defer w.heartbeat.enter(call{what: "looking at what is due"})()
	return w.engine.Advance(now)
}

func (w watchedEngine) Preview() []spans.Trace {
	defer w.heartbeat.enter(call{what: "looking at what is in progress"})()
	return w.engine.Preview()
}

func (w watchedEngine) About(refs []causality.Ref) []causality.Known {
	defer w.heartbeat.enter(call{what: "looking at what alarms are about"})()
	return w.engine.About(refs)
}

func (w watchedEngine) Close() []spans.Trace {
	defer w.heartbeat.enter(call{what: "looking at what is over"})()
	return w.engine.Close()
}

func (w watchedEngine) Stats() causality.Stats {
	defer w.heartbeat.enter(call{what: "counting what is open"})()
	return w.engine.Stats()
}

// watchedSink notes the deliveries to a sink.
type watchedSink struct {
	Sink
	heartbeat *heartbeat
}

func (w watchedSink) Deliver(t spans.Trace) error {
	defer w.heartbeat.enter(call{what: "delivering", trace: &t})()
	return w.Sink.Deliver(t)
}

package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Exporter delivers spans to an OTLP collector, at least once: a span stays
// in the Exporter's queue until the collector has acknowledged it. While no
// collector answers, spans wait. Past the queue's limits the namespace that
// holds most of it loses its oldest spans, which is counted and logged.
//
// A span that is sent again is the same in every byte, so that a collector
// that had it already can tell.
type Exporter struct {
	settings *settings
	encoder  *otlp.Encoder
	client   otlptrace.Client
	log      logr.Logger

	// ctx ends when Shutdown may wait no longer.
	ctx    context.Context
	cancel context.CancelFunc
	// wake has room for one: there is something to send, or the end is near.
	wake chan struct{}
	// hurry has room for one: there is little time.
	hurry chan struct{}
	// closing is closed when Shutdown begins.
	closing chan struct{}
	// done is closed when the sender has ended.
	done chan struct{}

	mu       sync.Mutex
	queue    *queue
	store    Store // nil for none
	stored   chan struct{}
	stats    Stats
	overflow losses
}

// Stats are the counters of an Exporter, all taken at one moment. Every span
// is in one place:
//
//	Enqueued = Queued + Behind + Sent + Rejected + Dropped.Total()
type Stats struct {
	// Enqueued is how many spans Enqueue was given, and how many the Store had at the
	// beginning.
	Enqueued int64
	// Behind is how many spans only the Store has.
	Behind int
	// Queued is how many spans wait in memory or are in flight; QueuedBytes is their
	// size as they are sent. They are bounded by MaxQueued and MaxQueuedBytes,
	// which what is in flight may exceed.
	Queued, QueuedBytes       int
	MaxQueued, MaxQueuedBytes int
	// Sent is how many spans the collector acknowledged.
	Sent int64
	// Rejected is how many spans of acknowledged requests the collector
	// refused (OTLP's partial success). They are not sent again.
	Rejected int64
	// Dropped is how many spans will never be sent, by reason.
	Dropped Dropped
	// Requests is how many requests were made; Retries is how many of them
	// failed in a way that had their spans sent again.
	Requests, Retries int64
	// LastError is what the collector or the network said last when a request
	// failed or was only accepted in part, and LastErrorTime when that was.
	LastError     string
	LastErrorTime time.Time
	// Down is whether the last request failed.
	Down bool
}

// Dropped counts spans that will never be sent.
type Dropped struct {
	// QueueFull: others needed the room, and the span's namespace held most.
	QueueFull int64
	// Refused: the collector would not have the span, even alone.
	Refused int64
	// TooLarge: the span alone is larger than the collector takes.
	TooLarge int64
	// Closed: the span came after Shutdown had begun.
	Closed int64
	// Damaged: the Store cannot read the span any more.
	Damaged int64
}

// Total is how many spans were dropped for whatever reason.
func (d Dropped) Total() int64 { return d.QueueFull + d.Refused + d.TooLarge + d.Closed + d.Damaged }

// New returns an Exporter that has begun to work; call Shutdown to end
// it. It does not wait for the collector. An error is c's, as Validate would
// return it.
//
// Credentials never reach log: neither headers, nor what the collector says
// about them.
func New(c Config, encoder *otlp.Encoder, log logr.Logger) (*Exporter, error) {
	s, err := c.resolve()
	if err != nil {
		return nil, err
	}
	s.logTo(log)
	if c.Signal == SignalLogs {
		log = log.WithValues("signal", "logs")
	} else {
		s.warn(log)
	}
	client := newClient(s)
	if err := client.Start(context.Background()); err != nil {
		return nil, fmt.Errorf("OTLP client for %s: %w", s.endpoint.target, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Exporter{
		settings: s,
		encoder:  encoder,
		client:   client,
		log:      log,
		ctx:      ctx,
		cancel:   cancel,
		wake:     make(chan struct{}, 1),
		hurry:    make(chan struct{}, 1),
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
		queue:    newQueue(s.QueueSpans, s.QueueBytes, encoder.ResourceBytes()),
	}
	e.queue.keepEvicted = s.Gone != nil
	if e.store = s.Store; e.store != nil {
		e.queue.onDisk = e.store.Working()
		e.stats.Enqueued = int64(e.behind())
		e.stored = make(chan struct{}, 1)
		go e.storeSoon()
	}
	go newSender(e).run()
	return e, nil
}

// Endpoint is where spans go, for people: the URL or socket, and the protocol.
func (e *Exporter) Endpoint() string {
	return fmt.Sprintf("%s (%s)", e.settings.endpoint.target, e.settings.protocol)
}

// Enqueue takes spans over for delivery. It never blocks and never fails: if
// there is no room, the namespace that holds most of the queue loses its oldest
// spans. It keeps nothing of what it is given.
func (e *Exporter) Enqueue(traces []spans.Trace) {
	given := 0
	for i := range traces {
		given += len(traces[i].Spans)
	}
	if given == 0 {
		return
	}
	items, err := e.encoder.Pack(traces)
	e.enqueue(given, items, err)
}

// EnqueueRecords is Enqueue for log records.
func (e *Exporter) EnqueueRecords(records ...*spans.Record) {
	items, err := e.encoder.PackRecords(records)
	e.enqueue(len(records), items, err)
}

// enqueue takes over what was encoded of what was given; err says why that is not all.
func (e *Exporter) enqueue(given int, items []otlp.Packed, err error) {
	e.mu.Lock()
	e.stats.Enqueued += int64(given)
	if e.isClosing() {
		e.stats.Dropped.Closed += int64(given)
		e.mu.Unlock()
		return
	}
	e.stats.Dropped.Refused += int64(given - len(items))
	warn := e.dropped(e.push(items))
	e.mu.Unlock()

	if err != nil {
		e.log.Error(err, "Dropped spans that cannot be encoded", "spans", given-len(items))
	}
	warn()
	e.signal()
	e.signalStore()
}

// dropped counts what the queue evicted, by namespace. The caller holds the
// lock, and calls what is returned when it does no more.
func (e *Exporter) dropped(evicted map[string]int64) (warn func()) {
	for _, n := range evicted {
		e.stats.Dropped.QueueFull += n
	}
	gone := e.queue.takeEvicted()
	namespaces, n := e.overflow.add(evicted)
	total := e.stats.Dropped.QueueFull
	if n == 0 {
		return func() { e.gone(gone) }
	}
	return func() {
		e.gone(gone)
		e.log.Error(errQueueFull, "Dropped the oldest spans of the namespaces that hold most of the queue; "+
			"more room is given by "+e.roomFlags(),
			"namespaces", namespaces, "spans", n, "total", total, "endpoint", e.settings.endpoint.target)
	}
}

// roomFlags are what gives more room.
func (e *Exporter) roomFlags() string {
	if e.store != nil && e.store.Working() {
		return "--data-dir-max-bytes"
	}
	return "--otlp-queue-spans and --otlp-queue-bytes"
}

// gone passes on what has left the queue for good.
func (e *Exporter) gone(list []*otlp.Packed) {
	if e.settings.Gone != nil && len(list) > 0 {
		e.settings.Gone(list)
	}
}

var errQueueFull = errors.New("too many spans wait for the collector")

// Stats returns the counters so far.
func (e *Exporter) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.stats
	out.Queued = e.queue.len()
	out.QueuedBytes = e.queue.bytes()
	out.Behind = e.behind()
	out.MaxQueued, out.MaxQueuedBytes = e.queue.max[inSpans], e.queue.max[inBytes]
	return out
}

// Shutdown ends the Exporter: what is queued is still sent, with retries, until
// ctx ends. It returns how many spans were left, and if any were lost by that, an
// error that says why: those in a Store are not, so that a collector that does not
// answer is asked once more only. What was in flight when ctx ended
// counts as left, though it may have arrived. Further calls return the same.
func (e *Exporter) Shutdown(ctx context.Context) (left int, err error) {
	e.mu.Lock()
	first := !e.isClosing()
	if first {
		// Under the lock, so that no span slips in behind it.
		close(e.closing)
	}
	e.mu.Unlock()
	e.signal()

	select {
	case <-e.done:
	case <-ctx.Done():
		e.cancel()
		<-e.done
	}
	if first {
		// The sender has ended, so there is nothing that could take long.
		err = e.client.Stop(context.WithoutCancel(ctx))
		e.cancel()
	}
	stats := e.Stats()
	left = stats.Queued + stats.Behind
	if e.store != nil && left > 0 && e.allStored() {
		if first {
			e.log.Info("Spans that the OTLP collector has not taken wait on the disk for the next run", "spans", left)
		}
		return left, err
	}
	if left > 0 {
		why := stats.LastError
		if why == "" {
			why = "there was no time to send them"
		}
		err = fmt.Errorf("%d spans were not delivered to %s: %s", left, e.Endpoint(), why)
	}
	return left, err
}

// allStored makes what waits survive the machine, and says whether all of it does.
func (e *Exporter) allStored() bool {
	e.syncStore()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.store.Working() && !e.queue.anyInMemory()
}

func (e *Exporter) isClosing() bool {
	select {
	case <-e.closing:
		return true
	default:
		return false
	}
}

func (e *Exporter) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// pacer keeps something that may happen often from being logged as often.
type pacer struct {
	last   time.Time
	unsaid int64
}

// pacerInterval is the shortest time between two logs of the same thing.
const pacerInterval = time.Minute

// add counts n more and returns how many to log now: 0, or all since the last.
func (p *pacer) add(n int64) (say int64) {
	p.unsaid += n
	if p.unsaid == 0 || time.Since(p.last) < pacerInterval {
		return 0
	}
	say, p.unsaid, p.last = p.unsaid, 0, time.Now()
	return say
}

// losses are the spans that were evicted and are to be logged, by namespace.
type losses struct {
	pacer
	by map[string]int64
}

// maxLosers is how many namespaces a log names.
const maxLosers = 5

// add counts more, and returns what to log now: who lost most, with how many
// spans, and how many that are with everybody else's; 0 for nothing.
func (l *losses) add(evicted map[string]int64) (namespaces string, n int64) {
	for namespace, more := range evicted {
		// Bounded, because anybody may make namespaces; they are counted all
		// the same.
		if _, known := l.by[namespace]; known || len(l.by) < 1000 {
			if l.by == nil {
				l.by = map[string]int64{}
			}
			l.by[namespace] += more
		}
		n += more
	}
	if n = l.pacer.add(n); n == 0 {
		return "", 0
	}
	losers := slices.SortedFunc(maps.Keys(l.by), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.by[b], l.by[a]), cmp.Compare(a, b))
	})
	var said []string
	for _, namespace := range losers[:min(len(losers), maxLosers)] {
		said = append(said, fmt.Sprintf("%s: %d", cmp.Or(namespace, "(none)"), l.by[namespace]))
	}
	if more := len(losers) - len(said); more > 0 {
		said = append(said, fmt.Sprintf("%d more", more))
	}
	l.by = nil
	return strings.Join(said, ", "), n
}

package watcher

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/failover"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/budget"
)

// Sink takes the traces that the engine has finished. It is called from one
// goroutine. Deliver must not wait for a collector: while it waits, the watch
// stands still. An error ends the run.
type Sink interface {
	Deliver(spans.Trace) error
}

// advanceEvery is how often stream time moves where nothing happens.
const advanceEvery = time.Second

// LiveOptions say what a Live watches and where the spans go.
type LiveOptions struct {
	// Config is how to reach the API server. Required.
	Config *rest.Config
	// Namespaces are what is watched. Default: all.
	Namespaces []string
	// Engine are the engine's options.
	Engine causality.Options
	// Sink is called once, when the API server has answered, and returns
	// where traces go. The cluster's UID is empty if it may not be read.
	// Required.
	Sink func(clusterUID string) (Sink, error)
	// Budget makes what says of each trace what of it is sent, for one engine. Default, or
	// where it returns nil: all is.
	Budget func(clusterUID string) *budget.Budget
	// DataDir is a directory of this process's own, which the caller has locked (journal.Lock).
	// The journal of what goes into the engine is kept there: the next run goes on where this
	// one stops, however that is. Default: none.
	DataDir string
	// DataDirMaxBytes is how much it may take. Default journal.DefaultMaxBytes.
	DataDirMaxBytes int64
	// Acknowledges says that Acknowledge is called for each span that has arrived, or never
	// will; without it what Deliver took has.
	Acknowledges bool
	// Hurry is called where there is little time for what the Sink has: what is to follow waits
	// until that has arrived. Default: nothing.
	Hurry func()
	// Found returns the spans that a journal.Queue knows, when Sink was called. Default: none.
	Found func() []journal.SpanKey
	// Clock dates what arrives; where it is set back meanwhile, time goes on. Default: that of the
	// machine.
	Clock Clock
	// Observed is called, if it is set, with each observation when it has been dated and
	// waits for the engine, from several goroutines.
	Observed func(causality.Observation)
	// Known is called, if it is set, with what the journal has that the run before observed, before
	// anything is observed.
	Known func(causality.Observation)
	// Ticked is called, if it is set, once a second with what the engine counts, from the
	// goroutine that feeds it.
	Ticked func(now time.Time, stats *causality.Stats, about func([]causality.Ref) []causality.Known)
	// Log is where messages go. Default: slog's default.
	Log *slog.Logger
}

// Clock is what a Live needs of a clock; clock.RealClock is one.
type Clock interface {
	Now() time.Time
	NewTicker(time.Duration) clock.Ticker
}

// Live watches a cluster and turns its changes into traces. It is a
// manager.Runnable.
//
// What it holds of the cluster is one identity an object (see objectStore),
// the observations that wait in a bounded queue, and what the engine keeps.
// While the queue is full the reflectors wait, and the API server with them.
type Live struct {
	options LiveOptions
	steady  *steadyClock // options.Clock
	cluster *cluster
	streams *streams
	queue   *queue
	metrics *liveMetrics
	started atomic.Bool
	// ended is closed when Start has returned.
	ended     chan struct{}
	heartbeat *heartbeat
	// patience is how long a request for readiness is held.
	patience  time.Duration
	newEngine func(causality.Options) engine
	// keeper has the engine and its journal, once there is one.
	keeper atomic.Pointer[journal.Keeper]
	// backlog is what is told of what happened since the run before, or in an outage; nil where nobody
	// waits for that. heard is when the API server was heard of last while there was none, and away
	// are the sources that cannot be read. inVain are those that the others are of use without, and
	// that were waited for until now: nothing waits for them again until they were read. at and marks
	// are what a batch leads to, and listing the sources that are listed.
	backlog *backlog
	heard   time.Time
	away    map[string]bool
	inVain  map[string]bool
	at      []journal.Position
	marks   []sourceMark
	listing map[string]bool
	later   map[string]string // positions of what the spool has
	// listed says that the first lists are through, and stood how often it was noticed that the process
	// stood still.
	listed bool
	stood  int
	// election and grace are what Run was asked for, handout what hands out by it: nil where
	// there is no Lease.
	election *failover.Election
	grace    time.Duration
	handout  atomic.Pointer[handout]
	// spool has what the first lists say, where they are to tell what ended lately; nil
	// otherwise.
	spool *spool
	// reconstructed is until when what ended was not seen, but found out by what was left of it;
	// zero until first lists were told that waited for the Lease.
	reconstructed time.Time
	// batched is room for what is taken from the queue at once.
	batched []causality.Observation
	// stats are the engine's, as of the last tick.
	stats    atomic.Pointer[causality.Stats]
	previews previews // see Preview
	// restored says that the API server was restored from a backup.
	restored atomic.Pointer[RestoredError]
	// unproven is how many changes ended while nobody looked, and are not told.
	unproven atomic.Int64
}

// NewLive returns a Live that has not started.
func NewLive(o LiveOptions) (*Live, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	steady := newSteadyClock(o.Clock, &o.Engine)
	o.Clock = steady
	o.Engine.OnFault, o.Engine.OnClock = LogFaults(o.Log), LogClocks(o.Log)
	c, err := newCluster(o.Config)
	if err != nil {
		return nil, err
	}
	l := &Live{
		options: o, steady: steady, cluster: c, queue: newQueue(),
		ended:     make(chan struct{}),
		heartbeat: &heartbeat{log: o.Log, now: time.Now},
		patience:  readyPatience,
		newEngine: func(o causality.Options) engine { return causality.New(o) },
	}
	l.stats.Store(&causality.Stats{})
	l.previews.asked = make(chan func(*journal.Keeper))
	l.metrics = newLiveMetrics(l.queue, l.stats.Load, l.journalStats)
	l.metrics.read = append(l.metrics.read, handoutMetrics(l.handoutStats, l.others, l.unproven.Load)...)
	l.streams = &streams{
		sources: c.liveSources(o.Namespaces),
		trouble: newTrouble(o.Log, c.host),
		log:     o.Log,
		now:     o.Clock.Now,
		metrics: l.metrics.streams,
		back:    back{every: backEvery},
		granted: back{every: backEvery},
		owners:  newOwners(c.lookup.find, c.metadata, liveKinds, o.Namespaces, o.Log),
	}
	l.metrics.read = append(l.metrics.read, unreadableMetric(l.streams.givenUp), newReadableMetrics(l.streams.readable))
	return l, nil
}

// Collectors are the metrics of l.
func (l *Live) Collectors() []prometheus.Collector {
	return append(append(l.metrics.collectors(), l.heartbeat.collector()), l.streams.owners.metrics.collectors()...)
}

// NeedLeaderElection says that l runs whether its process is elected or not: a standby watches
// all the time, and hands nothing out.
func (l *Live) NeedLeaderElection() bool { return false }

// Start watches until ctx is done, then hands out what is over by then, whether it
// has settled or not. Changes that are still open are not handed out: the next run
// finds them again and gives them the same IDs, and a span must not be sent twice
// with different content. With a data directory nothing is handed out early: the next run
// goes on with all of it. The error is a *ForbiddenError, a *RestoredError, the sink's, or about
// the data directory. It may be called once, and Close after it.
func (l *Live) Start(ctx context.Context) error {
	l.started.Store(true)
	defer close(l.ended)
	uid, err := l.cluster.uid(ctx, l.streams.trouble, l.options.Log)
	if err != nil {
		return nil // only ctx ends this; it is not an error to be stopped
	}
	if err := l.cluster.check(ctx, l.streams.sources); isForbiddenError(err) && !l.streams.goesOn(err) {
		return err
	} else if err != nil && !isForbiddenError(err) {
		l.options.Log.Debug("permissions are not known in advance", "error", err)
	}
	sink, err := l.options.Sink(uid)
	if err != nil {
		return err
	}
	if err := l.handOver(sink); err != nil {
		return err
	}
	sink = watchedSink{sink, l.heartbeat}
	keeper, err := l.keep(ctx, uid, sink)
	if err != nil && errors.Is(err, ctx.Err()) {
		return nil // it was asked to end while it read the journal, which the next run does
	} else if err != nil {
		return err
	}
	out := l.handout.Load()
	out.begin(ctx, keeper)

	watching, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l.streams.emit = func(o causality.Observation) error { return l.enqueue(watching, o) }
	l.streams.reached = func(m sourceMark) error { return l.enqueueMark(watching, m) }
	l.streams.denied = func(s source) {
		if err := l.denied(ctx, s); err != nil {
			stop(err)
		}
	}
	l.streams.restored = func(of source, was, is string) error {
		err := &RestoredError{Of: of.name(), Was: was, Is: is}
		l.restored.CompareAndSwap(nil, err)
		stop(err)
		return err
	}
	l.streams.pulse = newPulse(time.Now, l.options.Clock.Now)
	go l.streams.pulse.run(watching)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		l.streams.run(watching)
	}()

	err = errors.Join(l.feed(keeper, sink, stopped), keeper.Rest())
	if l.options.Hurry != nil {
		l.options.Hurry()
	}
	if failed := out.conclude(); err == nil {
		err = failed // else it is the same, or there is something worse
	}
	stop(err)
	<-stopped
	if cause := context.Cause(watching); err == nil && isForbiddenError(cause) {
		return cause
	}
	if restored := l.restored.Load(); err == nil && restored != nil {
		return restored
	}
	return err
}

// denied returns why a run ends where a first list was refused, which names every permission that is missing;
// nil where it goes on.
func (l *Live) denied(ctx context.Context, s source) error {
	err := l.cluster.check(ctx, l.streams.sources)
	switch {
	case isForbiddenError(err) && l.streams.goesOn(err), !isForbiddenError(err) && l.streams.goesOnBeside(s):
		return nil
	case isForbiddenError(err):
		return err
	}
	return &ForbiddenError{Missing: []Permission{s.permission()}}
}

// enqueue waits for room in the queue.
func (l *Live) enqueue(ctx context.Context, o causality.Observation) error {
	l.previews.observed.Store(o.Time.UnixNano())
	l.metrics.streams.observations.WithLabelValues(o.Object.GetObjectKind().GroupVersionKind().Kind).Inc()
	if l.options.Observed != nil {
		defer l.options.Observed(o)
	}
	if l.queue.offer(o) {
		return nil
	}
	l.metrics.waits.Inc()
	return l.queue.push(ctx, o)
}

// feed owns the engine and its journal: it alone calls them, and the sink. It returns when the
// streams have stopped and the queue is empty.
func (l *Live) feed(keeper *journal.Keeper, sink Sink, stopped <-chan struct{}) error {
	ticker := l.options.Clock.NewTicker(advanceEvery)
	defer ticker.Stop()
	shed := shedLog{log: l.options.Log}
	began := time.Now()
	passage := passage{elapsed: func() time.Duration { return time.Since(began) }}
	l.catchUp(keeper)
	l.previews.feeding.Store(true)
	defer l.previews.feeding.Store(false)
	for {
		var finished []spans.Trace
		var passed time.Time
		select {
		case in := <-l.queue.out():
			finished = append(l.takeIn(keeper, in), l.spillBacklog(keeper)...)
		case <-ticker.C():
			l.noticeStill()
			now := l.options.Clock.Now()
			stats := keeper.EngineStats()
			l.stats.Store(&stats)
			if l.options.Ticked != nil {
				l.options.Ticked(now, &stats, keeper.About)
			}
			shed.note(&stats, now)
			l.noteListed(keeper)
			keeper.Tick()
			finished = l.spillBacklog(keeper)
			// Stream time may pass only where everything up to now was seen:
			// not over what still waits, not before the first lists are
			// through, not while the watch is down, and not where only a clock
			// has gone ahead.
			if l.steady.leapt() || l.queue.length() > 0 || len(l.streams.waitingFor()) > 0 || l.streams.blind() || l.waitsForLease(now) ||
				l.backlog != nil && l.backlog.waiting(now) {
				break
			}
			if !l.listed {
				l.listed = true
				l.options.Log.Info("watching; a change is told when it is over, and what was over before is not", l.watched()...)
			}
			finished = append(finished, l.caughtUp(keeper)...)
			finished = append(finished, keeper.Advance(now)...)
			passed = passage.by(now, stats.Clocks)
		case ask := <-l.previews.asked:
			ask(keeper)
		case <-stopped:
			if err := l.drain(keeper, sink); err != nil {
				return err
			}
			return l.conclude(keeper, sink)
		}
		if err := l.deliver(keeper, sink, finished); err != nil {
			return err
		}
		l.notePassed(passed)
	}
}

// drain feeds what the queue still holds after the streams have stopped.
func (l *Live) drain(keeper *journal.Keeper, sink Sink) error {
	for {
		select {
		case in := <-l.queue.out():
			if err := l.deliver(keeper, sink, l.observe(keeper, l.batch(in))); err != nil {
				return err
			}
		default:
			if l.backlog == nil || keeper.Kept() { // what was missed is told by the next run
				return nil
			}
			return l.deliver(keeper, sink, l.tellBacklog(keeper))
		}
	}
}

func (l *Live) deliver(keeper *journal.Keeper, sink Sink, finished []spans.Trace) error {
	if h := l.handout.Load(); h != nil {
		var records []spans.Trace
		records, finished = logRecords(finished)
		h.outbox.PutRecords(records)
		for i := range finished {
			t := &finished[i]
			keeper.AcknowledgeLeftOut(t)
			if sent := t.Sent(); !sent.Late && len(sent.Spans) > 0 && !sent.Root().End.After(l.reconstructed) {
				t.Reconstructed = true
			}
		}
		return h.outbox.Put(finished)
	}
	var errs []error
	for _, t := range finished {
		err := sink.Deliver(t)
		switch {
		case err != nil:
		case l.options.Acknowledges:
			keeper.AcknowledgeLeftOut(&t)
		default:
			keeper.Acknowledge(journal.KeysOf(&t)...)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

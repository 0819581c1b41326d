package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/filter"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/spans"
)

const (
	// maxFailures is how often an event is sent to a receiver that fails in a way which may come
	// from the event. What follows it is not to wait for it any longer.
	maxFailures = 5
	// sayEvery is the shortest time between two logs of the same loss.
	sayEvery = time.Minute
)

// Sender sends events, one after the other, in the order in which they came. No method but Close
// waits for anybody.
type Sender struct {
	config Config
	filter filter.Filter
	teller *Teller
	peer   *export.Peer
	log    logr.Logger
	now    func() time.Time

	// ctx ends when Close may wait no longer.
	ctx    context.Context
	cancel context.CancelFunc
	// wake has room for one: there is something to send, or the end is near.
	wake chan struct{}
	// closing is closed when Close begins, done when the sender has ended.
	closing, done chan struct{}

	mu    sync.Mutex
	queue []*item // the oldest first
	bytes int
	stats Stats
	said  map[loss]*lossLog
	// store keeps what waits, or is nil. last is the place of what was put there last, and
	// forgotten up to where nothing is to be sent any more.
	store           Store
	last, forgotten uint64

	// failures and outage are the sending goroutine's: how many requests have failed since the
	// last that did not, and since when which verdicts were logged.
	failures int
	outage   map[verdict]bool
	since    time.Time
}

// item is an event that waits.
type item struct {
	id        string // the event's
	namespace string
	body      []byte
	at        time.Time
	failed    int    // how often the receiver has failed for it
	place     uint64 // in the Store; 0 if it is in memory alone
}

// Stats are the counters of a Sender, all taken at one moment. Every event is in one place:
//
//	Offered = Queued + Sent + Left + the sum of Lost
type Stats struct {
	// Offered is how many events there were that the filters want, and Found how many of them the
	// run before had left on the disk.
	Offered, Found int64
	// Queued is how many wait or are in flight, and QueuedBytes their size; MaxQueued and
	// MaxQueuedBytes are their bounds.
	Queued, QueuedBytes, MaxQueued, MaxQueuedBytes int
	// Sent is how many were taken.
	Sent int64
	// Left is how many Close has left on the disk to the next run.
	Left int64
	// Lost is how many never will be.
	Lost Lost
	// Requests is how many requests were made, and Retries how many of them are made again.
	Requests, Retries int64
}

// Lost counts events that nobody gets.
type Lost struct {
	// QueueFull: others needed the room.
	QueueFull int64
	// Refused: the receiver did not want it, or failed each time that it was sent.
	Refused int64
	// Expired: it was tried for as long as it is of use.
	Expired int64
	// Closed: rollspan ended first.
	Closed int64
	// Damaged: the disk has not kept what was written.
	Damaged int64
}

// Total is how many were lost for whatever reason.
func (l Lost) Total() int64 { return l.QueueFull + l.Refused + l.Expired + l.Closed + l.Damaged }

type loss string

const (
	lossFull    loss = "others needed the room in the queue"
	lossRefused loss = "the receiver refuses it"
	lossExpired loss = "it was tried for too long"
	lossClosed  loss = "rollspan ends"
)

// lossLog keeps a loss from being logged as often as it happens.
type lossLog struct {
	last   time.Time
	unsaid int64
}

// New returns a Sender that has begun to work; call Close to end it. What waits is in store, too,
// unless that is nil: what is in there already is sent first, and Close leaves there what is left.
// An error is c's, as Validate would return it. Neither headers nor the URL's path and query reach
// log.
func New(c Config, t *Teller, store Store, log logr.Logger) (*Sender, error) {
	return newSender(c, t, store, log, time.Now)
}

func newSender(c Config, t *Teller, store Store, log logr.Logger, now func() time.Time) (*Sender, error) {
	wanted, err := c.filter()
	if err != nil {
		return nil, err
	}
	peer, err := export.NewPeer(c.peer(), log)
	if err != nil {
		return nil, err
	}
	s := &Sender{
		config: c.withDefaults(), filter: wanted, teller: t, peer: peer, log: log, now: now, store: store,
		wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
		said: map[loss]*lossLog{lossFull: {}, lossRefused: {}, lossExpired: {}, lossClosed: {}},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if store != nil {
		s.recover()
	}
	go s.run()
	return s, nil
}

// Place is where events go, for people.
func (s *Sender) Place() string { return s.peer.Place() }

// Finished takes a trace. It is told of if it is that of a change which is over.
func (s *Sender) Finished(t spans.Trace) {
	if e, of, ok := s.teller.finished(&t); ok && s.filter.Passes(of.get) {
		s.offer(of[fieldNamespace], e)
	}
}

// Begin takes an alarm.
func (s *Sender) Begin(a alarms.Alarm) {
	if e, of := s.teller.begun(&a); s.filter.Passes(of.get) {
		s.offer(of[fieldNamespace], e)
	}
}

func (s *Sender) offer(namespace string, e cloudEvent) {
	body, err := json.Marshal(e)
	s.mu.Lock()
	if s.store != nil && s.waits(e.ID) { // the run before had told of it, and could not say that it did
		s.mu.Unlock()
		return
	}
	s.stats.Offered++
	lost, n := lossFull, int64(0)
	switch {
	case err != nil:
		lost, n = lossRefused, 1
		s.stats.Lost.Refused++
	case s.isClosing():
		lost, n = lossClosed, 1
		s.stats.Lost.Closed++
	default:
		it := &item{id: e.ID, namespace: namespace, body: body, at: s.now()}
		var gone []uint64 // from the disk
		if s.store != nil {
			it.place, gone = s.store.Append(namespace, it.pack())
			s.last = max(s.last, it.place)
		}
		n = s.put(it)
		s.leaveDisk(gone)
	}
	say := s.lose(lost, n)
	s.mu.Unlock()
	say(err)
	s.signal()
}

// waits reports whether an event waits already. The caller holds the lock.
func (s *Sender) waits(id string) bool {
	for _, it := range s.queue {
		if it.id == id {
			return true
		}
	}
	return false
}

// put puts an event behind all others, and returns how many had to go for it. The caller holds the
// lock.
func (s *Sender) put(it *item) (evicted int64) {
	s.queue = append(s.queue, it)
	s.bytes += len(it.body)
	for len(s.queue) > s.config.QueueEvents || s.bytes > s.config.QueueBytes {
		s.evict()
		evicted++
	}
	s.stats.Lost.QueueFull += evicted
	return evicted
}

// evict drops the oldest event of the namespace that has most of them: nobody's flood costs
// somebody else an event. The caller holds the lock.
func (s *Sender) evict() {
	waiting := map[string]int{}
	for _, it := range s.queue {
		waiting[it.namespace]++
	}
	oldest := 0
	for i, it := range s.queue {
		if waiting[it.namespace] > waiting[s.queue[oldest].namespace] {
			oldest = i
		}
	}
	s.remove(s.queue[oldest])
}

// remove takes an event out of the queue, and says whether it was there. The caller holds the
// lock.
func (s *Sender) remove(it *item) bool {
	for i := range s.queue {
		if s.queue[i] == it {
			s.bytes -= len(it.body)
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			s.forget()
			return true
		}
	}
	return false
}

// lose notes n losses. The caller holds the lock, and calls what is returned when it does no more.
func (s *Sender) lose(why loss, n int64) (say func(error)) {
	l := s.said[why]
	l.unsaid += n
	now := s.now()
	if n == 0 || !l.last.IsZero() && now.Sub(l.last) < sayEvery {
		return func(error) {}
	}
	unsaid, total := l.unsaid, s.stats.Lost.Total()
	l.unsaid, l.last = 0, now
	return func(err error) {
		if err == nil {
			err = errors.New(string(why))
		}
		s.log.Error(err, "Dropped events for the webhook", "events", unsaid, "total", total, "to", s.Place())
	}
}

// Stats returns the counters so far.
func (s *Sender) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Queued, out.QueuedBytes = len(s.queue), s.bytes
	out.MaxQueued, out.MaxQueuedBytes = s.config.QueueEvents, s.config.QueueBytes
	return out
}

// Close ends the Sender: what waits is still sent, with retries, until ctx ends. What is left is
// for the next run, if a disk has it. Else an error says how many that are, which are lost; one that
// was in flight may have arrived.
func (s *Sender) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.isClosing() {
		close(s.closing) // under the lock, so that no event slips in behind it
	}
	s.mu.Unlock()
	s.signal()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.cancel()
		<-s.done
	}
	s.cancel()

	s.mu.Lock()
	left, kept := 0, int64(0)
	for _, it := range s.queue {
		if it.place > 0 && s.store.Working() {
			kept++
		} else {
			left++
		}
	}
	s.stats.Left += kept
	s.stats.Lost.Closed += int64(left)
	s.queue, s.bytes = nil, 0
	s.mu.Unlock()
	if kept > 0 {
		s.log.Info("Events for the webhook are left to the next run with the same data directory", "events", kept, "to", s.Place())
	}
	if left > 0 {
		return fmt.Errorf("%d events were not delivered to the webhook at %s", left, s.Place())
	}
	return nil
}

func (s *Sender) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func (s *Sender) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Sender) run() {
	defer close(s.done)
	hurry := s.closing
	for {
		it := s.next()
		if it == nil {
			return
		}
		a := s.send(it)
		if s.ctx.Err() != nil && a.verdict != taken {
			return // not the receiver's doing: Close may wait no longer
		}
		s.settle(it, a)
		if a.verdict == taken {
			continue
		}
		if a.after == 0 && a.verdict == refused && s.failures < 2 {
			continue // it was about that event
		}
		if s.store != nil {
			s.store.Sync()
		}
		s.wait(max(export.Backoff(s.failures, s.config.MinBackoff, s.config.MaxBackoff), a.after), a.after == 0, &hurry)
	}
}

// next waits for an event and returns the oldest; nil when there is nothing more to do.
func (s *Sender) next() *item {
	for s.ctx.Err() == nil {
		s.mu.Lock()
		expired := int64(0)
		for len(s.queue) > 0 && s.now().Sub(s.queue[0].at) > s.config.MaxAge {
			s.remove(s.queue[0])
			expired++
		}
		s.stats.Lost.Expired += expired
		say := s.lose(lossExpired, expired)
		var it *item
		if len(s.queue) > 0 {
			it = s.queue[0]
		}
		end := it == nil && s.isClosing()
		s.mu.Unlock()
		say(nil)
		if it != nil || end {
			return it
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
		}
	}
	return nil
}

// send makes one request.
func (s *Sender) send(it *item) answer {
	ctx, cancel := context.WithTimeout(s.ctx, s.peer.Timeout())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.peer.URL(), bytes.NewReader(it.body))
	if err != nil {
		return answer{verdict: wrong, words: "the request cannot be made"} // err has the URL
	}
	r.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	r.Header.Set("User-Agent", "rollspan")
	response, err := s.peer.Do(r)
	return read(s.peer, response, err)
}

// settle notes what an answer means.
func (s *Sender) settle(it *item, a answer) {
	s.mu.Lock()
	s.stats.Requests++
	say := func(error) {}
	if a.verdict == failing { // one that is away, or takes no credentials, says nothing of the event
		it.failed++
	}
	switch {
	case a.verdict == taken:
		if s.remove(it) {
			s.stats.Sent++
		}
	case a.verdict == refused, a.verdict == failing && it.failed >= maxFailures:
		if s.remove(it) {
			s.stats.Lost.Refused++
			say = s.lose(lossRefused, 1)
		}
	default:
		s.stats.Retries++
	}
	waiting := len(s.queue)
	s.mu.Unlock()
	say(errors.New(a.words))
	s.report(a, waiting)
}

// report says that the receiver does not take events, once for each kind of reason, and that it
// does again.
func (s *Sender) report(a answer, waiting int) {
	if a.verdict == taken {
		s.failures = 0
		if s.outage != nil {
			s.log.Info("The webhook takes events again", "to", s.Place(), "after", s.now().Sub(s.since).Round(time.Millisecond).String(), "waiting", waiting)
			s.outage = nil
		}
		return
	}
	s.failures++
	if a.verdict == refused {
		return // that it was dropped was said
	}
	if s.outage == nil {
		s.outage, s.since = map[verdict]bool{}, s.now()
	}
	if !s.outage[a.verdict] {
		s.outage[a.verdict] = true
		s.log.Error(errors.New(a.words), "The webhook does not take events; they wait, and rollspan keeps trying",
			"to", s.Place(), "check", a.advice(), "waiting", waiting)
	}
}

// wait waits for d. One of these waits ends early when Close begins, but none that the receiver
// has asked for.
func (s *Sender) wait(d time.Duration, mayHurry bool, hurry *chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	ended := *hurry
	if !mayHurry {
		ended = nil
	}
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	case <-ended:
		*hurry = nil
	}
}

package export

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rollspan/rollspan/pkg/spans"
)

const (
	// maxBatchBytes is the size at which a request is full, before compression.
	// gRPC servers refuse messages of more than 4 MiB by default.
	maxBatchBytes = 2 << 20
	// maxAfter bounds how long a collector can ask to be left alone.
	maxAfter = 5 * time.Minute
)

// sender is the goroutine that sends an Exporter's spans, one request after
// the other, always the oldest spans first. It is a loop of three steps: take
// a batch, send it, and do what the answer's verdict asks for. Whatever was
// not acknowledged is back at the front of the queue before the next round.
type sender struct {
	*Exporter

	// limitSpans and limitBytes bound the next request. A refusal halves
	// limitSpans and success doubles it again, which closes in on a bad span
	// by bisection.
	limitSpans int
	limitBytes *sizeLimit

	// failures counts the failed requests since the last success that were
	// not answered by splitting; it sets the backoff.
	failures int
	// plain says that requests are not compressed though they were to be; see cannotUnzip.
	plain     bool
	suspicion suspicion

	outage  outage
	losses  map[verdict]*pacer
	partial pacer
	slower  pacer
	// greeting says that the collector was not heard of yet, and is to be asked for an
	// answer when there is nothing to send.
	greeting bool
	// ending is closed when Shutdown begins, and nil once that was noticed.
	ending <-chan struct{}
	// late says that the last request was made after that.
	late bool
	// hasty says that the next request has not waited for its time.
	hasty bool
	// left says that what waits is left to the next process.
	left bool
}

// outage is what was said about a collector that does not take spans.
type outage struct {
	since time.Time
	// said holds the verdicts that were logged since then, each once.
	said map[verdict]bool
}

func newSender(e *Exporter) *sender {
	return &sender{
		Exporter:   e,
		limitSpans: e.settings.BatchSpans,
		limitBytes: newSizeLimit(maxBatchBytes),
		losses:     map[verdict]*pacer{refused: {}, tooLarge: {}},
		greeting:   e.settings.Greet,
		ending:     e.closing,
	}
}

func (s *sender) run() {
	defer close(s.done)
	for {
		batch, size := s.next()
		if len(batch) == 0 {
			return
		}
		s.settle(batch, size, s.send(batch))
	}
}

// next waits for spans and returns the oldest. It returns none when there is
// nothing more to do.
func (s *sender) next() (batch []*node, size int) {
	for s.ctx.Err() == nil && !s.left {
		s.mu.Lock()
		s.refill()
		batch, size = s.queue.take(s.limitSpans, s.limitBytes.current)
		end := len(batch) == 0 && s.isClosing()
		s.mu.Unlock()
		if len(batch) > 0 || end {
			return batch, size
		}
		if s.greeting {
			s.greet()
			continue
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
		}
	}
	return nil, 0
}

// send makes one request.
func (s *sender) send(batch []*node) answer {
	s.syncStore()
	s.late = s.isClosing()
	ctx := s.ctx
	if s.hasty {
		ctx = withHaste(ctx)
		s.hasty = false
	}
	return s.request(ctx, batch)
}

func (s *sender) request(ctx context.Context, batch []*node) answer {
	return s.settings.upload(ctx, s.client, s.encoder.Request(packedOf(batch)))
}

// settle does what the answer asks for.
func (s *sender) settle(batch []*node, size int, a answer) {
	if s.ctx.Err() != nil && a.verdict != accepted {
		// Not the collector's doing: Shutdown may wait no longer.
		s.giveBack(nil)
		return
	}
	if s.cannotUnzip(a) {
		s.giveBack(&a)
		s.sendPlain(a)
		return
	}
	s.doubt(&a, batch, size)
	switch a.verdict {
	case accepted:
		s.acknowledge(batch, size, a)
	case tooLarge, refused:
		if len(batch) == 1 {
			s.drop(batch, a)
			return
		}
		s.giveBack(&a)
		if a.verdict == tooLarge {
			s.limitBytes.refuse(size)
		} else {
			s.limitSpans = len(batch) / 2
		}
	default:
		s.giveBack(&a)
		s.report(a)
		s.failures++
		if s.left = s.leaves(a.verdict); s.left {
			return
		}
		s.wait(max(s.backoff(a.verdict), min(a.after, maxAfter)))
	}
}

// cannotUnzip says whether an answer may mean that the collector takes no compressed requests,
// which nobody has asked for. One that has taken a request does.
func (s *sender) cannotUnzip(a answer) bool {
	return s.settings.gzipUnasked && !s.plain && s.limitBytes.taken == 0 && a.mayMeanCompression()
}

// sendPlain sends what comes without compression.
func (s *sender) sendPlain(a answer) {
	plain := *s.settings
	plain.gzip = false
	client := newClient(&plain)
	if err := client.Start(s.ctx); err != nil {
		s.log.Error(err, "The OTLP client cannot be made anew", "endpoint", plain.endpoint.target)
		return
	}
	_ = s.client.Stop(s.ctx) // nothing waits in there
	s.client, s.plain = client, true
	s.log.Info("The OTLP collector did not take the first request, which was compressed; from now on they are not. "+
		"--otlp-compression says whether they are to be", "endpoint", plain.endpoint.target, "said", a.words)
}

// giveBack returns the spans in flight to the queue because of a.
func (s *sender) giveBack(a *answer) {
	s.mu.Lock()
	warn := s.dropped(s.queue.putBack())
	s.stats.Requests++
	if a != nil {
		s.stats.Retries++
		s.failed(*a)
		s.stats.Down = true
	}
	s.mu.Unlock()
	warn()
}

// failed notes what went wrong. The caller holds the lock.
func (s *sender) failed(a answer) {
	s.stats.LastError, s.stats.LastErrorTime = a.words, time.Now()
}

// acknowledge lets the spans in flight go, for good.
func (s *sender) acknowledge(batch []*node, size int, a answer) {
	n := len(batch)
	// What a collector says it rejected cannot be more than it was given.
	rejected := min(max(a.rejected, 0), int64(n))

	s.mu.Lock()
	s.queue.remove()
	s.noteDone(batch)
	s.stats.Requests++
	s.stats.Sent += int64(n) - rejected
	s.stats.Rejected += rejected
	s.stats.Down = false
	if rejected > 0 || a.words != "" {
		s.failed(a)
	}
	waiting, dropped := n+s.queue.len()+s.behind(), s.stats.Dropped.Total()
	s.mu.Unlock()
	s.gone(ofMemory(batch))
	if taken := s.settings.Acknowledged; taken != nil && rejected == 0 {
		var roots []*spans.Span
		for _, n := range batch {
			if n.Root {
				roots = append(roots, n.Decode())
			}
		}
		if len(roots) > 0 {
			taken(roots)
		}
	}

	s.failures, s.suspicion = 0, suspicion{}
	s.limitSpans = min(2*s.limitSpans, s.settings.BatchSpans)
	s.limitBytes.accept(size)
	s.greeting = false
	s.back(waiting, dropped)
	if rejected > 0 || a.words != "" {
		if say := s.partial.add(max(rejected, 1)); say > 0 {
			s.log.Info("The OTLP collector accepted a request only in part, or with a warning; it said why",
				"endpoint", s.settings.endpoint.target, "said", a.words, "rejectedSpans", rejected)
		}
	}
}

// back says that the collector takes spans, if it was said that it does not.
func (s *sender) back(waiting int, dropped int64) {
	if s.outage.said == nil {
		return
	}
	s.log.Info("The OTLP collector takes spans again", "endpoint", s.settings.endpoint.target,
		"after", time.Since(s.outage.since).Round(time.Millisecond).String(),
		"waiting", waiting, "droppedSoFar", dropped)
	s.outage = outage{}
}

// drop lets the one span in flight go, undelivered.
func (s *sender) drop(batch []*node, a answer) {
	name := "k8s.event"
	traceID, spanID := batch[0].IDs()
	if !batch[0].Record.IsValid() {
		name = batch[0].Decode().Name
	}
	s.gone(ofMemory(batch))
	s.mu.Lock()
	s.queue.remove()
	s.noteDone(batch)
	s.stats.Requests++
	s.failed(a)
	if a.verdict == tooLarge {
		s.stats.Dropped.TooLarge++
	} else {
		s.stats.Dropped.Refused++
	}
	s.mu.Unlock()

	if say := s.losses[a.verdict].add(1); say > 0 {
		s.log.Error(errors.New(a.words), "Dropped a span that the OTLP collector refuses", "endpoint", s.settings.endpoint.target,
			"name", name, "traceID", traceID.String(), "spanID", spanID.String(), "spans", say)
	}
	// A collector that refuses one span after the other, and takes none in
	// between, is probably not complaining about the spans. Being slow now
	// loses few of them until somebody has looked.
	if s.failures++; s.failures > 1 {
		s.wait(s.backoff(a.verdict))
	}
}

// report says that the collector does not take spans: once for each kind of
// reason, until it takes some.
func (s *sender) report(a answer) {
	s.mu.Lock()
	queued := s.queue.len()
	s.mu.Unlock()
	values := []any{
		"endpoint", s.settings.endpoint.target, "protocol", s.settings.protocol,
		"check", a.check, "waiting", queued,
	}
	if a.verdict == throttled {
		// Normal under load; it can come with every other request.
		if s.slower.add(1) > 0 {
			s.log.Info("The OTLP collector asks for less; spans wait", append(values, "said", a.words)...)
		}
		return
	}
	if s.outage.said == nil {
		s.outage = outage{since: time.Now(), said: map[verdict]bool{}}
	}
	if s.outage.said[a.verdict] {
		return
	}
	s.outage.said[a.verdict] = true
	message := "The OTLP collector cannot be reached; spans wait, and rollspan keeps trying"
	switch a.verdict {
	case denied:
		message = "The OTLP collector does not accept rollspan's credentials; spans wait, and rollspan keeps trying"
	case misdirected:
		message = "The endpoint takes no traces; spans wait, and rollspan keeps trying"
	case unsure:
		message = "The OTLP collector fails; spans wait, and rollspan keeps trying"
	}
	s.log.Error(errors.New(a.words), message, values...)
}

// backoff is how long to wait after the failures so far: twice as long after
// each, and never quite the same, so that the collector is not met by everybody
// at once when it comes back. What only people can put right is not urgent.
func (s *sender) backoff(v verdict) time.Duration {
	if v == denied || v == misdirected {
		return Backoff(1, s.settings.MaxBackoff, s.settings.MaxBackoff)
	}
	return Backoff(s.failures, s.settings.MinBackoff, s.settings.MaxBackoff)
}

// Backoff is how long to wait after so many failures in a row: about least after the first, twice
// as long after each further one, up to most.
func Backoff(failures int, least, most time.Duration) time.Duration {
	d := most
	if shift := failures - 1; shift < 16 {
		d = min(d, least<<shift)
	}
	return d/2 + rand.N(d/2+1)
}

// wait waits for d, but does not keep Shutdown, or who is in a hurry, from trying once more.
func (s *sender) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	case <-s.ending:
		s.ending, s.hasty = nil, true
	case <-s.hurry:
		s.failures, s.hasty = 0, true // the next failures are met with short waits again
	}
}

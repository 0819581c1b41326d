package export

import (
	"context"
	"time"
)

// greet asks a collector that was not heard of yet for an answer, by a request without
// spans: OTLP has receivers accept those. Whoever reads the log knows then at the start what
// is wrong, and not when the first trace is there, which can be hours later. It is tried
// until there is an answer, or a span to send, which asks the same.
func (s *sender) greet() {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	go func() {
		select {
		case <-s.closing: // nobody waits for an answer any more
			cancel()
		case <-ctx.Done():
		}
	}()
	a := s.request(ctx, nil)
	if ctx.Err() != nil {
		s.greeting = false
		return
	}
	if a.verdict == misdirected && s.cannotUnzip(a) {
		if s.sendPlain(a); s.plain {
			s.greeted(nil, false)
			return
		}
	}
	switch a.verdict {
	case unreachable, throttled, denied, misdirected:
		s.greeted(&a, true)
		s.report(a)
		s.failures++
		s.waitForSpans(max(s.backoff(a.verdict), min(a.after, maxAfter)))
	case accepted:
		s.greeting, s.failures = false, 0
		waiting, dropped := s.greeted(nil, false)
		if s.outage.said == nil {
			s.log.Info("The OTLP collector answers", "endpoint", s.settings.endpoint.target, "protocol", s.settings.protocol)
		}
		s.back(waiting, dropped)
	default:
		// It is there. What it says of a request without spans means nothing for spans, which
		// will tell.
		s.greeting, s.failures = false, 0
		s.greeted(&a, s.outage.said != nil)
		if s.outage.said == nil {
			s.log.Info("The OTLP collector answers, but minds a request without spans, which was only to see that it is there",
				"endpoint", s.settings.endpoint.target, "protocol", s.settings.protocol, "said", a.words)
		}
	}
}

// greeted notes an answer to a request without spans; wrong is nil for a good one. It
// returns how many spans wait by now, and how many were dropped.
func (s *sender) greeted(wrong *answer, down bool) (waiting int, dropped int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Requests++
	s.stats.Down = down
	if wrong != nil {
		s.failed(*wrong)
	}
	return s.queue.len(), s.stats.Dropped.Total()
}

// waitForSpans waits for d, or until there are spans.
func (s *sender) waitForSpans(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	case <-s.ctx.Done():
	}
}

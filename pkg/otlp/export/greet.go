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
	answers := false
	switch a.verdict {
	case unreachable, throttled, denied, misdirected:
	default:
		// It is there. What it says of a request without spans means nothing for spans.
		answers = true
	}
	s.mu.Lock()
	s.stats.Requests++
	s.stats.Down = !answers
	if !answers {
		s.failed(a)
	}
	waiting, dropped := s.queue.len(), s.stats.Dropped.Total()
	s.mu.Unlock()
	if answers {
		s.greeting = false
		s.failures = 0
		if s.outage.said == nil {
			s.log.Info("The OTLP collector answers", "endpoint", s.settings.endpoint.target, "protocol", s.settings.protocol)
		}
		s.back(waiting, dropped)
		return
	}
	s.report(a)
	s.failures++
	s.waitForSpans(max(s.backoff(a.verdict), min(a.after, maxAfter)))
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

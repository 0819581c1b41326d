package export

const (
	// maxUnsure is how often a request is repeated as it is when the
	// collector fails in a way that may come from the spans in it.
	maxUnsure = 5
	// maxContradictions is how often a single span is tried that is found too
	// large, though larger requests were accepted.
	maxContradictions = 10
)

// A collector that fails (500, INTERNAL, UNKNOWN) may do so for something in the spans, or for
// hours, whatever it is sent. By the letter of OTLP none of these is to be sent again, so that
// all would be lost. Here the request is made smaller until one span is left, and that one is
// given up only if the collector has taken another one meanwhile, and then fails again.

// suspicion is what speaks for it that a collector fails for something in the spans.
type suspicion struct {
	// failed counts the requests in a row whose answer may not mean the spans.
	failed int
	// vouched says that the collector has taken another span than the one that is suspected.
	vouched bool
	// asked is how many spans behind that one the last one was that was to prove it: damaged
	// spans may follow each other.
	asked int
}

// doubt makes of an answer that may not mean the spans one that certainly does
// not, until it has come several times in a row: then fewer are sent, and a single one
// is the culprit if the collector takes others. One that finds a single span too large
// after larger requests has another limit now, or fails. Who has never taken anything, and
// finds a small span too large, is no collector that works: spans wait for that.
func (s *sender) doubt(a *answer, single bool, size int) {
	times, contradicts := maxUnsure, false
	if a.verdict == tooLarge && single {
		if s.limitBytes.incredible(size) {
			a.verdict = unsure
			return
		}
		if contradicts = s.limitBytes.contradicted(size); contradicts {
			times = maxContradictions
		}
	}
	if a.verdict != unsure && !contradicts {
		s.suspicion = suspicion{}
		return
	}
	s.suspicion.failed++
	if s.suspicion.failed <= times || single && !s.vouch() {
		a.verdict = unsure
		return
	}
	if contradicts {
		s.limitBytes.believe(size)
	} else {
		a.verdict = refused
	}
	if single {
		s.suspicion = suspicion{}
	}
}

// vouch says whether the collector has taken another span while it failed for the one in flight,
// and fails for that again. It sends the other one if it has not; that stays in the queue, and
// arrives twice.
func (s *sender) vouch() bool {
	if s.suspicion.vouched {
		return true
	}
	s.mu.Lock()
	n, last := s.queue.waiting(s.suspicion.asked)
	s.mu.Unlock()
	if n == nil {
		return false // there is nothing to compare it with
	}
	if s.suspicion.asked = 2*s.suspicion.asked + 1; last {
		s.suspicion.asked = 0
	}
	a := s.request(s.ctx, []*node{n})
	s.suspicion.vouched = a.verdict == accepted && a.rejected == 0
	s.mu.Lock()
	s.stats.Requests++
	s.mu.Unlock()
	return false
}

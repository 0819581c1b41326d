package export

import "math/rand/v2"

const (
	// maxUnsure is how often a request is repeated as it is when the
	// collector fails in a way that may come from the spans in it.
	maxUnsure = 5
	// maxContradictions is how often a single span is tried that is found too
	// large, though larger requests were accepted.
	maxContradictions = 10
	// enoughVouched is how often in a row the collector takes another span, between
	// two failures for the one that is suspected. Once may be chance, where it fails for
	// most of what it is sent.
	enoughVouched = 3
)

// A collector that fails (500, INTERNAL, UNKNOWN) may do so for something in the spans, or for
// hours, whatever it is sent. By the letter of OTLP none of these is to be sent again, so that
// all would be lost. Here the request is made smaller until one span is left, and that one is
// given up only if the collector takes another one each time that it has failed for it.

// suspicion is what speaks for it that a collector fails for something in the spans.
type suspicion struct {
	// failed counts the requests in a row whose answer may not mean the spans.
	failed int
	// of is the span that is suspected, once it is alone. It may leave the queue for others that
	// need the room: of the next one nothing is proved then.
	of *node
	// by is the span that the collector took while it failed for that one, and vouched how often
	// in a row.
	by      *node
	vouched int
}

// doubt makes of an answer that may not mean the spans one that certainly does
// not, until it has come several times in a row: then fewer are sent, and a single one
// is the culprit if the collector takes others. One that finds a single span too large
// after larger requests has another limit now, or fails. Who has never taken anything, and
// finds a small span too large, is no collector that works: spans wait for that.
func (s *sender) doubt(a *answer, batch []*node, size int) {
	times, contradicts, single := maxUnsure, false, len(batch) == 1
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
	if s.suspicion.failed <= times || single && !s.vouch(batch[0], a) {
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

// vouch says whether the collector has taken another span whenever it had failed for this one, and
// has failed for this one again, as a says. Else it sends the other one, which stays in the queue,
// and arrives again.
func (s *sender) vouch(suspect *node, a *answer) bool {
	if s.suspicion.of != suspect {
		s.suspicion.of, s.suspicion.by, s.suspicion.vouched = suspect, nil, 0
	}
	if s.suspicion.vouched == enoughVouched {
		return true
	}
	other := s.suspicion.by
	s.mu.Lock()
	if other == nil {
		other = s.queue.anyWaiting(rand.N[int])
	}
	s.mu.Unlock()
	if other == nil {
		return false // there is nothing to compare it with
	}
	s.syncStore()
	of := s.request(s.ctx, []*node{other})
	s.mu.Lock()
	s.stats.Requests++
	s.mu.Unlock()
	if of.verdict != accepted || of.rejected > 0 {
		s.suspicion.by, s.suspicion.vouched = nil, 0 // damaged spans may follow each other
		a.after = max(a.after, of.after)
		return false
	}
	s.suspicion.by = other
	s.suspicion.vouched++
	s.failures = 0 // it works, so that there is no need for long waits
	return false
}

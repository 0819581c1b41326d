package causality

import (
	"fmt"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// explainFailure says in one sentence what went wrong and where, the most
// specific cause first.
func (b *changeBuilder) explainFailure() failure {
	if b.change.kind == attr.ChangeJob {
		return b.explainJob()
	}
	var after string
	late := failure{progressDeadlineExceeded, "the new pods did not become available"}
	switch {
	case b.change.aborted():
		late, after = b.change.failure, " (aborted)"
	case b.change.deadline > 0:
		after = fmt.Sprintf(" (progress deadline of %s exceeded)", b.change.deadline)
	}
	count := map[failure]int{}
	total := 0
	for q, s := range b.starts {
		if s.change != b.change || q.createdAt().After(b.end) {
			continue
		}
		total++
		if f, ok := b.unavailable(q); ok && (!b.change.aborted() || b.isInTrouble(q)) {
			count[f]++
		}
	}
	worst, n := commonest(count)
	if n > 0 {
		return failure{worst.reason, fmt.Sprintf("%d of %d new pods: %s%s", n, total, worst.sentence(), after)}
	}
	for _, rs := range b.sets {
		asked := int(min(b.change.wanted, rs.askedFor(b.end)))
		if f := rs.createFailureAt(b.end); rs.revision == b.change.revision && f.reason != "" && total < asked {
			return failure{f.reason, fmt.Sprintf("%d of %d new pods not created: %s: %s%s", asked-total, asked, f.reason, shortForbidden(f.message), after)}
		}
	}
	return failure{late.reason, late.message + after}
}

// isInTrouble reports whether something of a pod had failed when the change ended, rather
// than being not done yet.
func (b *changeBuilder) isInTrouble(q *pod) bool {
	_, failed := q.trouble(q.timeline(b.end), b.end)
	return failed
}

// unavailable says why a pod did not count as available when the change ended; not
// ok if it did, or had, before it was removed. One that was Ready may have crashed
// since, and again and again before minReadySeconds were over.
func (b *changeBuilder) unavailable(q *pod) (why failure, ok bool) {
	first, was := q.firstReady()
	switch {
	case !was || first.at.at().After(b.end):
	case q.lost() && !q.lostAt().at().After(b.end):
		return failure{}, false
	case q.readyAt(b.end):
		if from := q.readySince(b.end); from.Add(b.minReady).After(b.end) {
			return q.lastCrash(first.at.at(), b.end)
		}
		return failure{}, false
	}
	why, _ = q.trouble(q.timeline(b.end), b.end)
	return why, true
}

// readySince is when a pod that is Ready at t became so.
func (p *pod) readySince(t time.Time) time.Time {
	var since time.Time
	ready := false
	for _, tr := range p.ready {
		if at := tr.at.at(); !at.After(t) {
			if tr.status && !ready {
				since = at
			}
			ready = tr.status
		}
	}
	return since
}

// stayedReady is when the pod became Ready and, as far as could be seen until a time,
// stayed so for d.
func (p *pod) stayedReady(d time.Duration, until time.Time) (since time.Time, ok bool) {
	for _, tr := range p.ready {
		switch at := tr.at.at(); {
		case tr.status && !ok:
			since, ok = tr.at.lo, true
		case !tr.status && ok && !at.After(until) && at.Before(since.Add(d)):
			ok = false
		}
	}
	return since, ok
}

// lastCrash is why a container of the pod ended last in a span of time, if one did.
func (p *pod) lastCrash(from, to time.Time) (why failure, ok bool) {
	var last time.Time
	for _, c := range p.containers {
		r := c.lastEnded(to)
		if r == nil || r.finished.at().Before(from) || !r.finished.at().After(last) || p.endedWithPod(c, r) {
			continue
		}
		last = r.finished.at()
		why, ok = p.whyEnded(c, r), true
	}
	return why, ok
}

// shortForbidden drops the name of the pod that could not be created, which
// is another with every try: `pods "web-x" is forbidden: exceeded quota: …`.
func shortForbidden(message string) string {
	if _, rest, ok := strings.Cut(message, " is forbidden: "); ok {
		return rest
	}
	return message
}

// cutSentence cuts a text after its first sentence.
func cutSentence(s string) string {
	first, _, _ := strings.Cut(s, ". ")
	return strings.TrimSuffix(first, ".")
}

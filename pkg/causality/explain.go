package causality

import (
	"fmt"
	"strings"
)

// explainFailure says in one sentence what went wrong and where, the most
// specific cause first.
func (b *changeBuilder) explainFailure() failure {
	if b.change.kind == changeJob {
		return b.explainJob()
	}
	var after string
	if b.change.deadline > 0 {
		after = fmt.Sprintf(" (progress deadline of %s exceeded)", b.change.deadline)
	}
	count := map[failure]int{}
	total := 0
	for q, s := range b.starts {
		if s.change != b.change || q.createdAt().After(b.end) {
			continue
		}
		total++
		if tr, ok := q.firstReady(); ok && !tr.at.at().After(b.end) {
			continue
		}
		f, _ := q.trouble(q.timeline(b.end), b.end)
		count[f]++
	}
	worst, n := commonest(count)
	if n > 0 {
		return failure{worst.reason, fmt.Sprintf("%d of %d new pods: %s%s", n, total, worst.sentence(), after)}
	}
	if missing := int(b.change.wanted) - total; missing > 0 {
		for _, rs := range b.sets {
			if rs.revision == b.change.revision && rs.createFailure.reason != "" {
				f := rs.createFailure
				return failure{f.reason, fmt.Sprintf("%d of %d new pods not created: %s: %s%s", missing, b.change.wanted, f.reason, shortForbidden(f.message), after)}
			}
		}
	}
	return failure{progressDeadlineExceeded, strings.TrimSpace("the new pods did not become available" + after)}
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

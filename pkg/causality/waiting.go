package causality

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// maxNamed is how many pods of one trouble, and how many troubles, are named.
const maxNamed = 3

// waiting is what a change waited for at a time, in words.
type waiting struct {
	clauses []string
	// reason is that of the worst trouble, "" if there is none.
	reason string
	attrs  []attribute.KeyValue
}

func (w *waiting) add(format string, args ...any) {
	w.clauses = append(w.clauses, fmt.Sprintf(format, args...))
}

// sentence is "1 of 3 ready; pod web-abc: ImagePullBackOff: app:nope: not found".
func (w *waiting) sentence() string { return strings.Join(w.clauses, "; ") }

// troubles are the pods that are not ready, by what keeps them from it.
type troubles map[string]*trouble

type trouble struct {
	failure
	failed bool // rather than not done yet
	pods   []string
}

// add notes a pod. The reason tells troubles apart, as messages name pods and
// addresses; that of the first pod by name stands for all.
func (ts troubles) add(q *pod, f failure, failed bool) {
	t := ts[f.reason]
	if t == nil {
		t = &trouble{failure: f}
		ts[f.reason] = t
	}
	t.failed = t.failed || failed
	if len(t.pods) == 0 || q.name < slices.Min(t.pods) {
		t.message = f.message
	}
	t.pods = append(t.pods, q.name)
}

// troubled adds the pods that are in trouble, the worst first: what has failed,
// then what most have.
func (w *waiting) troubled(ts troubles) { w.troubledOf("", ts) }

func (w *waiting) troubledOf(which string, ts troubles) {
	list := make([]*trouble, 0, len(ts))
	for _, t := range ts {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *trouble) int {
		if a.failed != b.failed {
			if a.failed {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(len(b.pods), len(a.pods)), strings.Compare(a.reason, b.reason))
	})
	others := 0
	for i, t := range list {
		if i >= maxNamed {
			others += len(t.pods)
			continue
		}
		w.because(t.reason)
		w.add("%s%s: %s", which, podNames(t.pods), t.sentence())
	}
	if others > 0 {
		w.add("%s%s in other trouble", which, counted(others, "pod"))
	}
}

// because notes the reason, if it is the first one.
func (w *waiting) because(reason string) { w.reason = cmp.Or(w.reason, reason) }

// podNames is "pod web-a", "pods web-a, web-b and 5 more".
func podNames(names []string) string {
	slices.Sort(names)
	if len(names) == 1 {
		return "pod " + names[0]
	}
	more := ""
	if n := len(names) - maxNamed; n > 0 {
		names, more = names[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return "pods " + strings.Join(names, ", ") + more
}

// counted is "1 pod", "2 pods".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// census is how the pods of a change are at a time.
type census struct {
	at             time.Time
	ready, running int // running are those that are to finish
	there          int
	newest         time.Time // when the last of them was created
	troubles       troubles
	// failed are those of the pods that have ended badly, and that the Job makes up
	// for.
	failed   troubles
	stopping []string
	old      int      // pods that the change is to replace
	stuck    troubles // those of them that keep it from going on
}

func newCensus(at time.Time) census {
	return census{at: at, troubles: troubles{}, failed: troubles{}, stuck: troubles{}}
}

// count looks at a pod that the change wants.
func (n *census) count(q *pod) {
	n.there++
	n.newest = latest(n.newest, q.createdAt())
	f, failed := q.trouble(q.timeline(n.at), n.at)
	switch {
	case q.finite && q.finished.known():
		if q.phase == podFailed {
			n.failed.add(q, f, true)
		}
	case q.finite && !failed && q.runsAt(n.at):
		n.running++
	case !q.finite && q.readyAt(n.at):
		n.ready++
	default:
		n.troubles.add(q, f, failed)
	}
}

// readyAt reports whether the pod was Ready at t.
func (p *pod) readyAt(t time.Time) bool {
	ready := false
	for _, tr := range p.ready {
		if !tr.at.at().After(t) {
			ready = tr.status
		}
	}
	return ready
}

// runsAt reports whether one of the pod's containers ran at t that are not there
// to prepare it.
func (p *pod) runsAt(t time.Time) bool {
	return slices.ContainsFunc(p.containers, func(c *container) bool { return !c.init && c.runningAt(t) })
}

// census counts the pods of a change that is open at a time.
func (p *plan) census(c *change, at time.Time) census {
	n := newCensus(at)
	for _, q := range p.pods {
		start, stop := p.starts[q], p.stops[q]
		if q.createdAt().After(at) {
			continue
		}
		if q.lost() && !q.lostAt().at().After(at) {
			if stop.change == c && q.leaving() && (!q.gone.known() || q.gone.at().After(at)) {
				n.stopping = append(n.stopping, q.name)
			}
			continue
		}
		wanted := start.change == c
		if c.kind == attr.ChangeRollout && !p.direct() {
			// A rollout may go on with pods that another one began with.
			wanted = start.rs != nil && start.rs.revision == c.revision
		}
		if c.revisionName != "" {
			// After a rollback there are some that it need not replace.
			wanted = wanted || q.revisionName == c.revisionName
		}
		if wanted {
			n.count(q)
			continue
		}
		n.old++
		if p.controller.replaces == replacedByName && !q.readyAt(at) {
			// One that never gets ready is in the way until somebody deletes it.
			f, failed := q.trouble(q.timeline(at), at)
			n.stuck.add(q, f, failed)
		}
	}
	return n
}

// waitingFor says what an open change waited for at a time.
func (p *plan) waitingFor(c *change, at time.Time) waiting {
	n := p.census(c, at)
	w := waiting{}
	if k := len(c.pauses); k > 0 && !c.pauses[k-1].until.known() {
		w.add("paused")
	}
	p.progressed(&w, c, &n)
	w.troubled(n.troubles)
	w.troubledOf("old ", n.stuck)
	if n.running == 0 && len(n.troubles) == 0 {
		w.troubled(n.failed) // it waits before it tries again
	}
	missing := p.missingPods(c, &n)
	if why := p.createFailure(c, &n); why.reason != "" && (missing > 0 || c.kind == attr.ChangeJob) {
		w.because(why.reason)
		pods := "pods" // how many a Job is to have at a time is not known
		if c.kind != attr.ChangeJob {
			pods = counted(missing, "pod")
		}
		w.add("%s not created: %s", pods, failure{why.reason, shortForbidden(why.message)}.sentence())
	}
	if len(n.stopping) > 0 {
		w.add("%s stopping", podNames(n.stopping))
	}
	if len(w.clauses) == 1 {
		p.slow(&w, c, &n)
	}
	return w
}

// missingPods is how many pods the change asks for that are not there. A Deployment
// asks for as many at a time as maxSurge and maxUnavailable allow.
func (p *plan) missingPods(c *change, n *census) int {
	missing := int(c.wanted) - n.there
	if c.kind == attr.ChangeScale {
		return missing - n.old
	}
	for _, rs := range p.sets {
		if c.kind == attr.ChangeRollout && !rs.direct() && rs.revision == c.revision {
			missing = min(missing, int(rs.askedFor(n.at))-n.there)
		}
	}
	return missing
}

// progressed says how far the change is.
func (p *plan) progressed(w *waiting, c *change, n *census) {
	switch {
	case c.kind == attr.ChangeJob:
		w.add("%s", c.jobProgress())
		w.attrs = append(w.attrs, c.jobAttributes()...)
		if c.runner != "" {
			w.add("run by %s", c.runner)
		}
		if c.noPods {
			w.add("parallelism 0")
		}
	case c.kind == attr.ChangeRun && n.running > 0:
	default:
		ready := n.ready
		if c.kind == attr.ChangeScale {
			ready = int(c.ready) // the pods that were there count as well
		}
		if ready > int(c.wanted) {
			w.add("%d ready, %d wanted", ready, c.wanted)
		} else {
			w.add("%d of %d ready", ready, c.wanted)
		}
		w.attrs = append(w.attrs, attr.PodsWantedKey.Int(int(c.wanted)), attr.PodsReadyKey.Int(ready))
	}
	if n.running > 0 {
		w.add("%d running", n.running)
	}
}

// slow says what a rollout waits for that no pod is in trouble of.
func (p *plan) slow(w *waiting, c *change, n *census) {
	if c.kind != attr.ChangeRollout {
		return
	}
	if old := n.old - int(c.partition); old > 0 {
		w.add("%s to go", counted(old, "old pod"))
	} else if p.minReady > 0 && n.ready >= int(c.wanted) {
		w.add("they are to stay ready for %s", p.minReady)
	}
}

// createFailure is why pods that the change wants could not be created: what the
// ReplicaSet says, or what the workload's Events do, since the last one was.
func (p *plan) createFailure(c *change, n *census) failure {
	for _, rs := range p.sets {
		if why := rs.createFailureAt(n.at); rs.revision == c.revision && why.reason != "" {
			return why
		}
		for _, ev := range rs.events {
			if o := ev.until(n.at); rs.direct() && ev.reason == "FailedCreate" && o.at.After(n.newest) && !o.at.After(n.at) && !o.at.Before(c.start.from()) {
				return failure{ev.reason, o.message}
			}
		}
	}
	return failure{}
}

// waitingForReplacement says what the replacement of a lost pod waited for at a
// time.
func waitingForReplacement(rs *podSet, lost, next *pod, at time.Time) waiting {
	w := waiting{attrs: []attribute.KeyValue{attr.PodsWantedKey.Int(1), attr.PodsReadyKey.Int(0)}}
	w.add("0 of 1 ready")
	if lost.leaving() && (!lost.gone.known() || lost.gone.at().After(at)) {
		w.add("pod %s stopping", lost.name)
	}
	switch why := rs.createFailureAt(at); {
	case next != nil && !next.createdAt().After(at):
		n := newCensus(at)
		n.count(next)
		w.troubled(n.troubles)
	case why.reason != "":
		w.because(why.reason)
		w.add("1 pod not created: %s", failure{why.reason, shortForbidden(why.message)}.sentence())
	default:
		w.add("no pod in its place")
	}
	return w
}

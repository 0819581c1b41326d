package causality

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// phases tile the restart: stopping the old run, what the container then waited
// for, starting the new one, becoming ready.
func (rs *restart) phases(b *builder, root *spans.Span, subject string) {
	add := func(what kind.Kind, subject string, from, until time.Time, id ...string) *spans.Span {
		from = latest(from, root.Start)
		if until.After(root.End) {
			until = root.End
		}
		if !until.After(from) {
			return nil
		}
		return b.add(node{
			parent: root.SpanID, id: append([]string{what.ID()}, id...), kind: what,
			subject: subject, start: from, end: until,
		})
	}
	marks := rs.pod.marks(rs.container)
	stopped := latest(rs.ended.finished.at(), rs.from)
	if rs.killed == nil {
		stopped = rs.from
	}
	started := rs.until
	if rs.next != nil && rs.next.started.known() {
		started = startOfRun(marks, rs.next)
	}
	attempt := started
	for _, m := range marks {
		if m.exact && m.kind != markFailed && m.kind != markBackOff && m.at.After(rs.from) && m.at.Before(attempt) {
			attempt = m.at
			break
		}
	}
	if stopped.After(attempt) {
		stopped = attempt
	}
	add(kind.StopContainer, subject, rs.from, stopped)
	waited := stopped
	if until := rs.newSandbox(attempt); !until.IsZero() {
		rs.isAbout(add(kind.PrepareSandbox, rs.pod.subject(), waited, until), nil)
		waited = latest(waited, until)
	}
	reruns := rs.reruns(stopped, attempt)
	for _, again := range reruns[max(len(reruns)-maxReruns, 0):] {
		rs.isAbout(add(kind.InitContainer, rs.pod.subject()+" container/"+again.name, waited, again.until, again.name, again.id), again.container)
		waited = latest(waited, again.until)
	}
	if waited.After(stopped) {
		attempt = waited // nothing else kept it
	}
	add(kind.BackOff, subject, waited, attempt)
	if rs.next == nil {
		return
	}
	add(kind.StartContainer, subject, attempt, started)
	last := kind.BecomeReady
	if rs.container.init && !rs.container.sidecar {
		last = kind.RunContainer
	}
	add(last, subject, started, rs.until)
}

// isAbout says that a span below the restart is about another container, or about the
// pod as a whole.
func (rs *restart) isAbout(s *spans.Span, other *container) {
	if s == nil {
		return
	}
	own := rs.container.attributes()
	s.Attributes = slices.DeleteFunc(s.Attributes, func(kv attribute.KeyValue) bool {
		return slices.ContainsFunc(own, func(o attribute.KeyValue) bool { return o.Key == kv.Key })
	})
	if other != nil {
		s.Attributes = append(s.Attributes, other.attributes()...)
	}
}

// newSandbox is when the pod had another sandbox, if that was what the container
// waited for until it was worked on again; else zero.
func (rs *restart) newSandbox(attempt time.Time) time.Time {
	changed := slices.ContainsFunc(rs.pod.events, func(ev *event) bool {
		return ev.reason == "SandboxChanged" && !ev.first().Before(rs.from.Add(-arrivalSlack)) && ev.first().Before(attempt)
	})
	if !changed {
		return time.Time{}
	}
	until := attempt
	for _, m := range rs.pod.sandboxes {
		if m.at().After(rs.from) {
			until = earliest(until, m.at())
		}
	}
	// A container that is worked on has its sandbox, whatever the condition says.
	rs.work.spend(len(rs.pod.containers) * (1 + len(rs.pod.events)))
	for _, c := range rs.pod.containers {
		for _, m := range rs.pod.marks(c) {
			if m.exact && m.kind != markBackOff && m.at.After(rs.from) {
				until = earliest(until, m.at)
				break
			}
		}
	}
	return until
}

// rerun is an init container's run in a pod that had been Ready.
type rerun struct {
	*container
	id    string
	until time.Time
}

// maxReruns bounds the runs of init containers that one restart tells of: a pod may
// have thousands of either. What it waited for last says most.
const maxReruns = 64

// stepsARerun is what it takes to put one into order and to tell of it.
const stepsARerun = 64

// reruns are the runs of init containers that the container waited for, in order.
func (rs *restart) reruns(from, until time.Time) []rerun {
	var all []rerun
	for _, c := range rs.pod.containers {
		rs.work.spend(1 + len(c.runs))
		if !c.init || c.sidecar || c == rs.container {
			continue
		}
		for _, r := range c.runs {
			if !r.over() || r.started.at().Before(from) || r.finished.lo.After(until) {
				continue
			}
			all = append(all, rerun{c, r.id, earliest(r.finished.at(), until)})
		}
	}
	rs.work.spend(stepsARerun * len(all))
	slices.SortStableFunc(all, func(a, b rerun) int { return a.until.Compare(b.until) })
	return all
}

// initialized are the names of the init containers that the restart waited for.
func (rs *restart) initialized() map[string]bool {
	if rs.next == nil {
		return nil
	}
	names := map[string]bool{}
	for _, again := range rs.reruns(rs.from, rs.next.started.at()) {
		names[again.name] = true
	}
	return names
}

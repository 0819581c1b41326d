package build

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// phases tile the restart: stopping the old run, what the container then waited
// for, starting the new one, becoming ready.
func (rs *Restart) phases(b *builder, root *spans.Span, subject string) {
	add := func(what kind.Kind, subject string, from, until time.Time, id ...string) *spans.Span {
		from = evidence.Latest(from, root.Start)
		if until.After(root.End) {
			until = root.End
		}
		if !until.After(from) {
			return nil
		}
		return b.add(Node{
			parent: root.SpanID, id: append([]string{what.ID()}, id...), Kind: what,
			Subject: subject, Start: from, End: until,
		})
	}
	marks := rs.Pod.Milestones(rs.container)
	stopped := evidence.Latest(rs.Ended.Finished.At(), rs.From)
	if rs.Killed == nil {
		stopped = rs.From
	}
	started := rs.Until
	if rs.Next != nil && rs.Next.Started.Known() {
		started = podlife.StartOfRun(marks, rs.Next)
	}
	attempt := started
	for _, m := range marks {
		if m.Exact && m.Kind != podlife.MilestoneFailed && m.Kind != podlife.MilestoneBackOff && m.At.After(rs.From) && m.At.Before(attempt) {
			attempt = m.At
			break
		}
	}
	if stopped.After(attempt) {
		stopped = attempt
	}
	add(kind.StopContainer, subject, rs.From, stopped)
	waited := stopped
	if until := rs.newSandbox(attempt); !until.IsZero() {
		rs.isAbout(add(kind.PrepareSandbox, rs.Pod.Subject(), waited, until), nil)
		waited = evidence.Latest(waited, until)
	}
	reruns := rs.reruns(stopped, attempt)
	for _, again := range reruns[max(len(reruns)-MaxReruns, 0):] {
		rs.isAbout(add(kind.InitContainer, rs.Pod.Subject()+" container/"+again.Name, waited, again.until, again.Name, again.id), again.Container)
		waited = evidence.Latest(waited, again.until)
	}
	if waited.After(stopped) {
		attempt = waited // nothing else kept it
	}
	add(kind.BackOff, subject, waited, attempt)
	if rs.Next == nil {
		return
	}
	add(kind.StartContainer, subject, attempt, started)
	last := kind.BecomeReady
	if rs.container.Init && !rs.container.Sidecar {
		last = kind.RunContainer
	}
	add(last, subject, started, rs.Until)
}

// isAbout says that a span below the restart is about another container, or about the
// pod as a whole.
func (rs *Restart) isAbout(s *spans.Span, other *podlife.Container) {
	if s == nil {
		return
	}
	own := rs.container.Attributes()
	s.Attributes = slices.DeleteFunc(s.Attributes, func(kv attribute.KeyValue) bool {
		return slices.ContainsFunc(own, func(o attribute.KeyValue) bool { return o.Key == kv.Key })
	})
	if other != nil {
		s.Attributes = append(s.Attributes, other.Attributes()...)
	}
}

// newSandbox is when the pod had another sandbox, if that was what the container
// waited for until it was worked on again; else zero.
func (rs *Restart) newSandbox(attempt time.Time) time.Time {
	changed := slices.ContainsFunc(rs.Pod.Events, func(ev *podlife.Event) bool {
		return ev.Reason == "SandboxChanged" && !ev.First().Before(rs.From.Add(-evidence.ArrivalSlack)) && ev.First().Before(attempt)
	})
	if !changed {
		return time.Time{}
	}
	until := attempt
	for _, m := range rs.Pod.Sandboxes {
		if m.At().After(rs.From) {
			until = evidence.Earliest(until, m.At())
		}
	}
	// A container that is worked on has its sandbox, whatever the condition says.
	rs.work.Spend(len(rs.Pod.Containers) * (1 + len(rs.Pod.Events)))
	for _, container := range rs.Pod.Containers {
		for _, m := range rs.Pod.Milestones(container) {
			if m.Exact && m.Kind != podlife.MilestoneBackOff && m.At.After(rs.From) {
				until = evidence.Earliest(until, m.At)
				break
			}
		}
	}
	return until
}

// rerun is an init container's run in a pod that had been Ready.
type rerun struct {
	*podlife.Container
	id    string
	until time.Time
}

// MaxReruns bounds the runs of init containers that one restart tells of: a pod may
// have thousands of either. What it waited for last says most.
const MaxReruns = 64

// stepsARerun is what it takes to put one into order and to tell of it.
const stepsARerun = 64

// reruns are the runs of init containers that the container waited for, in order.
func (rs *Restart) reruns(from, until time.Time) []rerun {
	var all []rerun
	for _, container := range rs.Pod.Containers {
		rs.work.Spend(1 + len(container.Runs))
		if !container.Init || container.Sidecar || container == rs.container {
			continue
		}
		for _, r := range container.Runs {
			if !r.Over() || r.Started.At().Before(from) || r.Finished.Earliest.After(until) {
				continue
			}
			all = append(all, rerun{container, r.Id, evidence.Earliest(r.Finished.At(), until)})
		}
	}
	rs.work.Spend(stepsARerun * len(all))
	slices.SortStableFunc(all, func(a, b rerun) int { return a.until.Compare(b.until) })
	return all
}

// initialized are the names of the init containers that the restart waited for.
func (rs *Restart) initialized() map[string]bool {
	if rs.Next == nil {
		return nil
	}
	names := map[string]bool{}
	for _, again := range rs.reruns(rs.From, rs.Next.Started.At()) {
		names[again.Name] = true
	}
	return names
}

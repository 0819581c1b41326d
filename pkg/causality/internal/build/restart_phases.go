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
func (restart *Restart) phases(b *builder, root *spans.Span, subject string) {
	add := func(what kind.Kind, subject string, from, until time.Time, id ...string) *spans.Span {
		from = evidence.Latest(from, root.Start)
		if until.After(root.End) {
			until = root.End
		}
		if !until.After(from) {
			return nil
		}
		return b.add(SpanSpec{
			parent: root.SpanID, id: append([]string{what.ID()}, id...), Kind: what,
			Subject: subject, Start: from, End: until,
		})
	}
	milestones := restart.Pod.Milestones(restart.container)
	stopped := evidence.Latest(restart.Ended.Finished.At(), restart.From)
	if restart.Killed == nil {
		stopped = restart.From
	}
	started := restart.Until
	if restart.Next != nil && restart.Next.Started.Known() {
		started = podlife.StartOfRun(milestones, restart.Next)
	}
	attempt := started
	for _, m := range milestones {
		if m.Exact && m.Kind != podlife.MilestoneFailed && m.Kind != podlife.MilestoneBackOff && m.At.After(restart.From) && m.At.Before(attempt) {
			attempt = m.At
			break
		}
	}
	if stopped.After(attempt) {
		stopped = attempt
	}
	b.isOf(add(kind.StopContainer, subject, restart.From, stopped), restart.Ended)
	waited := stopped
	if until := restart.newSandbox(attempt); !until.IsZero() {
		restart.isAbout(b, add(kind.PrepareSandbox, restart.Pod.Subject(), waited, until), nil)
		waited = evidence.Latest(waited, until)
	}
	reruns := restart.reruns(stopped, attempt)
	for _, again := range reruns[max(len(reruns)-MaxReruns, 0):] {
		s := add(kind.InitContainer, restart.Pod.Subject()+" container/"+again.Name, waited, again.until, again.Name, again.run.ID)
		restart.isAbout(b, s, again.Container)
		b.isOf(s, again.run)
		waited = evidence.Latest(waited, again.until)
	}
	if waited.After(stopped) {
		attempt = waited // nothing else kept it
	}
	add(kind.BackOff, subject, waited, attempt)
	if restart.Next == nil {
		return
	}
	b.isOf(add(kind.StartContainer, subject, attempt, started), restart.Next)
	last := kind.BecomeReady
	if restart.container.Init && !restart.container.Sidecar {
		last = kind.RunContainer
	}
	b.isOf(add(last, subject, started, restart.Until), restart.Next)
}

// isOf says that a span below the restart is about one of the runs.
func (b *builder) isOf(s *spans.Span, run *podlife.Run) {
	if s != nil {
		b.describe(s, s.Resource, s.Attributes, run.Identity())
	}
}

// isAbout says that a span below the restart is about another container, or about the
// pod as a whole.
func (restart *Restart) isAbout(b *builder, s *spans.Span, other *podlife.Container) {
	if s == nil {
		return
	}
	own := restart.container.Attributes()
	pods := slices.DeleteFunc(slices.Concat(s.Resource, s.Attributes), func(kv attribute.KeyValue) bool {
		return slices.ContainsFunc(own, func(o attribute.KeyValue) bool { return o.Key == kv.Key })
	})
	var others []attribute.KeyValue
	s.App = b.workload.AppOf(restart.Pod)
	if other != nil {
		others = other.Attributes()
		s.App = b.workload.AppIn(restart.Pod, other)
	}
	b.describe(s, pods, others)
}

// newSandbox is when the pod had another sandbox, if that was what the container
// waited for until it was worked on again; else zero.
func (restart *Restart) newSandbox(attempt time.Time) time.Time {
	changed := slices.ContainsFunc(restart.Pod.Events, func(ev *podlife.Event) bool {
		return ev.Reason == "SandboxChanged" && !ev.First().Before(restart.From.Add(-evidence.ArrivalSlack)) && ev.First().Before(attempt)
	})
	if !changed {
		return time.Time{}
	}
	until := attempt
	for _, m := range restart.Pod.Sandboxes {
		if m.At().After(restart.From) {
			until = evidence.Earliest(until, m.At())
		}
	}
	// A container that is worked on has its sandbox, whatever the condition says.
	restart.work.Spend(len(restart.Pod.Containers) * (1 + len(restart.Pod.Events)))
	for _, container := range restart.Pod.Containers {
		for _, m := range restart.Pod.Milestones(container) {
			if m.Exact && m.Kind != podlife.MilestoneBackOff && m.At.After(restart.From) {
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
	run   *podlife.Run
	until time.Time
}

// MaxReruns bounds the runs of init containers that one restart tells of: a pod may
// have thousands of either. What it waited for last says most.
const MaxReruns = 64

// workPerRerun is the work that it takes to put one into order and to build its span.
const workPerRerun = 64

// reruns are the runs of init containers that the container waited for, in order.
func (restart *Restart) reruns(from, until time.Time) []rerun {
	var all []rerun
	for _, container := range restart.Pod.Containers {
		restart.work.Spend(1 + len(container.Runs))
		if !container.Init || container.Sidecar || container == restart.container {
			continue
		}
		for _, r := range container.Runs {
			if !r.Over() || r.Started.At().Before(from) || r.Finished.Earliest.After(until) {
				continue
			}
			all = append(all, rerun{container, r, evidence.Earliest(r.Finished.At(), until)})
		}
	}
	restart.work.Spend(workPerRerun * len(all))
	slices.SortStableFunc(all, func(a, b rerun) int { return a.until.Compare(b.until) })
	return all
}

// initialized are the names of the init containers that the restart waited for.
func (restart *Restart) initialized() map[string]bool {
	if restart.Next == nil {
		return nil
	}
	names := map[string]bool{}
	for _, again := range restart.reruns(restart.From, restart.Next.Started.At()) {
		names[again.Name] = true
	}
	return names
}

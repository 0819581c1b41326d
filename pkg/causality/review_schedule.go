package causality

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/schedules"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// What the CronJob controller says is about a time of the schedule, or about the run of one
// of its Jobs. Of a time at which no Job was made there is nothing but what it says.

// scheduler tells of a CronJob what its Events say.
type scheduler struct {
	*Engine
	cron   *podlife.Object
	wanted extent
	out    []spans.Trace
	left   []*podlife.Event // what is about something else
	held   bool             // some wait for what they are about
}

// scheduleEvents hands out the Events about a CronJob that tell of a time of its schedule, or
// of a Job whose trace is out. It returns what is about something else, and whether some
// wait.
func (e *Engine) scheduleEvents(obj *podlife.Object, events []*podlife.Event, wanted extent) *scheduler {
	s := &scheduler{Engine: e, cron: obj, wanted: wanted}
	if obj.Kind != kube.KindCronJob || obj.Group != "" {
		s.left = events
		return s
	}
	for _, ev := range events {
		if ev.Untold() == nil {
			continue // it is with another one of them
		}
		name := schedules.JobIn(ev.Message())
		job, due := s.job(name), schedules.TimeIn(s.cron.Name, name, ev.First())
		_, listed := ev.Listed()
		switch at, missed := schedules.Missed(ev.Reason, ev.Message(), ev.First()); {
		case build.KeepsFromJob(ev):
			s.active(ev)
		case job != nil:
			s.about(job, ev)
		case missed && !listed:
			s.settled(ev, build.Schedule{Cron: obj, At: at, Until: ev.First(), How: attr.OutcomeSkipped, Cause: attr.CauseDeadline})
		case ev.Reason == schedules.CreatedJob && !listed && !due.IsZero():
			s.settled(ev, build.Schedule{Cron: obj, At: due, Until: ev.First(), How: attr.OutcomeComplete})
		default:
			s.left = append(s.left, ev)
		}
	}
	return s
}

// settled hands out a time of the schedule of which only an Event tells, when the Job of
// that time would have been seen.
func (s *scheduler) settled(ev *podlife.Event, told build.Schedule) {
	if s.wanted == whatSettled && s.now.Before(ev.LastArrival.Add(s.opts.Quiet)) {
		s.wait()
		return
	}
	s.out = append(s.out, told.Trace([]*podlife.Event{ev}))
}

func (s *scheduler) wait() { s.held = true }

// about puts an Event that names a Job on the Job's run, or on the time it was made for.
func (s *scheduler) about(job *workloads.Workload, ev *podlife.Event) {
	var on *ledger.SentSpan
	if c := job.CronJob; c != nil && ev.Reason == schedules.CreatedJob && !c.At.IsZero() {
		if !c.Ledger.Sent && s.wanted != everything {
			s.wait()
			return
		}
		on = c.Ledger.Root
	} else {
		for _, c := range job.Changes {
			if !c.Ledger.Sent && s.wanted != everything {
				s.wait()
				return
			}
			if c.Ledger.Root != nil && !ev.First().Before(c.Ledger.Root.Start) {
				on = c.Ledger.Root
			}
		}
	}
	s.late(on, ev)
}

// late puts an Event below a span that was handed out before.
func (s *scheduler) late(on *ledger.SentSpan, ev *podlife.Event) {
	if on == nil {
		s.left = append(s.left, ev)
		return
	}
	s.out = append(s.out, build.LateEventsTrace(on, workloads.AttributesOf(s.cron), nil, build.SpanSpec{
		Kind: kind.Activity, Object: s.cron.Kind, Service: attr.ServiceUnknown, Subject: s.cron.Subject(), End: ev.First(),
	}, []*podlife.Event{ev}, time.Time{}))
}

// active goes through the times at which the controller did not start a Job because another
// one still ran. It looks in the second in which a time has come, and again when a Job
// changes. Each time it means the latest time that has come: so the one before is skipped.
func (s *scheduler) active(ev *podlife.Event) {
	for ev != nil && s.activeOnce(ev) {
		rest := ev.Untold()
		if rest != nil && len(rest.Occurrences) >= len(ev.Occurrences) {
			s.left = append(s.left, ev) // nothing has taken it
			return
		}
		ev = rest
	}
}

// activeOnce hands out what tells of the first of these times. It reports whether it has:
// the times after it may follow.
func (s *scheduler) activeOnce(ev *podlife.Event) bool {
	if last, ok := ev.Listed(); ok {
		if s.wanted == whatSettled && s.now.Before(ev.FirstArrival().Add(s.opts.Quiet)) {
			s.wait() // the time may be one that is told of all the same
			return false
		}
		ev.Ledger.PassOver(last.Count, last.At)
		return true
	}
	at := s.timeOf(ev)
	if at.IsZero() {
		s.left = append(s.left, ev) // what came before is not known
		return false
	}
	if job := s.job(schedules.JobAt(s.cron.Name, at)); job != nil && job.CronJob != nil {
		if !job.CronJob.Ledger.Sent && s.wanted != everything {
			s.wait()
			return false
		}
		s.late(job.CronJob.Ledger.Root, ev)
		return job.CronJob.Ledger.Root != nil
	}
	if made := s.created(at); made != nil {
		if s.wanted == whatSettled && s.now.Before(made.LastArrival.Add(s.opts.Quiet)) {
			s.wait()
			return false
		}
		s.out = append(s.out, build.Schedule{Cron: s.cron, At: at, Until: made.First(), How: attr.OutcomeComplete}.Trace([]*podlife.Event{made}))
		return true
	}
	return s.skipped(at, ev)
}

// timeOf is the time of the schedule that an Event is about: the latest in whose second the
// controller said so, as it may in any other second. It is zero if that was not seen.
func (s *scheduler) timeOf(ev *podlife.Event) (at time.Time) {
	for _, o := range slices.Concat(s.events[ev.Key].Occurrences, ev.Occurrences) {
		if !o.At.After(ev.First()) && s.cron.Cron.MayStart(o.At) && o.At.After(at) {
			at = o.At
		}
	}
	return at.Truncate(time.Minute)
}

// skipped hands out a time of the schedule for which there is no Job, once the next one has
// come; ok is false if it has not.
func (s *scheduler) skipped(at time.Time, ev *podlife.Event) (ok bool) {
	next, seen := s.timeAfter(at)
	told := build.Schedule{Cron: s.cron, At: at, How: attr.OutcomeSkipped, Cause: attr.CauseConcurrency}
	if ev.Reason != build.ReasonJobActive {
		told.Cause = attr.CauseFailed
	}
	switch {
	case s.stats.Observations[workloads.JobNamed("", "").Kind] == 0:
		s.left = append(s.left, ev) // there may be a Job that nobody may see
		return false
	case !next.IsZero() && (s.wanted != whatSettled || !s.now.Before(seen.Add(s.settle()))):
		told.Until = next
	case next.IsZero() && s.wanted == everything:
		told.How, told.Cause, told.Until = attr.OutcomeOpen, "", s.now
	case next.IsZero() && !s.cron.Exists:
		s.left = append(s.left, ev) // nobody will make a Job any more
		return false
	default:
		s.wait()
		return false
	}
	s.out = append(s.out, told.Trace(nil))
	return true
}

// timeAfter is the first time of the schedule after another one, as far as the controller
// said anything of it, and when the news of that came; zero if it did not.
func (s *scheduler) timeAfter(at time.Time) (next, seen time.Time) {
	for _, ev := range s.cron.Events {
		for _, o := range ev.Occurrences {
			var t time.Time
			switch {
			case build.KeepsFromJob(ev) && s.cron.Cron.MayStart(o.At):
				t = o.At.Truncate(time.Minute)
			case ev.Reason == schedules.CreatedJob:
				t = schedules.TimeIn(s.cron.Name, schedules.JobIn(o.Message), o.At)
			}
			if t.After(at) && (next.IsZero() || t.Before(next)) {
				next, seen = t, o.Seen
			}
		}
	}
	return next, seen
}

// created is the Event by which the controller says that it made the Job for a time; nil if
// there is none.
func (s *scheduler) created(at time.Time) *podlife.Event {
	for _, ev := range s.cron.Events {
		if ev.Reason == schedules.CreatedJob && schedules.JobIn(ev.Message()) == schedules.JobAt(s.cron.Name, at) {
			return ev
		}
	}
	return nil
}

// job is the Job of a name, nil if none was seen.
func (s *scheduler) job(name string) *workloads.Workload {
	if name == "" {
		return nil
	}
	return s.workloads[s.names[workloads.JobNamed(s.cron.Namespace, name)]]
}

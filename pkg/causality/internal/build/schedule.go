package build

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// ReasonJobActive is the reason of the Event by which the CronJob controller says that it
// does not start a Job, as one still runs and the concurrency policy is Forbid
// (k8s.io/kubernetes/pkg/controller/cronjob). It says so each time it looks.
const ReasonJobActive = "JobAlreadyActive"

// KeepsFromJob reports whether an Event of the CronJob controller says that it did not make a
// Job whose time had come: another one runs, or the API server did not let it.
func KeepsFromJob(ev *podlife.Event) bool {
	return ev.Reason == ReasonJobActive || ev.Reason == "FailedCreate"
}

// Schedule is a time of a CronJob's schedule, and what became of it.
type Schedule struct {
	Cron  *podlife.Object
	At    time.Time
	Until time.Time // the Job was made, or the time was given up
	How   attr.Outcome
	Cause string // of a time that was skipped, or had to wait
}

// Trace builds the trace of a time of which only these Events tell: no Job of it was seen.
func (s Schedule) Trace(events []*podlife.Event) spans.Trace {
	b := &builder{place: plans.PlaceOfTime(s.Cron, s.At), base: workloads.AttributesOf(s.Cron)}
	target := ""
	if s.Cron.Name != "" {
		target = s.Cron.Namespace + "/" + s.Cron.Name
	}
	b.addSchedule(s, target, events)
	return b.done()
}

// addSchedule adds the root of such a trace, with what is said of the time.
func (b *builder) addSchedule(s Schedule, target string, events []*podlife.Event) *spans.Span {
	attrs := []attribute.KeyValue{
		attr.ChangeKey.String(string(attr.ChangeSchedule)),
		attr.OutcomeKey.String(string(s.How)),
		attr.ScheduledAtKey.String(s.At.Format(time.RFC3339)),
	}
	if s.Cause != "" {
		attrs = append(attrs, attr.CauseKey.String(s.Cause))
	}
	root := b.add(SpanSpec{
		Kind: kind.CronJobSchedule, Target: target, Subject: s.Cron.Subject(),
		Start: s.At, End: s.Until, Attrs: attrs,
	})
	b.attachActive(root, s.Cron)
	for _, ev := range events {
		attach(root, ev, time.Time{})
	}
	return root
}

// attachActive puts on a time of the schedule what its Job had to wait for.
func (b *builder) attachActive(root *spans.Span, cron *podlife.Object) {
	for _, ev := range cron.Untold() {
		if KeepsFromJob(ev) && within(ev.First(), root.Start.Add(-evidence.ArrivalSlack), root.End) {
			attach(root, ev, root.End)
		}
	}
}

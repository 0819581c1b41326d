package causality

import (
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// buildRun builds the trace of a pod that no workload made: its root is the
// pod's own start or run.
func (b *changeBuilder) buildRun(now time.Time) spans.Trace {
	c := b.change
	for _, q := range b.pods {
		cut := time.Time{}
		if !c.over() {
			cut = now
		}
		b.podStart(trace.SpanID{}, q, nil, time.Time{}, cut, c.how() == attr.OutcomeFailed)
	}
	b.root = b.spans[0]
	b.root.Attributes = append(b.root.Attributes, b.rootAttributes()...)
	c.linkContexts(b.root)
	if c.over() {
		b.addPath(b.root)
	}
	c.ledger.told(b.remember(b.root))
	return b.done()
}

// commonest returns the failure that most pods had.
func commonest(count map[failure]int) (worst failure, n int) {
	for f, k := range count {
		if k > n || k == n && f.reason+f.message < worst.reason+worst.message {
			worst, n = f, k
		}
	}
	return worst, n
}

// sentence is the failure in words, its reason first.
func (f failure) sentence() string {
	if f.message == "" {
		return f.reason
	}
	return f.reason + ": " + f.message
}

// scheduled hands out the times of a CronJob's schedule, from the time that was
// asked for to the creation of the Job: what the controller was late.
func (r *reviewer) scheduled() {
	c := r.cronJob
	if c == nil || c.ledger.sent || c.at.IsZero() || !r.ready(c.made.at()) {
		return
	}
	if run := r.scheduledRun(); r.wanted == whatIsOver && run != nil && r.foundAgain(run) {
		return // with the run
	}
	c.ledger.told()
	r.out = append(r.out, r.buildSchedule())
}

// buildSchedule builds the trace of the time of a CronJob's schedule that a Job is for.
func (p *plan) buildSchedule() spans.Trace {
	c, cron := p.cronJob, p.cronJobOf()
	b := &builder{place: p.placeOfSchedule(), base: cron.attributes()}
	made := c.made
	var told []*event
	for _, ev := range cron.events {
		if ev.reason == "SuccessfulCreate" && strings.HasSuffix(ev.message(), " "+p.name) {
			made = made.before(ev.first())
			told = append(told, ev)
		}
	}
	root := b.add(node{
		kind: kind.CronJobSchedule, subject: cron.subject(),
		start: c.at, end: made.at(), attrs: []attribute.KeyValue{
			attr.ChangeKey.String(string(attr.ChangeSchedule)),
			attr.OutcomeKey.String(string(attr.OutcomeComplete)),
			attr.ScheduledAtKey.String(c.at.Format(time.RFC3339)),
		},
	})
	for _, ev := range told {
		attach(root, ev, time.Time{})
	}
	if run := p.scheduledRun(); run != nil {
		link(root, p.placeOf(run), attr.LinkCauses)
	}
	return b.done()
}

// scheduledRun is the run that the schedule asked for; a Job that was suspended
// and resumed has others.
func (d *workload) scheduledRun() *change {
	for _, c := range d.changes {
		if c.kind == attr.ChangeJob && c.cause == attr.CauseSchedule {
			return c
		}
	}
	return nil
}

// cronJobOf is what is known of the CronJob that made a Job: who it is, at the least.
func (p *plan) cronJobOf() *object {
	if p.cron != nil {
		return p.cron
	}
	return &object{objectID: p.cronJob.id, name: p.cronJob.name}
}

// placeOfSchedule is that of a scheduled time, which is nobody's to deploy. It is
// decided when it is asked for the first time: the Job's run has to link to it.
func (p *plan) placeOfSchedule() place {
	c := p.cronJob
	if c.ledger.place == nil {
		c.ledger.decide(ownPlace(p.cronJobOf().unique(), string(attr.ChangeSchedule), strconv.FormatInt(c.at.Unix(), 10)))
	}
	return p.issued.give(*c.ledger.place)
}

// cronJobEvents puts what the CronJob controller says of the Job on its run.
func (b *changeBuilder) cronJobEvents(cron *object) {
	if cron == nil {
		return
	}
	for _, ev := range cron.events {
		if !ev.ledger.claimed && strings.Contains(ev.message()+",", " "+b.name+",") {
			attach(b.root, ev, time.Time{})
		}
	}
}

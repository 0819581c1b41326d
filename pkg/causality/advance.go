package causality

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Advance moves stream time to now and returns what that finished. Time does
// not run backwards: an earlier now changes nothing.
func (e *Engine) Advance(now time.Time) []spans.Trace { return e.advance(e.clocks.Watch.Time(now)) }

// setBack sets stream time back, which was ahead with our clock. What was to wait until some time by
// that waits for as long from now on.
func (e *Engine) setBack(now time.Time) {
	e.now = now
	e.records.SetBack(now)
	for w := range e.open {
		e.touch(w)
	}
	for _, obj := range e.unsettled.All() {
		e.unsettled.Earlier(obj, now.Add(e.opts.Quiet))
	}
	for _, n := range e.dueNodes.All() {
		e.dueNodes.Earlier(n, now.Add(e.opts.Settle))
	}
}

// advance moves stream time, which is the API server's.
func (e *Engine) advance(now time.Time) []spans.Trace {
	if now.After(e.now) {
		e.now = now
	}
	if e.since.IsZero() {
		e.since = now
	}
	if e.held {
		return nil
	}
	if f := e.guard(e.sweep); f != nil {
		e.contain(f, "sweep", kube.ObjectID{}, "")
	}
	if !e.due.Ready(e.now) && !e.dueNodes.Ready(e.now) && !e.unsettled.Ready(e.now) && !e.orphans.Ready(e.now) {
		return e.withRecords(nil, whatSettled)
	}
	out := e.reviewDue(whatSettled)
	out = append(out, e.disruptions(whatSettled)...)
	out = append(out, e.activities(whatSettled)...)
	if f := e.guard(e.forgetOrphans); f != nil {
		e.contain(f, "sweep", kube.ObjectID{}, "")
	}
	return e.withRecords(e.handOut(out), whatSettled)
}

package cli

import (
	"time"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/metrics"
)

// alarmed is what raises alarms in a run, and counts what they go by.
type alarmed struct {
	metrics *metrics.Alarms
	watch   *alarms.Watch
}

func (r *run) newAlarmed() *alarmed {
	a := &alarmed{metrics: metrics.NewAlarms(r.measure, alarms.Reasons())}
	a.watch = alarms.New(alarms.Options{Metrics: a.metrics, Leading: r.leading, Sink: r})
	return a
}

// observes has alarms raised by what is observed, beside who is told of it already.
func (a *alarmed) observes(told func(causality.Observation)) func(causality.Observation) {
	if told == nil {
		return a.watch.Observe
	}
	return func(o causality.Observation) {
		told(o)
		a.watch.Observe(o)
	}
}

func (a *alarmed) tick(now time.Time, stats *causality.Stats, about func([]causality.Ref) []causality.Known) {
	a.watch.Tick(now, stats.Rollouts, stats.Disruptions, about)
}

// leading reports whether this process is the one that tells what it sees.
func (r *run) leading() bool {
	live := r.live.Load()
	return live != nil && live.Leading()
}

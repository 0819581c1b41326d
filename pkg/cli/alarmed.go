package cli

import (
	"sync/atomic"
	"time"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// alarmed is what raises alarms in a run, and counts what they go by.
type alarmed struct {
	metrics *metrics.Alarms
	watch   *alarms.Watch
	// live is there once there is one.
	live atomic.Pointer[watcher.Live]
}

func newAlarmed(measure metrics.Options, sink alarms.Sink) *alarmed {
	a := &alarmed{metrics: metrics.NewAlarms(measure, alarms.Reasons())}
	a.watch = alarms.New(alarms.Options{Metrics: a.metrics, Leading: a.leading, Sink: sink})
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

func (a *alarmed) leading() bool {
	live := a.live.Load()
	return live != nil && live.Leading()
}

func (a *alarmed) tick(now time.Time, stats *causality.Stats) {
	a.watch.Tick(now, stats.Rollouts, stats.Disruptions)
}

package watcher

import (
	"context"
	"errors"
	"time"

	"github.com/rollspan/rollspan/pkg/internal/interrupt"
	"github.com/rollspan/rollspan/pkg/journal"
)

// conclude hands out what is over when the streams have stopped and the queue is
// empty, and says what was forgone and what is left.
func (l *Live) conclude(keeper *journal.Keeper, sink Sink) error {
	if l.restored.Load() != nil {
		open := keeper.EngineStats().Open
		l.options.Log.Warn("stopped watching: the API server was restored from a backup; what had ended was told without waiting for late Events, and what was open is of a past that is none any more",
			"open", open)
		return l.deliver(keeper, sink, keeper.Forsake())
	}
	if keeper.Kept() {
		l.options.Log.Info("stopped watching; the next run goes on with what is open, and with what has not settled",
			"open", keeper.EngineStats().Open)
		return nil
	}
	if len(l.streams.waitingFor()) > 0 {
		// Of half of a cluster nothing can be told. Who lists all of it can.
		l.options.Log.Info("stopped before the first lists were through; all is left to the next run")
		return nil
	}
	over := keeper.Finish()
	early := 0
	for _, t := range over {
		if !t.Late && t.Record == nil {
			early++
		}
	}
	err := l.deliver(keeper, sink, over)
	l.options.Log.Info("stopped watching; what had ended was told without waiting for late Events, and open changes are left to the next run",
		"early", early, "open", keeper.EngineStats().Open)
	return err
}

// endWithin does what runs l until ctx is done, or that fails, and then gives both
// the grace to end.
func (l *Live) endWithin(ctx context.Context, grace time.Duration, run func(context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	over, cancel := interrupt.Grace(running, grace)
	defer cancel()
	returned := make(chan error, 1)
	go func() { returned <- run(running) }()

	var err error
	select {
	case err = <-returned:
	case <-over.Done():
		return l.unended(grace)
	}
	if !l.started.Load() {
		return err
	}
	stop() // a manager that has lost the leader election does not wait for l
	select {
	case <-l.ended:
		return err
	case <-over.Done():
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // the manager waited in vain, too
	}
	return errors.Join(err, l.unended(grace))
}

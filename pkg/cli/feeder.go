package cli

import (
	"context"
	"errors"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// feeder has engines tell what becomes of what was read, within a limit of memory.
type feeder struct {
	*app
	memory memoryLimit
	// faults is how often an engine had to give up on an object.
	faults int64
}

// deliver takes what an engine has handed out, with the time up to which it had seen things.
type deliver func(now time.Time, finished []spans.Trace) error

// errTooMuch says that what was read becomes more than was expected when it was read.
var errTooMuch = errors.New("what becomes of it takes more memory than it may")

// newEngine returns an engine whose faults are logged.
func (f *feeder) newEngine(options causality.Options) *causality.Engine {
	options.OnFault, options.OnClock = watcher.LogFaults(f.log), watcher.LogClocks(f.log)
	return causality.New(options)
}

// noteFaults counts on how many objects an engine gave up.
func (f *feeder) noteFaults(engine *causality.Engine) {
	for _, n := range engine.Stats().Faults {
		f.faults += n
	}
}

// feed has an engine tell a history. The error is errTooMuch if there is too little memory.
func (f *feeder) feed(ctx context.Context, history snapshots.History, options causality.Options, to deliver) error {
	options.InProgressAfter = 0 // nobody was there to say what was going on
	engine := f.newEngine(options)
	defer func() { f.noteFaults(engine) }()
	var now time.Time
	for i, o := range history.Observations {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if f.memory.exceeded() {
			return errTooMuch
		}
		now = o.Time
		history.Observations[i] = causality.Observation{} // it may be many times what the engine keeps
		if err := to(now, engine.Observe(o)); err != nil {
			return err
		}
	}
	if err := to(now, engine.Advance(history.End)); err != nil {
		return err
	}
	return f.flush(engine, now, to)
}

// flush delivers what the engine has left. The error is errTooMuch if there is too little memory.
func (f *feeder) flush(engine *causality.Engine, now time.Time, to deliver) error {
	left, ok := within(f.memory, engine.Flush)
	if !ok {
		return errTooMuch
	}
	return to(now, left)
}

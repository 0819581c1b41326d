package causality

import (
	"time"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Options of an Engine. The zero value is ready to use.
type Options struct {
	// Settle is how long, in stream time, a finished change waits for late
	// observations before its spans are handed out. Default 5s.
	Settle time.Duration
}

// Stats counts what the engine met.
type Stats struct {
	Observations int64
}

// Engine is the causality engine.
type Engine struct{}

// New returns an engine that has seen nothing yet.
func New(Options) *Engine { return &Engine{} }

// Observe takes in one observation and returns what it finished.
func (e *Engine) Observe(Observation) []spans.Trace { return nil }

// Advance moves stream time to now and returns what that finished.
func (e *Engine) Advance(time.Time) []spans.Trace { return nil }

// Flush ends the stream: it returns everything that is left, what is still
// open with the outcome "open". The engine must not be used afterwards.
func (e *Engine) Flush() []spans.Trace { return nil }

// Stats returns the counters so far.
func (e *Engine) Stats() Stats { return Stats{} }

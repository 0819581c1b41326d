// Package demo plays recordings of a real cluster to who has none: an API server inside the
// program, which the same manager, reflectors and engine watch that would watch a cluster.
// What is shown is what happened, when it happened, only sooner: the time that is played
// runs faster, and stands still where something arrives until that was dated.
package demo

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"

	"github.com/rollspan/rollspan/pkg/causality"
)

const (
	// lead is the time that is played before anything happens.
	lead = time.Second
	// settle is the time that is played after everything has happened, so that what is over
	// has settled.
	settle = 3 * time.Minute
	// patience is how long a watch event may be on its way over the loopback interface.
	patience = 10 * time.Second
)

// Demo is a cluster in which that happens which was recorded.
type Demo struct {
	*server
	events []recorded
	clock  *playedClock
	// observed has room for the one event that is on its way.
	observed chan struct{}
}

// New starts the API server. speed is how many times faster than it was recorded all is
// played; it is more than 0. What happens is dated so that it ends when it will have been
// played.
func New(speed float64) (*Demo, error) {
	events, err := load()
	if err != nil {
		return nil, err
	}
	last := events[len(events)-1].At
	took := time.Duration(float64(last.Sub(events[0].At.Add(-lead))) / speed)
	if err := move(events, time.Now().Add(took).Sub(last)); err != nil {
		return nil, err
	}
	server, err := newServer()
	if err != nil {
		return nil, err
	}
	return &Demo{
		server: server, events: events, observed: make(chan struct{}, 1),
		clock: newClock(events[0].At.Add(-lead), speed),
	}, nil
}

// Now is the time that is played.
func (d *Demo) Now() time.Time { return d.clock.Now() }

// NewTicker returns a ticker of the time that is played.
func (d *Demo) NewTicker(every time.Duration) clock.Ticker { return d.clock.NewTicker(every) }

// Observed is to be called for each observation that was made of the server.
func (d *Demo) Observed(causality.Observation) {
	select {
	case d.observed <- struct{}{}:
	default: // nobody waits for it
	}
}

// Play has everything happen, once all kinds are watched that something happens to. It
// returns when who watches has seen all of it and has been told that a while has passed
// since. The error is ctx's.
func (d *Demo) Play(ctx context.Context) error {
	for i := range d.events {
		for d.events[i].observed() && !d.watched(d.events[i].resource()) {
			if err := wait(ctx, tickAtLeast); err != nil {
				return err
			}
		}
	}
	for i := range d.events {
		e := &d.events[i]
		if err := wait(ctx, d.clock.until(e.At)); err != nil {
			return err
		}
		d.clock.stand()
		if err := d.happen(ctx, e); err != nil {
			return err
		}
	}
	d.clock.until(d.events[len(d.events)-1].At.Add(settle))
	d.clock.stand()
	// The one that a tick was taken by has done with the one before.
	for from := d.clock.taken(); d.clock.taken() < from+5; {
		if err := wait(ctx, tickAtLeast); err != nil {
			return err
		}
	}
	return nil
}

// happen waits until an event was observed.
func (d *Demo) happen(ctx context.Context, e *recorded) error {
	select {
	case <-d.observed: // of something that was waited for in vain
	default:
	}
	d.publish(e)
	if !e.observed() {
		return nil
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-d.observed:
		return nil
	case <-late.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the demonstration: %w", ctx.Err())
	}
}

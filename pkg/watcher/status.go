package watcher

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Status says what a Live watches, and how that fares.
type Status struct {
	// Server is the API server's address. Namespaces are what is watched; none for all.
	Server     string
	Namespaces []string
	// Watched are the resources of which the first list is through, Without those that cannot
	// be listed, or are not yet.
	Watched, Without []string
	// Ready says that everything that has to be read is, and up to date: no watch is down.
	Ready bool
	// At is what the loop is doing.
	At string
	// LastObserved is when the last news came; zero before any.
	LastObserved time.Time
	// Waiting is how many observations wait for the engine.
	Waiting int
}

// previews are what is asked of the loop that owns the engine.
type previews struct {
	asked chan func(*journal.Keeper)
	// feeding says that the loop is there to answer.
	feeding atomic.Bool

	mu    sync.Mutex
	last  []spans.Trace
	until time.Time // when last is too old

	observed atomic.Int64 // see Status.LastObserved; in nanoseconds since 1970
}

// previewEvery is how often at most the loop is asked: it does nothing else meanwhile.
const previewEvery = time.Second

// Preview returns what is in progress, as causality.Engine has it. What it returns may be a
// second old, and is to be read only. The error is that of ctx.
func (l *Live) Preview(ctx context.Context) ([]spans.Trace, error) {
	p := &l.previews
	if !p.feeding.Load() {
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.until) {
		return p.last, nil
	}
	answer := make(chan []spans.Trace, 1)
	select {
	case p.asked <- func(k *journal.Keeper) { answer <- k.Preview() }:
	case <-l.ended:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case p.last = <-answer:
	case <-l.ended:
		return nil, nil
	}
	p.until = time.Now().Add(previewEvery)
	return p.last, nil
}

// Status says how l fares. It may be called at any time.
func (l *Live) Status() Status {
	s := Status{
		Server: l.cluster.host, Namespaces: l.options.Namespaces, At: l.At(),
		Waiting: l.queue.length(),
		Ready:   l.previews.feeding.Load() && len(l.streams.waitingFor()) == 0 && !l.streams.blind(),
	}
	s.Watched, s.Without = l.streams.watched()
	if at := l.previews.observed.Load(); at != 0 {
		s.LastObserved = time.Unix(0, at).UTC()
	}
	return s
}

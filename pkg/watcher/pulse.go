package watcher

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// A process that is stopped, or whose machine sleeps, misses what happens meanwhile as if the API
// server were away. What has waited in its connections would come at once when it goes on, each watch
// by itself, and be dated by its arrival. So a pulse notices that no time has passed for the process:
// then all watches are cut, go on from where they were, and tell what was missed as after an outage.
//
// A clock that is set ahead counts as a stop. Linux has one that goes on while the machine sleeps and that
// nobody sets (CLOCK_BOOTTIME), but in a virtual machine that is paused that stands still with all others:
// that it is set ahead afterwards is the only sign of the pause. To take a mere step of the clock for one
// costs a request for each watch. To take a pause for a step would date what was missed by its arrival.

const (
	// beatEvery is how often a pulse beats.
	beatEvery = time.Second
	// stillAfter is how long a process may be without a beat for what comes to be as good as live. It
	// is longer than a busy machine keeps one waiting.
	stillAfter = 10 * time.Second
)

// pulse knows when the process stood still.
type pulse struct {
	now func() time.Time // with the monotonic clock's reading, which stands still in some sleeps
	// dates is the clock that dates what arrives, which is ahead of the machine's where that was set back.
	dates func() time.Time

	mu   sync.Mutex
	last time.Time // beat
	at   time.Time // of the last beat, as what arrived then is dated
	// stood counts how often the process stood still, and from is since when it last did.
	stood int
	from  time.Time
	// alive is done when it has stood still.
	alive context.Context
	cut   context.CancelFunc
}

func newPulse(now, dates func() time.Time) *pulse {
	p := &pulse{now: now, dates: dates, last: now(), at: dates().Round(0)}
	p.alive, p.cut = context.WithCancel(context.Background())
	return p
}

// run beats until ctx is done.
func (p *pulse) run(ctx context.Context) {
	wait.UntilWithContext(ctx, func(context.Context) { p.beat() }, beatEvery)
}

// beat notes that time passes, and reports how often the process stood still until now, and since
// when it last did, by the clock that dates what arrives. Others may ask before the pulse itself has
// beaten again. One that is nil never stands still.
func (p *pulse) beat() (stood int, from time.Time) {
	if p == nil {
		return 0, time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if max(now.Sub(p.last), now.Round(0).Sub(p.last.Round(0))) > stillAfter {
		p.stood++
		p.from = p.at
		p.cut()
		p.alive, p.cut = context.WithCancel(context.Background())
	}
	p.last, p.at = now, p.dates().Round(0)
	return p.stood, p.from
}

// since is done when the process has stood still since now.
func (p *pulse) since() context.Context {
	if p == nil {
		return context.Background()
	}
	p.beat()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive
}

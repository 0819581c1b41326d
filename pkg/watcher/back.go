package watcher

import (
	"sync"
	"time"
)

// back tells who waits for the API server that it has answered somebody else again. Else each
// notices when its own pause is over, which is half a minute after an outage of that length, and
// a trace waits for the last of them.
//
// Where one answers and fails in turn, as a server does that opens each stream and breaks it off,
// it would be told again and again, itself by itself, and nobody would pause any more. So it tells
// once in a time, and what there is to tell meanwhile when that is over.
type back struct {
	// every is how far apart it tells; zero for no pause.
	every time.Duration

	mu   sync.Mutex
	c    chan struct{} // nil while nobody waits
	told time.Time     // when it was told last
	due  bool          // it will be told
}

// backEvery is about the shortest pause after a failure (afterFailure).
const backEvery = time.Second

// next is closed the next time that the API server is back.
func (b *back) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

// tell says that it is.
func (b *back) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.due {
		return
	}
	if pause := b.every - time.Since(b.told); pause > 0 {
		b.due = true
		time.AfterFunc(pause, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.due = false
			b.wake()
		})
		return
	}
	b.wake()
}

// wake wakes who waits. The caller holds the lock.
func (b *back) wake() {
	b.told = time.Now()
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}

package watcher

import "sync"

// back tells who waits for the API server that it has answered somebody else again. Else each
// notices when its own pause is over, which is half a minute after an outage of that length, and
// a trace waits for the last of them.
type back struct {
	mu sync.Mutex
	c  chan struct{} // nil while nobody waits
}

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
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}

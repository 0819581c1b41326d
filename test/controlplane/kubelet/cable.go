package kubelet

import (
	"net/http"
	"sync"
)

// A cable is a node's way to the API server. While it is unplugged, what the
// node asks waits.
type cable struct {
	next http.RoundTripper

	mu      sync.Mutex
	out     bool
	plugged chan struct{} // closed while it is plugged in
}

func newCable() *cable {
	c := &cable{plugged: make(chan struct{})}
	close(c.plugged)
	return c
}

// RoundTrip is for an http.Client.
func (c *cable) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	plugged := c.plugged
	c.mu.Unlock()
	select {
	case <-plugged:
		return c.next.RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (c *cable) unplug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.out {
		c.out, c.plugged = true, make(chan struct{})
	}
}

func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		c.out = false
		close(c.plugged)
	}
}

func (c *cable) unplugged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out
}

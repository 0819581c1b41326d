package export

import (
	"math"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/rollspan/rollspan/pkg/otlp"
)

// answers has c answer in one way from now on, and returns what is closed when it has done so
// to so many requests.
func (c *collector) answers(with reply, times int) <-chan struct{} {
	all, n := make(chan struct{}), 0 // requests come one after the other
	c.on(func(request) reply {
		if n++; n == times {
			close(all)
		}
		return with
	})
	return all
}

// leaves has config tell of each span that is not to be sent any more.
func leaves(config *Config) <-chan struct{} {
	gone := make(chan struct{}, 100)
	config.Gone = func(list []*otlp.Packed) {
		for range list {
			gone <- struct{}{}
		}
	}
	return gone
}

// A collector that fails whatever it is sent costs time only, however long that takes: also one
// span alone, and spans of which some are bad.
func TestFailsForHours(t *testing.T) {
	for name, test := range map[string]struct {
		n   int
		bad []string
	}{
		"one span":          {n: 1},
		"many":              {n: 40},
		"the first is bad":  {n: 40, bad: []string{"span 0"}},
		"the first are bad": {n: 40, bad: []string{"span 0", "span 1", "span 2", "span 3", "span 4", "span 5"}},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, c *collector) {
				c.up()
				failed := c.answers(failure, 200) // the longest wait is reached long before
				config := testConfig(c)
				config.BatchSpans = 32
				gone := leaves(&config)
				e, _ := startExporter(t, config)
				traces := numbered(0, test.n)
				e.Enqueue(traces)
				select {
				case <-failed:
				case <-gone:
				}
				if dropped := e.Stats().Dropped.Total(); dropped > 0 {
					t.Errorf("%d spans were dropped while the collector failed for all", dropped)
				}
				c.damaged(math.MaxInt, test.bad...)
				stats := finish(t, e)
				if bad := int64(len(test.bad)); stats.Sent != int64(test.n)-bad || stats.Dropped.Refused != bad {
					t.Errorf("%+v", stats)
				}
			})
		})
	}
}

// A request that is found too large, whatever its size, costs nothing either.
func TestTooLargeForHours(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		config := testConfig(c)
		config.BatchSpans = 1
		gone := leaves(&config)
		e, l := startExporter(t, config)
		e.Enqueue(numbered(0, 8)) // which say what it takes
		for range 8 {
			<-gone
		}
		failed := c.answers(reply{grpc: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge, message: "message larger than max"}, 100)
		e.Enqueue(numbered(8, 8))
		select {
		case <-failed:
		case <-gone:
		}
		c.on(nil)
		if stats := finish(t, e); stats.Sent != 16 {
			t.Errorf("%+v\n%s", stats, l)
		}
	})
}

// damaged has c fail for each request with one of these spans. What is returned is closed when that
// is so many requests.
func (c *collector) damaged(times int, bad ...string) <-chan struct{} {
	all, n := make(chan struct{}), 0
	c.on(func(r request) reply {
		if n++; n == times {
			close(all)
		}
		for _, s := range r.spans {
			if slices.Contains(bad, s.Name) {
				return failure
			}
		}
		return reply{}
	})
	return all
}

var failure = reply{grpc: codes.Internal, http: http.StatusInternalServerError, message: "a bad day"}

// until waits until the statistics are as they should be. They must be before stuck is closed.
func (e *Exporter) until(t *testing.T, stuck <-chan struct{}, is func(Stats) bool) {
	t.Helper()
	for !is(e.Stats()) {
		select {
		case <-stuck:
			t.Fatalf("%+v", e.Stats())
		case <-time.After(time.Millisecond):
		}
	}
}

// A good span is found among bad ones, wherever it waits, and the bad ones are given up.
func TestFailsForMost(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		stuck := c.damaged(2000, "span 0", "span 1", "span 2", "span 4")
		e, _ := startExporter(t, testConfig(c))
		e.Enqueue(numbered(0, 5))
		e.until(t, stuck, func(s Stats) bool { return s.Sent+s.Dropped.Total() == 4 })
		e.Enqueue(numbered(5, 1))
		if stats := finish(t, e); stats.Sent != 2 || stats.Dropped.Refused != 4 {
			t.Errorf("%+v", stats)
		}
	})
}

// A collector that fails for hours, and takes one request in between, costs nothing.
func TestFailsButOnce(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		n, taken := 0, 0
		c.on(func(r request) reply {
			n++
			switch {
			case n < 100 || taken > 0 && n < taken+100 || r.spans[0].Name == "span 0" && taken == 0:
				return failure
			case taken == 0:
				taken = n
			}
			return reply{}
		})
		e, _ := startExporter(t, testConfig(c))
		e.Enqueue(numbered(0, 20))
		if stats := finish(t, e); stats.Sent != 20 {
			t.Errorf("%+v", stats)
		}
	})
}

// What is proved of a span is not held against the next one, where others needed the room of the first.
func TestSuspectIsGone(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		vouched, evicted := 0, false
		var mu sync.Mutex
		c.on(func(r request) reply {
			mu.Lock()
			defer mu.Unlock()
			if !evicted && r.spans[0].Name == "span 1" {
				vouched++
			} else if !evicted || r.spans[0].Name == "span 1" {
				evicted = false
				return failure
			}
			return reply{}
		})
		config := testConfig(c)
		config.MinBackoff, config.MaxBackoff, config.QueueSpans, config.BatchSpans = forever, forever, 2, 1
		e, _ := startExporter(t, config)
		e.Enqueue(numbered(0, 2))
		done := false
		for round := int64(1); !done; round++ {
			e.until(t, nil, func(s Stats) bool { return s.Retries >= round })
			mu.Lock()
			if done = vouched == enoughVouched; done {
				evicted = true
			}
			mu.Unlock()
			if !done {
				e.Hurry()
			}
		}
		e.Enqueue(numbered(2, 1)) // in the place of span 0, which waits
		retries := e.Stats().Retries
		e.Hurry()
		e.until(t, nil, func(s Stats) bool { return s.Retries > retries || s.Dropped.Refused > 0 })
		c.on(nil)
		e.Hurry()
		if stats := finish(t, e); stats.Sent != 2 || stats.Dropped.QueueFull != 1 {
			t.Errorf("%+v", stats)
		}
	})
}

// With a Store, memory may have one span only that the collector fails for: it is compared with what
// the Store has. None of that is sent before it is synced.
func TestFailsWithStore(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		config := testConfig(c)
		config.Store, config.QueueSpans, config.BatchSpans = newShelf(), 2, 1
		stuck := c.damaged(200, "span 0")
		e, _ := startExporter(t, config)
		e.Enqueue(numbered(0, 4))
		e.until(t, stuck, func(s Stats) bool { return s.Sent+s.Dropped.Total() == 4 })
		if stats := finish(t, e); stats.Sent != 3 || stats.Dropped.Refused != 1 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestFailsWithStoreInOrder(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		store := newShelf()
		config := testConfig(c)
		config.Store, config.BatchSpans = store, 1
		e, _ := startExporter(t, config)
		n := 0
		c.on(func(r request) reply {
			if r.spans[0].Name == "span 0" {
				if n++; n == maxUnsure+1 {
					e.Enqueue(numbered(1, 1))
				}
				return failure
			}
			store.mu.Lock()
			defer store.mu.Unlock()
			if store.synced < 2 {
				store.early++
			}
			return reply{}
		})
		e.Enqueue(numbered(0, 1))
		e.until(t, nil, func(s Stats) bool { return s.Dropped.Refused > 0 })
		if stats := finish(t, e); stats.Sent != 1 || stats.Dropped.Refused != 1 || store.early > 0 {
			t.Errorf("%+v, %d were sent before they were synced", stats, store.early)
		}
	})
}

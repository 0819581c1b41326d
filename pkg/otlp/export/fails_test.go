package export

import (
	"net/http"
	"slices"
	"testing"

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
	fails := reply{grpc: codes.Internal, http: http.StatusInternalServerError, message: "a bad day"}
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
				failed := c.answers(fails, 200) // the longest wait is reached long before
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
				c.on(func(r request) reply {
					for _, s := range r.spans {
						if slices.Contains(test.bad, s.Name) {
							return fails
						}
					}
					return reply{}
				})
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

package export

import (
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// Who is about to end does not wait for the end of a pause: what the collector takes by now is
// sent, and what comes behind that.
func TestHurryEndsThePause(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		config := testConfig(c)
		config.MinBackoff, config.MaxBackoff = forever, forever
		e, l := startExporter(t, config)
		traces := numbered(0, 3)
		e.Enqueue(traces[:2])
		l.await(t, "cannot be reached")
		c.up()
		e.Hurry()
		l.await(t, "takes spans again")
		e.Enqueue(traces[2:])
		stats := finish(t, e)
		wantSpans(t, c.got(), ids(traces))
		if stats.Sent != 3 {
			t.Errorf("%+v", stats)
		}
	})
}

// What is enqueued is in the store, and said to be, while the sender waits for a collector that
// is away: who hands out the next only then goes on.
func TestStoredWhileTheCollectorIsAway(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		store := newShelf()
		config := testConfig(c)
		config.Store, config.MinBackoff, config.MaxBackoff = store, forever, forever
		e, l := startExporter(t, config)
		e.Enqueue(numbered(0, 2))
		l.await(t, "cannot be reached")
		e.Enqueue(numbered(2, 5))
		for deadline := time.Now().Add(time.Minute); ; {
			store.mu.Lock()
			synced := store.synced
			store.mu.Unlock()
			if synced == 7 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of 7 spans are synced", synced)
			}
			<-time.After(time.Millisecond)
		}
	})
}

// All that waits is on the disk, and nobody answers: the end does not wait for that. The next
// process has all of it.
func TestShutdownLeavesWhatIsStored(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		store := newShelf()
		config := testConfig(c)
		config.Store = store
		e, l := startExporter(t, config)
		e.Enqueue(numbered(0, 4))
		l.await(t, "cannot be reached")
		if left, err := e.Shutdown(t.Context()); left != 4 || err != nil { // whose context never ends
			t.Fatalf("%d left, %v", left, err)
		}
		checkBalance(t, e)
		store.restart()
		c.up()
		next, _ := startExporter(t, config)
		finish(t, next)
		wantSpans(t, c.got(), ids(numbered(0, 4)))
	})
}

// A collector that is there, and asks for less, gets what is stored while there is time.
func TestShutdownGoesOnWithWhoThrottles(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		store := newShelf()
		config := testConfig(c)
		config.Store = store
		asked := 0
		c.on(func(request) reply {
			if asked++; asked < 5 {
				return reply{grpc: codes.ResourceExhausted, http: http.StatusTooManyRequests, message: "less"}
			}
			return reply{}
		})
		e, _ := startExporter(t, config)
		e.Enqueue(numbered(0, 4))
		finish(t, e)
		wantSpans(t, c.got(), ids(numbered(0, 4)))
	})
}

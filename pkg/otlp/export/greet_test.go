package export

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

func greeting(c *collector) Config {
	config := testConfig(c)
	config.Greet = true
	return config
}

// TestGreet has a collector asked before there is a span.
func TestGreet(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		e, l := startExporter(t, greeting(c))
		l.await(t, "The OTLP collector answers")
		sent := numbered(0, 3)
		e.Enqueue(sent)
		stats := finish(t, e)
		wantSpans(t, c.got(), ids(sent))
		if stats.Requests < 2 || stats.Retries != 0 || stats.Down || stats.LastError != "" {
			t.Errorf("%+v", stats)
		}
		if l.count("The OTLP collector") != 1 {
			t.Errorf("it says more than that it answers:\n%s", l)
		}
	})
}

// TestGreetWhoIsNotThere says what is wrong before there is a span, and once; and when it is
// mended.
func TestGreetWhoIsNotThere(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		e, l := startExporter(t, greeting(c))
		l.await(t, "cannot be reached")
		if !e.Stats().Down {
			t.Error("it is not counted as down")
		}
		c.up()
		l.await(t, "takes spans again")
		if stats := finish(t, e); stats.Down || stats.Enqueued != 0 {
			t.Errorf("%+v", stats)
		}
		for _, once := range []string{"cannot be reached", "takes spans again"} {
			if n := l.count(once); n != 1 {
				t.Errorf("%q was logged %d times:\n%s", once, n, l)
			}
		}
	})
}

// TestGreetEndsWithTheExporter does not wait for a collector that nobody needs any more.
func TestGreetEndsWithTheExporter(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		arrived := make(chan struct{}, 1)
		never := make(chan struct{})
		t.Cleanup(func() { close(never) })
		c.on(func(request) reply {
			arrived <- struct{}{}
			<-never
			return reply{}
		})
		c.up()
		e, l := startExporter(t, greeting(c))
		<-arrived
		finish(t, e)
		if l.count("The OTLP collector") != 0 {
			t.Errorf("it speaks of a collector that it did not wait for:\n%s", l)
		}
	})
}

// TestGreetWhoMinds tells a collector that wants other credentials, and goes on when a
// span is there; and one that minds a request without spans, which means nothing.
func TestGreetWhoMinds(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.on(func(request) reply { return reply{grpc: codes.Unauthenticated, http: http.StatusUnauthorized} })
		c.up()
		_, l := startExporter(t, greeting(c))
		l.await(t, "does not accept rollspan's credentials")

		c.on(func(request) reply { return reply{grpc: codes.InvalidArgument, http: http.StatusBadRequest} })
		_, l = startExporter(t, greeting(c))
		l.await(t, "The OTLP collector answers, but minds a request without spans")
	})
}

// TestGreetWhoCannotUnzip sends without compression from the first request on, if the collector
// says of the one without spans that it takes none that is compressed: that is no outage.
func TestGreetWhoCannotUnzip(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.on(func(r request) reply {
			if r.compression == "gzip" {
				return reply{grpc: codes.Unimplemented, http: http.StatusUnsupportedMediaType, message: `grpc: Decompressor is not installed for grpc-encoding "gzip"`}
			}
			return reply{}
		})
		c.up()
		config := greeting(c)
		config.Endpoint = strings.Replace(config.Endpoint, "127.0.0.1", "0.0.0.0", 1) // to another machine it is compressed
		e, l := startExporter(t, config)
		l.await(t, "The OTLP collector answers")
		sent := numbered(0, 3)
		e.Enqueue(sent)
		stats := finish(t, e)
		wantSpans(t, c.got(), ids(sent))
		if stats.Down || l.count("takes no traces") != 0 || l.count("from now on they are not") != 1 {
			t.Errorf("%+v\n%s", stats, l)
		}
	})
}

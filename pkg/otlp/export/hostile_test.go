package export

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"google.golang.org/grpc/codes"

	"github.com/rollspan/rollspan/pkg/spans"
)

// refusedForSize is how collectors refuse a request for its size.
var refusedForSize = reply{
	grpc: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge, message: "grpc: received message larger than max (5 vs. 4)",
}

// A collector that found everything too large for a while is soon sent as much
// as ever, and no span is lost.
func TestTooLargeForAWhile(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		refusals := 14
		c.on(func(request) reply {
			if refusals--; refusals >= 0 {
				return refusedForSize
			}
			return reply{}
		})
		e, _ := startExporter(t, testConfig(c))
		traces := numbered(0, 3000)
		e.Enqueue(traces)

		stats := finish(t, e)
		wantSpans(t, c.got(), ids(traces))
		// 14 that are refused, 8 until a larger one is tried, 10 doublings, and
		// 3000 spans in requests of 512.
		if most := int64(14 + minPatience + 10 + 6); stats.Sent != 3000 || stats.Requests > most {
			t.Errorf("%d requests, want at most %d: %+v", stats.Requests, most, stats)
		}
	})
}

// One that finds every other request too large, whatever is in it, costs time.
func TestTooLargeEveryOtherTime(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		n := 0
		c.on(func(request) reply {
			if n++; n%2 == 1 {
				return refusedForSize
			}
			return reply{}
		})
		e, _ := startExporter(t, testConfig(c))
		traces := numbered(0, 200)
		e.Enqueue(traces)
		if stats := finish(t, e); stats.Sent != 200 {
			t.Errorf("%+v", stats)
		}
		wantSpans(t, c.got(), ids(traces))
	})
}

// The answer to a request may be too large, or no message at all; the request
// was not, and the collector has the spans.
func TestUnreadableAnswer(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		c.on(func(request) reply { return reply{message: strings.Repeat("m", 5<<20)} })
		e, l := startExporter(t, testConfig(c))
		traces := numbered(0, 5)
		e.Enqueue(traces)
		if stats := finish(t, e); stats.Sent != 5 || stats.Requests != 1 {
			t.Errorf("%+v", stats)
		}
		wantSpans(t, c.got(), ids(traces))
		for line := range strings.Lines(l.String()) {
			if len(line) > 4*maxWords {
				t.Errorf("a line of %d bytes was logged", len(line))
			}
		}
	})
}

// Only who fills the queue loses spans, and the log says who that is.
func TestOneNamespaceFillsTheQueue(t *testing.T) {
	in := func(namespace string, traces []spans.Trace) []spans.Trace {
		for i := range traces {
			s := &traces[i].Spans[0]
			s.Attributes = append(slices.Clone(s.Attributes), semconv.K8SNamespaceName(namespace))
		}
		return traces
	}
	both(t, func(t *testing.T, c *collector) {
		config := testConfig(c)
		config.QueueBytes = 256 << 10
		e, l := startExporter(t, config)
		var kept [][]spans.Trace
		for i := range 10 {
			few := in(fmt.Sprint("shop-", i), numbered(100*i, 20))
			kept = append(kept, few)
			e.Enqueue(few)
		}
		// Texts are cut when they are taken, so that 130 Events of 1 MiB are
		// what is sent of them.
		huge := in("evil", numbered(10_000, 3))
		for i := range huge {
			for range 130 {
				huge[i].Spans[0].Events = append(huge[i].Spans[0].Events, spans.Event{
					Name: "Failed", Attributes: []attribute.KeyValue{attribute.String("message", strings.Repeat("m", 1<<20))},
				})
			}
		}
		e.Enqueue(huge)
		stats := checkBalance(t, e)
		if stats.Dropped.QueueFull != 3 || stats.Queued != 200 {
			t.Errorf("%+v", stats)
		}
		if l.count(`"namespaces"="evil: 3"`) != 1 {
			t.Errorf("the log does not say who fills the queue:\n%s", l)
		}
		c.up()
		finish(t, e)
		wantSpans(t, c.got(), ids(kept...))
	})
}

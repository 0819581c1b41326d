package spans

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The queue against the plainest model of it: a slice, and how many of its
// first elements are in flight.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queue{
			maxSpans: rapid.IntRange(1, 12).Draw(t, "maxSpans"),
			maxBytes: rapid.IntRange(1, 60).Draw(t, "maxBytes"),
		}
		var model []item
		inFlight := 0
		bytes := func() (n int) {
			for _, it := range model {
				n += it.size
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				var items []item
				for _, size := range rapid.SliceOfN(rapid.IntRange(1, 9), 0, 20).Draw(t, "sizes") {
					items = append(items, item{span: &Span{}, size: size})
				}
				model = append(model, items...)
				evicted := 0
				for len(model) > inFlight && (len(model) > q.maxSpans || bytes() > q.maxBytes) {
					model = slices.Delete(model, inFlight, inFlight+1)
					evicted++
				}
				if got := q.push(items); got != evicted {
					t.Fatalf("evicted %d, want %d", got, evicted)
				}
			},
			"take": func(t *rapid.T) {
				if inFlight > 0 {
					t.Skip("something is in flight")
				}
				maxBytes := rapid.IntRange(1, 30).Draw(t, "bytes")
				batch, size := q.take(rapid.IntRange(1, 5).Draw(t, "spans"), maxBytes)
				inFlight = len(batch)
				if inFlight == 0 && len(model) > 0 || size > maxBytes && inFlight > 1 || !slices.Equal(batch, model[:inFlight]) {
					t.Fatalf("took %d spans of %d bytes", len(batch), size)
				}
			},
			"putBack": func(*rapid.T) { q.putBack(); inFlight = 0 },
			"remove": func(*rapid.T) {
				q.remove()
				model = slices.Delete(model, 0, inFlight)
				inFlight = 0
			},
			"": func(t *rapid.T) {
				if q.len() != len(model) || q.bytes != bytes() || !slices.Equal(q.items[q.head:], model) {
					t.Fatalf("%d spans, %d bytes; want %d, %d", q.len(), q.bytes, len(model), bytes())
				}
			},
		})
	})
}

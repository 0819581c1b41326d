package export

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/otlp"
)

// testItem is an item of this size, with a Resource that is its first byte.
func testItem(namespace string, size int, resource byte) otlp.Packed {
	wire := make([]byte, size)
	wire[0] = resource
	return otlp.Packed{Namespace: namespace, Wire: wire, Resource: 1}
}

// modelQueue is the plainest queue: a slice, how many of its first elements are in
// flight, and every sum worked out anew.
type modelQueue struct {
	max      [measures]int
	items    []otlp.Packed
	inFlight int
}

func (m *modelQueue) held(items []otlp.Packed) (held [measures]int) {
	for _, it := range items {
		held[inSpans]++
		held[inBytes] += it.Size()
	}
	return held
}

func (m *modelQueue) of(namespace string, items []otlp.Packed) (out []otlp.Packed) {
	for _, it := range items {
		if it.Namespace == namespace {
			out = append(out, it)
		}
	}
	return out
}

func (m *modelQueue) namespaces() []string {
	names := map[string]bool{}
	for _, it := range m.items {
		names[it.Namespace] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// evict takes the oldest waiting span of whoever holds most of what is too
// much, and has one.
func (m *modelQueue) evict() (evicted map[string]int64) {
	for measure := range measures {
		for m.held(m.items)[measure] > m.max[measure] {
			most, share := "", -1
			names := m.namespaces()
			for _, name := range names {
				held := m.held(m.of(name, m.items))[measure]
				if held > share && len(m.of(name, m.items[m.inFlight:])) > 0 {
					most, share = name, held
				}
			}
			if share*len(names) <= m.max[measure] {
				break
			}
			i := m.inFlight + slices.IndexFunc(m.items[m.inFlight:], func(it otlp.Packed) bool { return it.Namespace == most })
			m.items = slices.Delete(m.items, i, i+1)
			if evicted == nil {
				evicted = map[string]int64{}
			}
			evicted[most]++
		}
	}
	return evicted
}

func sameItem(a, b otlp.Packed) bool {
	return a.Namespace == b.Namespace && &a.Wire[0] == &b.Wire[0]
}

// The queue against the model. Nobody with at most a fair share ever loses.
func TestQueueModel(t *testing.T) {
	const header = 3
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue(rapid.IntRange(1, 12).Draw(t, "maxSpans"), rapid.IntRange(1, 60).Draw(t, "maxBytes"), header)
		model := modelQueue{max: q.max}
		sameEvicted := func(t *rapid.T, got, want map[string]int64) {
			if !maps.Equal(got, want) {
				t.Fatalf("evicted %v, want %v", got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				var items []otlp.Packed
				for i := range rapid.IntRange(0, 20).Draw(t, "n") {
					namespace := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "namespace")
					items = append(items, testItem(namespace, rapid.IntRange(1, 9).Draw(t, "size"), byte('x'+i%2)))
				}
				model.items = append(model.items, items...)
				before := map[string][measures]int{}
				for _, name := range model.namespaces() {
					before[name] = model.held(model.of(name, model.items))
				}
				got := q.push(items)
				sameEvicted(t, got, model.evict())
				for name := range got {
					held := before[name]
					if held[inSpans]*len(before) <= q.max[inSpans] && held[inBytes]*len(before) <= q.max[inBytes] {
						t.Fatalf("%q lost %d, and held only %v of %v among %d", name, got[name], held, q.max, len(before))
					}
				}
			},
			"take": func(t *rapid.T) {
				if model.inFlight > 0 {
					t.Skip("something is in flight")
				}
				maxBytes := rapid.IntRange(1, 30).Draw(t, "bytes")
				batch, size := q.take(rapid.IntRange(1, 5).Draw(t, "spans"), maxBytes)
				want, services := 0, map[byte]bool{}
				for i, n := range batch {
					want += n.Size() - 1
					services[n.Wire[0]] = true
					if !sameItem(n.Packed, model.items[i]) {
						t.Fatalf("span %d is another than the oldest", i)
					}
				}
				want += len(services) * (header + 1)
				if model.inFlight = len(batch); model.inFlight == 0 && len(model.items) > 0 || size > maxBytes && len(batch) > 1 || size != want {
					t.Fatalf("took %d spans of %d bytes, want %d", len(batch), size, want)
				}
			},
			"putBack": func(t *rapid.T) {
				model.inFlight = 0
				sameEvicted(t, q.putBack(), model.evict())
			},
			"remove": func(*rapid.T) {
				q.remove()
				model.items = slices.Delete(model.items, 0, model.inFlight)
				model.inFlight = 0
			},
			"": func(t *rapid.T) { checkQueue(t, q, &model) },
		})
	})
}

func checkQueue(t *rapid.T, q *queue, model *modelQueue) {
	if q.held != model.held(model.items) || len(q.holders) != len(model.namespaces()) {
		t.Fatalf("holds %v for %d, want %v for %q", q.held, len(q.holders), model.held(model.items), model.namespaces())
	}
	for name, h := range q.holders {
		if h.held != model.held(model.of(name, model.items)) {
			t.Fatalf("%q holds %v, want %v", name, h.held, model.held(model.of(name, model.items)))
		}
		var waiting []otlp.Packed
		for n := h.first; n != nil; n = n.after {
			waiting = append(waiting, n.Packed)
		}
		if !slices.EqualFunc(waiting, model.of(name, model.items[model.inFlight:]), sameItem) {
			t.Fatalf("the list of %q is wrong", name)
		}
	}
	var waiting, backwards []otlp.Packed
	for n := q.first; n != nil; n = n.next {
		waiting = append(waiting, n.Packed)
	}
	for n := q.last; n != nil; n = n.prev {
		backwards = append(backwards, n.Packed)
	}
	slices.Reverse(backwards)
	want := model.items[model.inFlight:]
	if !slices.EqualFunc(waiting, want, sameItem) || !slices.EqualFunc(backwards, want, sameItem) {
		t.Fatalf("%d wait in one order, %d in the other; want %d", len(waiting), len(backwards), len(want))
	}
	if over := model.held(model.items[:model.inFlight]); q.held[inSpans] > q.max[inSpans]+over[inSpans] ||
		q.held[inBytes] > q.max[inBytes]+over[inBytes] {
		t.Fatalf("%v is more than %v with %v in flight", q.held, q.max, over)
	}
}

// One namespace that floods the queue costs no other a span, in whatever way it
// does so.
func TestFloodCostsOnlyWhoFloods(t *testing.T) {
	for name, flood := range map[string]func() []otlp.Packed{
		"many small ones": func() (out []otlp.Packed) {
			for range 50_000 {
				out = append(out, testItem("evil", 10, 'x'))
			}
			return out
		},
		"few large ones": func() (out []otlp.Packed) {
			for range 50 {
				out = append(out, testItem("evil", 200_000, 'x'))
			}
			return out
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue(10_000, 1_000_000, 0)
			others := 0
			for i := range 9 {
				for range 1000 {
					q.push([]otlp.Packed{testItem(fmt.Sprint("shop-", i), 100, 'x')})
					others++
				}
				evicted := q.push(flood())
				if delete(evicted, "evil"); len(evicted) > 0 {
					t.Fatalf("others lost spans: %v", evicted)
				}
			}
			if q.len() < others || q.len() > 10_000 || q.bytes() > 1_000_000 {
				t.Errorf("%d spans of %d bytes", q.len(), q.bytes())
			}
		})
	}
}

// BenchmarkQueue is a span in and another one out of a full queue with many
// namespaces.
func BenchmarkQueue(b *testing.B) {
	q := newQueue(100_000, 1<<30, 0)
	one := make([]otlp.Packed, 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		one[0] = testItem(fmt.Sprint(i%5000), 100, 'x')
		q.push(one)
	}
}

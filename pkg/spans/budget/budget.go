package budget

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

const (
	// DefaultMaxBytes is Options.MaxBytes of the commands. Tempo refuses a trace of more than
	// 5 MB (max_bytes_per_trace). A request that is cut in two repeats Resources, and one that
	// is made again may count twice, so there is some room left.
	DefaultMaxBytes = 4_000_000
	// DefaultMaxSpans is Options.MaxSpans of the commands. Jaeger reads no more than 10,000
	// spans of a trace from Elasticsearch (es.max-doc-count), and its waterfall is slow with
	// some thousands. By their size in bytes this is about as many as DefaultMaxBytes has
	// room for.
	DefaultMaxSpans = 5_000
	// MinBytes is the least that Options.MaxBytes should be: a root has room, with its sums.
	MinBytes = 50_000
	// MinSpans is the least that Options.MaxSpans should be: a root, its steps and some pods
	// have room.
	MinSpans = 20
)

// Options are what a trace may take. Zero is no bound.
type Options struct {
	// MaxBytes is the size of a trace as Sizes tells it.
	MaxBytes int
	// MaxSpans is the number of its spans.
	MaxSpans int
}

// Sizes tells how many bytes spans take where they are sent to; too many rather than too few.
type Sizes interface {
	// Span is the size of a span without its Resource, and Resource that of the Resource,
	// which spans of one object and component share.
	Span(*spans.Span) int
	Resource(*spans.Span) int
	// Event, Link and Attributes are what these add to the size of a span.
	Event(*spans.Event) int
	Link(*spans.Link) int
	Attributes([]attribute.KeyValue) int
}

// Budget keeps traces within their budget. It is not safe for concurrent use.
type Budget struct {
	max    amount
	sizes  Sizes
	states states
	// collected is what was left out and is still to be summed up.
	collected collection
	// sumBytes is the most that sums add to the size of a span.
	sumBytes int
	// resources is room for what measure has seen.
	resources map[resourceKey]struct{}
}

// New returns a Budget that was given nothing.
func New(o Options, sizes Sizes) *Budget {
	most := amount{o.MaxSpans, o.MaxBytes}
	if most.spans <= 0 {
		most.spans = 1 << 40
	}
	if most.bytes <= 0 {
		most.bytes = 1 << 50
	}
	return &Budget{max: most, sizes: sizes, sumBytes: sizes.Attributes(largestSum()), resources: map[resourceKey]struct{}{}}
}

// Apply says of traces that the engine has handed out by a time what of them is sent. It
// returns them, and behind them what sums up what was left out before.
func (b *Budget) Apply(now time.Time, traces []spans.Trace) []spans.Trace {
	if now.After(b.collected.now) {
		b.collected.now = now
	}
	for i := range traces {
		if len(traces[i].Spans) > 0 {
			b.apply(&traces[i])
		}
		if r := traces[i].Record; r != nil && b.states.get(r.TraceID).cut != nil {
			r.SpanID = trace.SpanID{} // which may be left out
		}
	}
	if b.collected.isDue() {
		traces = append(traces, b.sumUp()...)
	}
	return traces
}

// Flush returns what sums up what was left out, when nothing comes any more.
func (b *Budget) Flush() []spans.Trace {
	b.collected.full = true
	return b.sumUp()
}

// Unsettled are the UIDs of objects of which something is still to be summed up.
func (b *Budget) Unsettled() []string { return b.collected.unsettled() }

func (b *Budget) apply(t *spans.Trace) {
	id := t.Spans[0].TraceID
	s := b.states.get(id)
	sent, redirected := b.redirect(t.Spans)
	used := s.used.plus(b.measure(sent))
	if (s.cut == nil || !t.Late) && used.within(b.max.part(untouched)) {
		s.used = used
		b.states.put(id, s)
		if redirected {
			t.Selection = &spans.Selection{Spans: sent}
		}
		return
	}
	if s.cut == nil {
		s.cut = &cut{leftOut: map[trace.SpanID]trace.SpanID{}, reasons: map[string]bool{}}
	}
	b.states.put(id, s)
	b.choose(t, &s)
	b.states.put(id, s)
}

// measure is what the spans of a trace take.
func (b *Budget) measure(list []spans.Span) amount {
	clear(b.resources)
	a := amount{spans: len(list)}
	for i := range list {
		a.bytes += b.sizes.Span(&list[i])
		key := resourceOf(&list[i])
		if _, has := b.resources[key]; !has {
			b.resources[key] = struct{}{}
			a.bytes += b.sizes.Resource(&list[i])
		}
	}
	return a
}

// Size is how many bytes spans take that are handed out at once.
func Size(sizes Sizes, list []spans.Span) int {
	return New(Options{}, sizes).measure(list).bytes
}

// resourceKey tells Resources apart, by where in memory what they are made of is: what two
// spans do not share counts twice.
type resourceKey struct {
	service string
	app     *spans.App
	object  *attribute.KeyValue
	len     int
}

func resourceOf(s *spans.Span) resourceKey {
	key := resourceKey{service: s.Service, app: s.App, len: len(s.Resource)}
	if key.len > 0 {
		key.object = &s.Resource[0]
	}
	return key
}

// amount is what spans take, or may.
type amount struct{ spans, bytes int }

func (a amount) plus(o amount) amount { return amount{a.spans + o.spans, a.bytes + o.bytes} }

func (a amount) minus(o amount) amount { return amount{a.spans - o.spans, a.bytes - o.bytes} }

func (a amount) within(most amount) bool { return a.spans <= most.spans && a.bytes <= most.bytes }

// part is some sixteenths of an amount.
func (a amount) part(sixteenths int) amount {
	return amount{a.spans * sixteenths / 16, a.bytes * sixteenths / 16}
}

// more is an amount, and a part of what is left up to another one.
func (a amount) more(sixteenths int, of amount) amount {
	left := of.minus(a)
	return a.plus(amount{max(left.spans, 0), max(left.bytes, 0)}.part(sixteenths))
}

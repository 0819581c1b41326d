package history

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// NewMemory returns a Store that keeps all in memory.
func NewMemory(o Options) Store {
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMemoryBytes)
	o.MaxAge = cmp.Or(o.MaxAge, DefaultMaxAge)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &memory{options: o, traces: map[trace.TraceID]*keptTrace{}, changed: make(chan struct{}), revision: 1}
}

type memory struct {
	options Options

	mu      sync.RWMutex
	traces  map[trace.TraceID]*keptTrace
	changes []*keptChange // in order of their places
	stats   Stats
	// revision counts what was added, and changed is closed with the next.
	revision uint64
	changed  chan struct{}
}

// keptTrace has what was told under one trace ID.
type keptTrace struct {
	changes []*keptChange
	// parents are the spans below which later ones belong, by the change that they are of.
	// early are spans of which the change is still to be told.
	parents map[trace.SpanID]*keptChange
	early   []spans.Span
}

type keptChange struct {
	Change
	facts facts
	bytes int64
}

// Add keeps a trace.
func (m *memory) Add(t spans.Trace) {
	if len(t.Spans) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := t.Spans[0].TraceID
	in := m.traces[id]
	if in == nil {
		in = &keptTrace{parents: map[trace.SpanID]*keptChange{}}
		m.traces[id] = in
	}
	if !t.Late {
		m.begin(in, t.Spans)
	} else {
		in.early = append(in.early, t.Spans...)
	}
	m.join(in)
	m.forget()
	m.revision++
	close(m.changed)
	m.changed = make(chan struct{})
}

// begin takes in a change.
func (m *memory) begin(in *keptTrace, list []spans.Span) {
	c := &keptChange{Change: Change{summarize(list), slices.Clip(list)}}
	if slices.ContainsFunc(in.changes, func(o *keptChange) bool { return o.ID == c.ID }) {
		return // it was told before
	}
	c.facts = *factsOf(list)
	c.bytes = sizeOf(list)
	m.stats.Bytes += c.bytes
	in.changes = append(in.changes, c)
	for i := range list {
		in.parents[list[i].SpanID] = c
	}
	at, _ := slices.BinarySearchFunc(m.changes, c, compareChanges)
	m.changes = slices.Insert(m.changes, at, c)
}

func compareChanges(a, b *keptChange) int { return placeOf(&a.Summary).compare(placeOf(&b.Summary)) }

// join takes in the spans that were told apart from their change.
func (m *memory) join(in *keptTrace) {
	var left []spans.Span
	for _, s := range in.early {
		c := in.parents[s.ParentID]
		if c == nil {
			left = append(left, s)
			continue
		}
		one := []spans.Span{s}
		c.Spans = append(c.Spans, s)
		c.count(one)
		c.facts.add(factsOf(one))
		c.bytes += sizeOf(one)
		m.stats.Bytes += sizeOf(one)
		in.parents[s.SpanID] = c
	}
	in.early = left
}

// forget drops what is too old, and what has ended first where there is too much.
func (m *memory) forget() {
	var oldest time.Time
	if m.options.MaxAge > 0 {
		oldest = m.options.Now().Add(-m.options.MaxAge)
	}
	for len(m.changes) > 0 {
		first := slices.MinFunc(m.changes, func(a, b *keptChange) int { return a.Last.Compare(b.Last) })
		if m.stats.Bytes <= m.options.MaxBytes && !first.Last.Before(oldest) {
			return
		}
		m.changes = slices.DeleteFunc(m.changes, func(c *keptChange) bool { return c == first })
		m.stats.Bytes -= first.bytes
		m.stats.Forgotten++
		in := m.traces[first.ID.Trace]
		in.changes = slices.DeleteFunc(in.changes, func(c *keptChange) bool { return c == first })
		if len(in.changes) == 0 {
			delete(m.traces, first.ID.Trace)
		}
	}
}

// sizeOf estimates what spans take.
func sizeOf(list []spans.Span) (bytes int64) {
	for i := range list {
		s := &list[i]
		bytes += 400 + int64(len(s.Message)+len(s.Subject)) + int64(80*(len(s.Attributes)+len(s.Resource)+4*len(s.Events)+len(s.Links)))
	}
	return bytes
}

// all are the changes that were told and those that are in progress, in order of their places.
func (m *memory) all(ctx context.Context) ([]*keptChange, error) {
	m.mu.RLock()
	list := slices.Clone(m.changes)
	for i, c := range list {
		clone := *c
		list[i] = &clone
	}
	m.mu.RUnlock()
	if m.options.InProgress == nil {
		return list, nil
	}
	open, err := m.options.InProgress(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range open {
		if len(t.Spans) == 0 {
			continue
		}
		c := &keptChange{Change: Change{summarize(t.Spans), t.Spans}, facts: *factsOf(t.Spans)}
		if at, told := slices.BinarySearchFunc(list, c, compareChanges); !told {
			list = slices.Insert(list, at, c)
		}
	}
	return list, nil
}

func (m *memory) List(ctx context.Context, q Query) (page Page, err error) {
	after, first, err := q.after()
	if err != nil {
		return Page{}, err
	}
	all, err := m.all(ctx)
	if err != nil {
		return Page{}, err
	}
	for s := range matching(all, &q.Filter) {
		switch {
		case !first && placeOf(s).compare(after) >= 0:
		case len(page.Changes) == q.limit():
			page.Next = placeOf(&page.Changes[len(page.Changes)-1]).cursor()
			return page, nil
		default:
			page.Changes = append(page.Changes, *s)
		}
	}
	return page, nil
}

// matching are changes, those that began last first.
func matching(all []*keptChange, f *Filter) iter.Seq[*Summary] {
	return func(yield func(*Summary) bool) {
		for _, c := range slices.Backward(all) {
			if f.matches(&c.Summary) && !yield(&c.Summary) {
				return
			}
		}
	}
}

func (m *memory) Change(ctx context.Context, id ID) (*Change, error) {
	all, err := m.all(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.ID == id {
			return &c.Change, nil
		}
	}
	return nil, ErrNotFound
}

func (m *memory) Trace(ctx context.Context, id trace.TraceID) (list []Summary, err error) {
	all, err := m.all(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.ID.Trace == id {
			list = append(list, c.Summary)
		}
	}
	if len(list) == 0 {
		return nil, ErrNotFound
	}
	return list, nil
}

func (m *memory) Before(ctx context.Context, id ID, f Filter) (Summary, error) {
	c, err := m.Change(ctx, id)
	if err != nil {
		return Summary{}, err
	}
	all, err := m.all(ctx)
	if err != nil {
		return Summary{}, err
	}
	for s := range matching(all, &f) {
		if !s.Open() && s.sameObject(&c.Summary) && placeOf(s).compare(placeOf(&c.Summary)) < 0 {
			return *s, nil
		}
	}
	return Summary{}, ErrNotFound
}

// sameObject reports whether two changes are of one object: Jobs of one CronJob count as one.
func (s *Summary) sameObject(o *Summary) bool {
	if s.Namespace != o.Namespace || s.Kind != o.Kind || s.Owner != o.Owner {
		return false
	}
	return s.Owner != "" || s.Name == o.Name
}

func (m *memory) Facets(ctx context.Context, f Filter) (Facets, error) {
	all, err := m.all(ctx)
	if err != nil {
		return Facets{}, err
	}
	counter := newFacetCounter()
	for s := range matching(all, &f) {
		counter.add(s)
	}
	return counter.done(), nil
}

func (m *memory) Overview(ctx context.Context, q OverviewQuery) (*Overview, error) {
	q = q.bounded(m.options.Now())
	all, err := m.all(ctx)
	if err != nil {
		return nil, err
	}
	o := newOverviewer(q)
	for _, c := range all {
		if q.matches(&c.Summary) {
			o.add(told{&c.Summary, &c.facts})
		}
	}
	return o.done(), nil
}

func (m *memory) Wait(ctx context.Context, since uint64) uint64 {
	m.mu.RLock()
	revision, changed := m.revision, m.changed
	m.mu.RUnlock()
	if revision != since {
		return revision
	}
	select {
	case <-changed:
		m.mu.RLock()
		defer m.mu.RUnlock()
		return m.revision
	case <-ctx.Done():
		return since
	}
}

func (m *memory) Stats() Stats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.stats
	s.Changes = int64(len(m.changes))
	for _, c := range m.changes {
		if s.Oldest.IsZero() || c.Last.Before(s.Oldest) {
			s.Oldest = c.Last
		}
	}
	return s
}

func (m *memory) Close(context.Context) error { return nil }

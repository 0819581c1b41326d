package history

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// open are the changes that are in progress, in order of their places.
func (s *store) open(ctx context.Context) (list []Change, err error) {
	if s.options.InProgress == nil {
		return nil, nil
	}
	traces, err := s.options.InProgress(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range traces {
		if len(t.Spans) > 0 {
			list = append(list, Change{summarize(t.Spans), t.Spans})
		}
	}
	slices.SortFunc(list, func(a, b Change) int { return placeOf(&a.Summary).compare(placeOf(&b.Summary)) })
	return list, nil
}

// asking is a snapshot.
type asking struct {
	reader
	ctx      context.Context
	codec    *codec
	open     []Change
	counters counters
	err      error // what ended an iteration
}

// ask has a snapshot read, with what is in progress: first that, so that a change that ends
// meanwhile is in either.
func (s *store) ask(ctx context.Context, read func(*asking) error) error {
	if err := s.settled(ctx); err != nil {
		return err
	}
	open, err := s.open(ctx)
	if err != nil {
		return err
	}
	return s.askTold(ctx, open, read)
}

// askTold has a snapshot read, with these changes that are in progress.
func (s *store) askTold(ctx context.Context, open []Change, read func(*asking) error) error {
	return s.view(func(r reader) error {
		a := &asking{reader: r, ctx: ctx, codec: s.codec, open: open}
		if err := load(r, tableMeta, keyCounters, &a.counters); err != nil {
			return err
		}
		// What was told meanwhile is in progress no more.
		a.open = slices.DeleteFunc(a.open, func(p Change) bool { return a.told(p.ID) != nil })
		if err := read(a); err != nil {
			return err
		}
		return a.err
	})
}

// told is where a change is that was told; nil if it was not.
func (a *asking) told(id ID) *place {
	var record traceRecord
	if a.failed(load(a, tableTraces, id.Trace[:], &record)) {
		return nil
	}
	for _, p := range record.Changes {
		if p.ID == id {
			return &p
		}
	}
	return nil
}

func (a *asking) failed(err error) bool {
	if a.err == nil {
		a.err = err
	}
	return a.err != nil
}

// rows are those that match, those that began last first, from below a place on. What is open is
// asked for once a second by each page, and mostly nothing is that was told.
func (a *asking) rows(f *Filter, below *place) iter.Seq[*Summary] {
	return func(yield func(*Summary) bool) {
		if a.counters.Open == 0 && f.openOnly() {
			return
		}
		upper := below
		if to := (place{start: nanoseconds(f.To)}); !f.To.IsZero() && (upper == nil || to.compare(*upper) < 0) {
			upper = &to
		}
		var key []byte
		if upper != nil {
			key = upper.key()
		}
		n := 0
		for k, v := range before(a, tableRows, key) {
			if n++; n%256 == 0 && a.failed(a.ctx.Err()) {
				return
			}
			s, goOn := a.row(f, k, v)
			if !goOn || s != nil && !yield(s) {
				return
			}
		}
	}
}

// row reads a row, if it matches. It reports false where no more will.
func (a *asking) row(f *Filter, key, sealed []byte) (s *Summary, goOn bool) {
	p, ok := placeOfKey(key)
	end, body, err := rowEnd(sealed)
	if !ok {
		err = fmt.Errorf("table %s: %w", tableRows, errDamaged)
	}
	if a.failed(err) {
		return nil, false
	}
	if !f.From.IsZero() && end < nanoseconds(f.From) {
		return nil, p.start >= nanoseconds(f.From.Add(-a.counters.Longest))
	}
	s = &Summary{}
	if err := json.Unmarshal(body, s); err != nil {
		a.failed(fmt.Errorf("table %s: %w", tableRows, errDamaged))
		return nil, false
	}
	if !f.matches(s) {
		return nil, true
	}
	return s, true
}

// matching are the changes that match, those that began last first, from below a place on: what
// was told, and what is in progress.
func (a *asking) matching(f *Filter, below *place) iter.Seq[*Summary] {
	return func(yield func(*Summary) bool) {
		open := len(a.open) - 1
		// upTo yields what is in progress, down to a place.
		upTo := func(p *place) bool {
			for ; open >= 0; open-- {
				s := a.open[open].Summary
				at := placeOf(&s)
				if p != nil && at.compare(*p) < 0 {
					return true
				}
				if (below == nil || at.compare(*below) < 0) && f.matches(&s) && !yield(&s) {
					return false
				}
			}
			return true
		}
		for s := range a.rows(f, below) {
			p := placeOf(s)
			if !upTo(&p) || !yield(s) {
				return
			}
		}
		if a.err == nil {
			upTo(nil)
		}
	}
}

func (s *store) List(ctx context.Context, q Query) (page Page, err error) {
	after, first, err := q.after()
	if err != nil {
		return Page{}, err
	}
	below := &after
	if first {
		below = nil
	}
	read := func(a *asking) error {
		for s := range a.matching(&q.Filter, below) {
			if len(page.Changes) == q.limit() {
				page.Next = placeOf(&page.Changes[len(page.Changes)-1]).cursor()
				break
			}
			page.Changes = append(page.Changes, *s)
		}
		return nil
	}
	if q.Over || s.options.InProgress == nil {
		err = s.listTold(ctx, q, &page, read)
	} else {
		err = s.ask(ctx, read)
	}
	if err != nil {
		return Page{}, err
	}
	return page, nil
}

// listTold reads a page of what was told, if there is no answer to the same that is still right. What
// is asked from a time on is mostly asked from another one the next time.
func (s *store) listTold(ctx context.Context, q Query, page *Page, read func(*asking) error) error {
	if err := s.settled(ctx); err != nil {
		return err
	}
	if !q.From.IsZero() {
		return s.askTold(ctx, nil, read)
	}
	asked := q.Values().Encode()
	version, err := s.version()
	if err != nil {
		return err
	}
	if p, ok := s.answers.get(version, asked); ok {
		*page = p
		return nil
	}
	if err := s.askTold(ctx, nil, read); err != nil {
		return err
	}
	s.answers.put(version, asked, *page)
	return nil
}

func (s *store) Change(ctx context.Context, id ID) (c *Change, err error) {
	err = s.ask(ctx, func(a *asking) error {
		for i := range a.open {
			if a.open[i].ID == id {
				c = &a.open[i]
				return nil
			}
		}
		p := a.told(id)
		if p == nil {
			return ErrNotFound
		}
		c = &Change{}
		if err := loadRow(a, *p, &c.Summary); err != nil {
			return err
		}
		if c.Spans, err = a.spans(p); err == nil && len(c.Spans) != c.Summary.Spans {
			err = fmt.Errorf("table %s: %w", tableParts, errDamaged)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// spans are those of a change, in the order in which they were told.
func (a *asking) spans(p *place) (list []spans.Span, err error) {
	for _, sealed := range below(a, tableParts, p.key()) {
		packed, err := unseal(sealed)
		if err != nil {
			return nil, err
		}
		part, err := a.codec.unpack(packed)
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
	}
	return list, nil
}

func (s *store) Trace(ctx context.Context, id trace.TraceID) (list []Summary, err error) {
	err = s.ask(ctx, func(a *asking) error {
		var record traceRecord
		if err := load(a, tableTraces, id[:], &record); err != nil {
			return err
		}
		for _, p := range record.Changes {
			var s Summary
			if err := loadRow(a, p, &s); err != nil {
				return err
			}
			list = append(list, s)
		}
		for i := range a.open {
			if a.open[i].ID.Trace == id {
				list = append(list, a.open[i].Summary)
			}
		}
		if len(list) == 0 {
			return ErrNotFound
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Summary) int { return placeOf(&a).compare(placeOf(&b)) })
	return list, nil
}

func (s *store) Before(ctx context.Context, id ID, f Filter) (found Summary, err error) {
	err = s.ask(ctx, func(a *asking) error {
		of, err := a.summary(id)
		if err != nil {
			return err
		}
		object, at := objectKey(of), placeOf(of)
		for key := range before(a, tableObjects, append(slices.Clone(object), at.key()...)) {
			if len(key) != len(object)+placeBytes || string(key[:len(object)]) != string(object) {
				break
			}
			p, _ := placeOfKey(key[len(object):])
			if err := loadRow(a, p, &found); err != nil {
				return err
			}
			if f.matches(&found) {
				return nil
			}
			found = Summary{}
		}
		return ErrNotFound
	})
	if err != nil {
		return Summary{}, err
	}
	return found, nil
}

// summary finds a change, told or in progress.
func (a *asking) summary(id ID) (*Summary, error) {
	for i := range a.open {
		if a.open[i].ID == id {
			return &a.open[i].Summary, nil
		}
	}
	p := a.told(id)
	if p == nil {
		return nil, ErrNotFound
	}
	s := &Summary{}
	return s, loadRow(a, *p, s)
}

func (s *store) Facets(ctx context.Context, f Filter) (Facets, error) {
	counter := newFacetCounter()
	err := s.ask(ctx, func(a *asking) error {
		for s := range a.matching(&f, nil) {
			counter.add(s)
		}
		return nil
	})
	if err != nil {
		return Facets{}, err
	}
	return counter.done(), nil
}

// maxOverview is how many changes an Overview looks at. Of more, those that began last count.
const maxOverview = 5000

func (s *store) Overview(ctx context.Context, q OverviewQuery) (*Overview, error) {
	q = q.bounded(s.options.Now())
	o := newOverviewer(q)
	err := s.ask(ctx, func(a *asking) error {
		var list []*Summary
		for s := range a.matching(&q.Filter, nil) {
			if len(list) == maxOverview {
				o.LeftOut++
				continue
			}
			list = append(list, s)
		}
		for _, s := range slices.Backward(list) {
			f, err := a.facts(s)
			if err != nil {
				return err
			}
			o.add(told{s, f})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return o.done(), nil
}

// facts are what the spans of a change say for an Overview.
func (a *asking) facts(s *Summary) (*facts, error) {
	for i := range a.open {
		if a.open[i].ID == s.ID {
			return factsOf(a.open[i].Spans), nil
		}
	}
	all := &facts{}
	for _, sealed := range below(a, tableFacts, placeOf(s).key()) {
		packed, err := unseal(sealed)
		if err != nil {
			return nil, err
		}
		f, err := a.codec.unpackFacts(packed)
		if err != nil {
			return nil, err
		}
		all.add(f)
	}
	return all, nil
}

package failover

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

const testLag = 10 * time.Second

// world is some processes that watch one cluster and have one Lease, and what has arrived.
type world struct {
	t         *rapid.T
	now       time.Time
	processes []*process
	leader    *process // who holds the Lease; nil for nobody
	lease     string   // the annotation
	built     []spans.Trace
	delivered map[journal.SpanKey]int
	// doubtful was recorded when its process died, and not known to have arrived.
	doubtful map[journal.SpanKey]bool
	missing  int64 // as those who led afterwards have counted it
}

// process has an Outbox, and builds what the others build, a little later or earlier.
type process struct {
	*Outbox
	world *world
	late  []spans.Trace
	dead  bool
}

var errDead = errors.New("dead")

// traceOf makes a trace of some spans that have ended at about a time.
func traceOf(number, size int, end time.Time) spans.Trace {
	var t spans.Trace
	for i := range size {
		s := spans.Span{Start: end.Add(-time.Minute), End: end}
		binary.BigEndian.PutUint64(s.TraceID[:], uint64(number)+1)
		binary.BigEndian.PutUint32(s.SpanID[:], uint32(number)+1)
		binary.BigEndian.PutUint32(s.SpanID[2:], uint32(number<<8+i)+1)
		t.Spans = append(t.Spans, s)
	}
	return t
}

func newWorld(t *rapid.T) *world {
	return &world{t: t, now: time.Unix(1_700_000_000, 0), delivered: map[journal.SpanKey]int{}, doubtful: map[journal.SpanKey]bool{}}
}

// start starts a process, which builds again what it finds in its first lists.
func (w *world) start() {
	p := &process{world: w}
	p.Outbox = NewOutbox(Options{
		Writer: fmt.Sprintf("process %d", len(w.processes)), Lag: testLag, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return w.now },
		Deliver: func(t spans.Trace) error {
			if p.dead {
				return errDead
			}
			for _, key := range journal.KeysOf(&t) {
				w.delivered[key]++
			}
			return nil
		},
	})
	w.processes = append(w.processes, p)
	p.Absorb(w.lease)
	if err := p.Put(slices.Clone(w.built)); err != nil {
		w.t.Fatal(err)
	}
	p.Passed(w.now)
}

// elect has somebody take the Lease that nobody holds.
func (w *world) elect() {
	for _, p := range w.processes {
		if w.leader == nil && !p.dead {
			before := p.Stats().Missing
			p.Absorb(w.lease)
			w.lease = p.content()
			w.leader = p
			if rapid.IntRange(0, 9).Draw(w.t, "as it takes it") == 0 {
				w.kill(p)
				continue
			}
			p.lead(p.write)
			w.missing += p.Stats().Missing - before
		}
	}
}

// write writes the record, or dies of it.
func (p *process) write(context.Context) error {
	w := p.world
	switch {
	case p.dead || w.leader != p:
		return errDead
	case rapid.IntRange(0, 9).Draw(w.t, "the write") == 0:
		return errors.New("the API server is away")
	}
	w.lease = p.content()
	if rapid.IntRange(0, 9).Draw(w.t, "after the write") == 0 {
		w.kill(p)
		return errDead
	}
	return nil
}

// kill ends a process. What it has recorded and nobody has acknowledged is in doubt.
func (w *world) kill(p *process) {
	p.dead = true
	if w.leader != p {
		return
	}
	w.leader = nil
	r, err := decodeRecord(w.lease)
	if err != nil {
		w.t.Fatal(err)
	}
	at := map[time.Time]bool{}
	for _, e := range p.record.Entries {
		if e.Open {
			at[e.written] = true
		}
	}
	if len(at) > 1 {
		w.t.Fatalf("%d batches were on their way at a time", len(at))
	}
	open := map[Hash]bool{}
	for _, e := range r.Entries {
		for _, h := range e.Spans {
			open[h] = open[h] || e.Open
		}
	}
	for i := range w.built {
		for j := range w.built[i].Spans {
			if s := &w.built[i].Spans[j]; open[spanHash(s.SpanID)] {
				w.doubtful[journal.SpanKey{TraceID: s.TraceID, SpanID: s.SpanID}] = true
			}
		}
	}
}

// second is a second of the world's time.
func (w *world) second(acknowledged bool) {
	w.now = w.now.Add(time.Second)
	for _, p := range w.processes {
		if p.dead {
			continue
		}
		for _, t := range p.late {
			if err := p.Put([]spans.Trace{t}); err != nil {
				w.t.Fatal(err)
			}
		}
		p.late = nil
		p.Passed(w.now)
		if p != w.leader {
			p.Absorb(w.lease)
		} else {
			w.lease = p.content()
		}
	}
	if p := w.leader; p != nil {
		p.step(context.Background())
		if acknowledged {
			var keys []journal.SpanKey
			for key := range p.open {
				keys = append(keys, key)
			}
			p.Acknowledge(keys...)
		}
	}
}

// TestEachSpanOnce has processes start, die and take over at any moment, the API server refuse
// writes, and the collector take its time. No span is handed out twice, and none is lost but
// what was recorded, and not acknowledged, when a leader died, which is counted.
func TestEachSpanOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.start()
		acknowledged := true
		t.Repeat(map[string]func(*rapid.T){
			"a change ends": func(t *rapid.T) {
				tr := traceOf(len(w.built), rapid.IntRange(1, 4).Draw(t, "spans"), w.now.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "ago"))*time.Second))
				w.built = append(w.built, tr)
				for _, p := range w.processes {
					if rapid.Bool().Draw(t, "late") {
						p.late = append(p.late, tr)
					} else if err := p.Put([]spans.Trace{tr}); err != nil && !p.dead {
						t.Fatal(err)
					}
				}
			},
			"seconds pass": func(t *rapid.T) {
				for range rapid.IntRange(1, 90).Draw(t, "seconds") {
					w.second(acknowledged)
				}
			},
			"the collector": func(t *rapid.T) { acknowledged = rapid.Bool().Draw(t, "takes spans") },
			"elected":       func(*rapid.T) { w.elect() },
			"one starts": func(t *rapid.T) {
				if len(w.processes) > 20 {
					t.Skip("enough")
				}
				w.start()
			},
			"one dies": func(t *rapid.T) {
				p := w.processes[rapid.IntRange(0, len(w.processes)-1).Draw(t, "which")]
				if !p.dead {
					w.kill(p)
				}
			},
			"": func(t *rapid.T) {
				for key, n := range w.delivered {
					if n > 1 {
						t.Fatalf("span %s was handed out %d times", key.SpanID, n)
					}
				}
			},
		})
		w.start()
		for range 200 {
			w.elect()
			if w.leader == nil {
				w.start()
				continue
			}
			w.second(true)
		}
		lost := int64(0)
		for i := range w.built {
			for _, key := range journal.KeysOf(&w.built[i]) {
				switch {
				case w.delivered[key] > 1:
					t.Fatalf("span %s was handed out %d times", key.SpanID, w.delivered[key])
				case w.delivered[key] == 0 && !w.doubtful[key]:
					t.Fatalf("span %s of %s is lost", key.SpanID, w.built[i].Spans[0].End)
				case w.delivered[key] == 0:
					lost++
				}
			}
		}
		if lost > w.missing {
			t.Fatalf("%d spans are lost, and counted are %d", lost, w.missing)
		}
	})
}

// A standby that no leader relieves of what it has built keeps the newest, and a trace that is
// larger than the bound.
func TestWhatWaitsIsBounded(t *testing.T) {
	b, _ := box("standby")
	put := func(number, size int) {
		t.Helper()
		if err := b.Put([]spans.Trace{traceOf(number, size, recorded)}); err != nil {
			t.Fatal(err)
		}
	}
	put(1, mostWaiting/2)
	put(2, mostWaiting/2)
	put(3, 1)
	if got := b.Stats(); got.Waiting != mostWaiting/2+1 || got.Dropped != mostWaiting/2 {
		t.Errorf("%d spans wait, %d were dropped", got.Waiting, got.Dropped)
	}
	put(4, mostWaiting+1)
	if got := b.Stats(); got.Waiting != mostWaiting+1 {
		t.Errorf("%d spans of a large trace wait", got.Waiting)
	}
}

// To lose a Lease means nothing to who hands out without one.
func TestAloneGoesOn(t *testing.T) {
	b, sent := box("alone")
	term := b.lead(nil)
	b.LeadAlone()
	b.resign(term)
	if err := b.Put([]spans.Trace{traceOf(1, 1, recorded)}); err != nil {
		t.Fatal(err)
	}
	for b.step(t.Context()) {
	}
	if len(*sent) != 1 {
		t.Errorf("it has sent %d traces", len(*sent))
	}
}

// The first process that has a Lease tells nothing that was over when it began, and neither does the
// one behind it: the watermark is no earlier. What waits holds it back as ever.
func TestTheFirstBeginsWhereItBegins(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	watermark := func(prepare func(*Outbox)) time.Time {
		b := NewOutbox(Options{Lag: 3 * time.Minute, Now: func() time.Time { return began }})
		b.absorbNone()
		prepare(b)
		r, err := decodeRecord(b.content())
		if err != nil {
			t.Fatal(err)
		}
		return r.Watermark
	}
	for name, test := range map[string]struct {
		prepare func(*Outbox)
		want    time.Time
	}{
		"it has begun":             {func(b *Outbox) { b.BeginAt(began); b.Passed(began.Add(time.Second)) }, began},
		"for long":                 {func(b *Outbox) { b.BeginAt(began); b.Passed(began.Add(time.Hour)) }, began.Add(57 * time.Minute)},
		"another was there before": {func(b *Outbox) { b.Passed(began) }, began.Add(-3 * time.Minute)},
		"it has not begun":         {func(b *Outbox) { b.BeginAt(began) }, time.Time{}},
		"something waits": {func(b *Outbox) {
			b.BeginAt(began)
			b.Passed(began.Add(time.Second))
			late := traceOf(1, 1, began.Add(-time.Minute))
			late.Late = true
			if err := b.Put([]spans.Trace{late}); err != nil {
				t.Fatal(err)
			}
		}, began.Add(-time.Minute)},
	} {
		if got := watermark(test.prepare); !got.Equal(test.want) {
			t.Errorf("%s: the watermark is %s, want %s", name, got, test.want)
		}
	}
}

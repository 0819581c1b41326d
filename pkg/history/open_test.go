package history_test

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// asOpen is a rollout that is open.
func asOpen(n int) spans.Trace {
	t := numbered(n)
	root := &t.Spans[0]
	root.Attributes = slices.Clone(root.Attributes)
	for i := range root.Attributes {
		if root.Attributes[i].Key == attr.OutcomeKey {
			root.Attributes[i].Value = attr.OutcomeKey.String(string(attr.OutcomeOpen)).Value
		}
	}
	return t
}

// Pages ask once a second for what is open. What is over is not read for that, however much there
// is of it; and what was told and is open, as of a dump, is found.
func TestWhatIsOpenIsFoundAtOnce(t *testing.T) {
	forEachStore(t, func(t *testing.T, open opener) {
		const over = 500
		store := open(history.Options{MaxAge: -1, InProgress: func(context.Context) ([]spans.Trace, error) {
			return []spans.Trace{asOpen(over)}, nil
		}})
		for n := range over {
			store.Add(numbered(n))
		}
		look := func() (names []string) {
			page, err := store.List(t.Context(), history.Query{Filter: history.Filter{Outcomes: []attr.Outcome{attr.OutcomeOpen}}})
			if err != nil {
				t.Fatal(err)
			}
			for i := range page.Changes {
				names = append(names, page.Changes[i].Name)
			}
			return names
		}
		if got := look(); !slices.Equal(got, []string{"web-500"}) {
			t.Errorf("%v are open", got)
		}
		if n := testing.AllocsPerRun(3, func() { look() }); n > 2*over {
			t.Errorf("looking at what is open takes %v allocations", n)
		}
		store.Add(asOpen(over + 1))
		if got := look(); !slices.Equal(got, []string{"web-501", "web-500"}) {
			t.Errorf("%v are open", got)
		}
	})
}

// What an Overview alone wants of what is in progress is not read for a list, and where only what is
// over is asked for, nothing of it is.
func TestAListReadsNoMoreOfWhatIsOpen(t *testing.T) {
	big := asOpen(1)
	pod := big.Spans[1]
	for range 20_000 {
		big.Spans = append(big.Spans, pod)
	}
	asked := 0
	store := closed(t, history.NewMemory(history.Options{MaxAge: -1, InProgress: func(context.Context) ([]spans.Trace, error) {
		asked++
		return []spans.Trace{big}, nil
	}}))
	list := func(f history.Filter) {
		if _, err := store.List(t.Context(), history.Query{Filter: f}); err != nil {
			t.Fatal(err)
		}
	}
	if took := allocated(func() { list(history.Filter{}) }); took > 1<<20 {
		t.Errorf("a list takes %d bytes", took)
	}
	before := asked
	list(history.Filter{Over: true})
	if asked != before {
		t.Error("what is in progress is asked for where it is left out")
	}
	o, err := store.Overview(t.Context(), history.OverviewQuery{Filter: history.Filter{From: pod.Start, To: pod.End.Add(1)}, Steps: 1})
	if err != nil || len(o.Nodes)+len(o.Workloads) == 0 {
		t.Errorf("the overview is %+v, %v", o, err)
	}
}

// allocated is how many bytes are allocated meanwhile.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A page that is left open asks the same once a second. What is over is read once for that, until
// something is told or forgotten.
func TestTheSameAnswerIsReadOnce(t *testing.T) {
	forEachStore(t, func(t *testing.T, open opener) {
		const over = 300
		now := noon.Add(over * time.Second)
		store := open(history.Options{
			MaxAge: time.Hour, Now: func() time.Time { return now },
			InProgress: func(context.Context) ([]spans.Trace, error) { return []spans.Trace{asOpen(over)}, nil },
		})
		for n := range over {
			store.Add(numbered(n))
		}
		q := history.Query{Filter: history.Filter{Text: "web-299", Over: true}}
		look := func() (names []string) {
			page, err := store.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i := range page.Changes {
				names = append(names, page.Changes[i].Name)
				page.Changes[i].Name = "somebody wrote to it"
			}
			return names
		}
		for range 2 {
			if got := look(); !slices.Equal(got, []string{"web-299"}) {
				t.Fatalf("%v are found", got)
			}
		}
		if n := testing.AllocsPerRun(3, func() { look() }); n > over {
			t.Errorf("the same again takes %v allocations", n)
		}
		q.Text = "web-2990"
		if got := look(); len(got) > 0 {
			t.Errorf("%v are found", got)
		}
		store.Add(numbered(2990))
		if got := look(); !slices.Equal(got, []string{"web-2990"}) {
			t.Errorf("%v are found of what was told since", got)
		}
		q.Text = "web-299"
		if got := look(); !slices.Equal(got, []string{"web-2990", "web-299"}) {
			t.Errorf("%v are found of what was told since", got)
		}
		now = now.Add(time.Hour + 2*time.Minute)
		store.Add(numbered(2991))
		if got := look(); !slices.Equal(got, []string{"web-2991", "web-2990"}) {
			t.Errorf("%v are found of what is not forgotten", got)
		}
	})
}

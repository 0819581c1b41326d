package history_test

import (
	"context"
	"slices"
	"testing"

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

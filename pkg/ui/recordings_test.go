package ui

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/replaytest"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// recorded has the changes of all recordings.
func recorded(t *testing.T) history.Store {
	t.Helper()
	files, err := filepath.Glob("../../test/recordings/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: no recordings", err)
	}
	store := history.NewMemory(history.Options{MaxAge: -1, MaxBytes: 1 << 30})
	for _, path := range files {
		replay(t, store, path)
	}
	return store
}

func replay(t *testing.T, store history.Store, path string) {
	t.Helper()
	for told := range replaytest.Traces(t, path, causality.Options{}) {
		store.Add(told)
	}
}

// The colors of the critical path's pieces are those of the phases that its sums are of, for all
// that was recorded; and each change has a page, on which its waterfall has all of its spans.
func TestRecordedPages(t *testing.T) {
	store := recorded(t)
	h := NewHandler(Options{History: store, Loopback: true, Now: now})
	changes, pieces := 0, 0
	q := history.Query{Limit: 1000}
	page, err := store.List(context.Background(), q)
	if err != nil || page.Next != "" {
		t.Fatalf("%v, next %q", err, page.Next)
	}
	for i := range page.Changes {
		s := &page.Changes[i]
		c, err := store.Change(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		changes++
		drawn := map[attr.Phase]float64{}
		w := newWaterfall(c.Spans)
		list := w.criticalPath()
		for _, piece := range list {
			seconds, _, _ := strings.Cut(piece.Title, " ")
			d, err := time.ParseDuration(seconds)
			if err != nil {
				t.Fatalf("%s: %v", piece.Title, err)
			}
			drawn[attr.Phase(piece.Phase)] += d.Seconds()
			pieces++
		}
		for _, ph := range s.Phases {
			if got := drawn[ph.Phase]; math.Abs(got-ph.Took.Seconds()) > 0.001*float64(len(list)+1) && len(list) < 100 {
				t.Errorf("%s, %s: of the phase %s %.3fs are drawn, and it took %s: %v", s.Object(), s.ID, ph.Phase, got, ph.Took, titles(list))
			}
		}
		if len(w.Bars) != len(c.Spans) {
			t.Errorf("%s: %d of %d spans are drawn", s.Object(), len(w.Bars), len(c.Spans))
		}
		for _, path := range []string{"", "?span=" + w.Bars[len(w.Bars)-1].ID} {
			answer := get(t, h, "/change/"+s.ID.String()+path)
			if answer.Code != 200 || !strings.Contains(answer.Body.String(), "</html>") {
				t.Errorf("%s: %d", s.ID, answer.Code)
			}
			hasNot(t, answer.Body.String(), "ZgotmplZ", "%!")
		}
	}
	if changes < 50 || pieces < 200 {
		t.Errorf("only %d changes with %d pieces", changes, pieces)
	}
	for _, path := range []string{"/", "/overview?from=2026-11-01&to=2026-12-01"} {
		body := get(t, h, path).Body.String()
		has(t, body, "</html>", "bigpull")
		hasNot(t, body, "ZgotmplZ", "%!")
	}
}

func titles(list []segment) (all []string) {
	for _, s := range list {
		all = append(all, s.Title+" "+s.Phase)
	}
	return all
}

// The overview of a recording shows the minutes that it has, and of more than that the last hour.
func TestOverviewOfARecording(t *testing.T) {
	for file, want := range map[string]string{"superseded-rollouts.jsonl": "5 min", "*": "1 h"} {
		store := recorded(t)
		if file != "*" {
			store = history.NewMemory(history.Options{MaxAge: -1})
			replay(t, store, "../../test/recordings/"+file)
		}
		h := NewHandler(Options{History: store, Loopback: true, Now: func() time.Time { return began.AddDate(10, 0, 0) }})
		has(t, get(t, h, "/overview").Body.String(), `aria-current="true">`+want+"<")
	}
}

// A start that was over before its pod was Ready says so in its row.
func TestCutShortIsNoted(t *testing.T) {
	notes := map[string]int{}
	for told := range replaytest.Traces(t, "../../test/recordings/superseded-rollouts.jsonl", causality.Options{}) {
		for _, b := range newWaterfall(told.Spans).Bars {
			cut := b.span.Text(attr.CutShortKey)
			if (cut != "") != strings.Contains(b.Note, "cut short") {
				t.Errorf("%s %s: cut short is %q, and the note %q", b.Name, b.About, cut, b.Note)
			}
			if cut != "" {
				notes[b.Note]++
			}
		}
	}
	if notes["cut short: removed"] == 0 {
		t.Errorf("no start is cut short by the removal of its pod: %v", notes)
	}
}

// A list is read page by page, and each change is on one of them.
func TestPaging(t *testing.T) {
	store := recorded(t)
	seen, pages := paged(t, store, "/")
	page, err := store.List(t.Context(), history.Query{Limit: 1000, Filter: history.Filter{Over: true}})
	if err != nil {
		t.Fatal(err)
	}
	if stats := store.Stats(); int64(seen) != stats.Changes || pages != 1+(len(page.Changes)-1)/perPage {
		t.Errorf("%d changes on %d pages, and there are %d", seen, pages, stats.Changes)
	}
}

// However many changes are in progress, all of them are on the first page, with as many that are over
// as any page has.
func TestPagingBesideMuchInProgress(t *testing.T) {
	const open, over = 60, 120
	var previews []spans.Trace
	for n := range open {
		previews = append(previews, rollout(byte(1+over+n), "shop", "web", n, attr.OutcomeOpen, began.Add(time.Duration(n)*time.Second), time.Second))
	}
	store := history.NewMemory(history.Options{Now: now, InProgress: func(context.Context) ([]spans.Trace, error) { return previews, nil }})
	for n := range over {
		store.Add(rollout(byte(1+n), "shop", "api", n, attr.OutcomeComplete, began.Add(time.Duration(n-over+10)*time.Second), time.Second))
	}
	if seen, pages := paged(t, store, "/"); seen != open+over || pages != 3 {
		t.Errorf("%d of %d changes are on %d pages", seen, open+over, pages)
	}
	if seen, pages := paged(t, store, "/?outcome=open"); seen != open || pages != 1 {
		t.Errorf("%d of %d changes in progress are on %d pages", seen, open, pages)
	}
	if seen, pages := paged(t, store, "/?outcome=complete"); seen != over || pages != 3 {
		t.Errorf("%d of %d changes that are complete are on %d pages", seen, over, pages)
	}
	first := get(t, NewHandler(Options{History: store, Loopback: true, Now: now}), "/changes.json").Body.String()
	has(t, first, `"said":"60 in progress"`, `"more":""`)
	if n := strings.Count(first, `"name":"api"`); n != perPage {
		t.Errorf("the first page has %d changes that are over", n)
	}
}

// What is left out of what is in progress is said.
func TestMoreInProgressThanAReaderLists(t *testing.T) {
	var previews []spans.Trace
	for n := range maxOpen + 1 {
		one := rollout(1, "shop", "web", n, attr.OutcomeOpen, began.Add(time.Duration(n)*time.Second), time.Second)
		for i := range one.Spans {
			one.Spans[i].TraceID = trace.TraceID{1, byte(n >> 8), byte(n)}
		}
		previews = append(previews, one)
	}
	store := history.NewMemory(history.Options{Now: now, InProgress: func(context.Context) ([]spans.Trace, error) { return previews, nil }})
	h := NewHandler(Options{History: store, Loopback: true, Now: now})
	const want = "More than 1,000 changes are in progress. These began last."
	has(t, get(t, h, "/").Body.String(), want)
	has(t, get(t, h, "/changes.json").Body.String(), want, `"said":"more than 1,000 in progress"`)
}

// paged reads a list page by page, and counts its changes: each is on one page.
func paged(t *testing.T, store history.Reader, path string) (changes, pages int) {
	t.Helper()
	h := NewHandler(Options{History: store, Loopback: true, Now: now})
	seen := map[string]int{}
	for path != "" {
		body := get(t, h, path).Body.String()
		for _, part := range strings.Split(body, `data-f="link" href="change/`)[1:] {
			id, _, _ := strings.Cut(part, `"`)
			if id != "" {
				seen[id]++
			}
		}
		path = ""
		if before, _, ok := strings.Cut(body, `" rel="next"`); ok {
			path = "/" + strings.ReplaceAll(before[strings.LastIndex(before, `"`)+1:], "&amp;", "&")
		}
		pages++
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
	return len(seen), pages
}

package history_test

import (
	"context"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/replaytest"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// opener opens a Store that has nothing, which is closed when the test is over.
type opener func(history.Options) history.Store

// forEachStore runs a test with each kind of Store.
func forEachStore(t *testing.T, test func(t *testing.T, open opener)) {
	t.Run("memory", func(t *testing.T) {
		test(t, func(o history.Options) history.Store { return closed(t, history.NewMemory(o)) })
	})
	t.Run("disk", func(t *testing.T) {
		dir, n := t.TempDir(), 0
		test(t, func(o history.Options) history.Store {
			n++
			return closed(t, onDisk(t, filepath.Join(dir, strconv.Itoa(n)), o))
		})
	})
}

func onDisk(t testing.TB, dir string, o history.Options) history.Store {
	t.Helper()
	s, err := history.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t testing.TB, s history.Store) history.Store {
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// asker is a testing.T, or that of a property.
type asker interface {
	Helper()
	Fatal(...any)
	Context() context.Context
}

// tell are the traces of a recording, in the portions in which the engine hands them out.
func tell(t testing.TB, recording string) []spans.Trace {
	t.Helper()
	return slices.Collect(replaytest.Traces(t, recording, causality.Options{InProgressAfter: 10 * time.Second}))
}

const recordings = "../../test/recordings/"

// Of a rollout that pulled a large image the list says so, its spans are found by its ID, and
// the overview has its pod on its node.
func TestSlowImagePull(t *testing.T) {
	forEachStore(t, func(t *testing.T, open opener) {
		store := open(history.Options{MaxAge: -1})
		for _, trace := range tell(t, recordings+"slow-image-pull.jsonl") {
			store.Add(trace)
		}
		page, err := store.List(t.Context(), history.Query{Filter: history.Filter{Text: "BIG deployment"}})
		if err != nil || len(page.Changes) != 1 || page.Next != "" {
			t.Fatalf("found %+v, %v", page, err)
		}
		s := page.Changes[0]
		if s.Object() != "Deployment bigpull/big" || s.Biggest().Phase != "pull_image" || s.Outcome != "complete" || s.Revision != 1 {
			t.Errorf("the list says %+v", s)
		}
		o, err := store.Overview(t.Context(), history.OverviewQuery{Filter: history.Filter{From: s.Start, To: s.End.Add(1)}, Steps: 10})
		if err != nil || len(o.Workloads) != 1 || len(o.Nodes) != 1 || o.Nodes[0].Name != "node-a" || len(o.Nodes[0].Pods) != 1 {
			t.Fatalf("the overview is %+v, %v", o, err)
		}
		if p := o.Nodes[0].Pods[0]; p.Workload != "big" || !p.Ready.After(p.Created) || !p.Gone.IsZero() {
			t.Errorf("the pod is %+v", p)
		}
		events := 0
		for _, e := range o.Events {
			events += e.Normal + e.Warning
		}
		if events != 7 {
			t.Errorf("there are %d Events", events)
		}
	})
}

// A pod that was removed before it was Ready is not Ready in the overview.
func TestStartsThatWereCutShort(t *testing.T) {
	traces := tell(t, recordings+"superseded-rollouts.jsonl")
	cut := map[string]bool{} // by pod
	from, to := traces[0].Spans[0].Start, traces[0].Spans[0].End
	for i := range traces {
		for j := range traces[i].Spans {
			s := &traces[i].Spans[j]
			if s.Text(attr.CutShortKey) == string(attr.CutRemoved) {
				cut[s.Text(semconv.K8SPodUIDKey)] = true
			}
			if s.Start.Before(from) {
				from = s.Start
			}
			if s.End.After(to) {
				to = s.End
			}
		}
	}
	forEachStore(t, func(t *testing.T, open opener) {
		store := open(history.Options{MaxAge: -1})
		for _, trace := range traces {
			store.Add(trace)
		}
		o, err := store.Overview(t.Context(), history.OverviewQuery{Filter: history.Filter{From: from, To: to.Add(1)}, Steps: 10})
		if err != nil {
			t.Fatal(err)
		}
		found, ready := 0, 0
		for _, n := range o.Nodes {
			for _, p := range n.Pods {
				switch {
				case !cut[p.UID] && !p.Ready.IsZero():
					ready++
				case cut[p.UID]:
					found++
					if !p.Ready.IsZero() {
						t.Errorf("%s was removed before it was Ready, and was Ready at %s", p.Name, p.Ready)
					}
				}
			}
		}
		if found == 0 || ready == 0 {
			t.Errorf("of %d pods that were removed before they were Ready, there are %d, and %d others that were Ready", len(cut), found, ready)
		}
	})
}

// Of every recording, all spans are read back as they were told, each of the change that it is
// below, and no change is told twice.
func TestSpansAreReadBack(t *testing.T) {
	files, err := filepath.Glob(recordings + "*.jsonl")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	told := map[string][]spans.Trace{}
	for _, file := range files {
		told[file] = tell(t, file)
	}
	forEachStore(t, func(t *testing.T, open opener) {
		store := open(history.Options{MaxAge: -1})
		want := map[trace.SpanID]*spans.Span{}
		roots := map[history.ID]bool{}
		for _, file := range files {
			for _, told := range told[file] {
				store.Add(told)
				store.Add(told) // as a process does that was killed before it knew that it was told
				for i := range told.Spans {
					want[told.Spans[i].SpanID] = &told.Spans[i]
				}
				if !told.Late {
					roots[history.ID{Trace: told.Spans[0].TraceID, Root: told.Spans[0].SpanID}] = true
				}
			}
		}
		count := 0
		for _, s := range everything(t, store, history.Filter{}) {
			if !roots[s.ID] {
				t.Errorf("%s is no change that was told, or was there before", s.ID)
			}
			delete(roots, s.ID)
			c, err := store.Change(t.Context(), s.ID)
			if err != nil || len(c.Spans) != s.Spans || c.Spans[0].SpanID != s.ID.Root {
				t.Fatalf("%s: %d spans, %v", s.ID, len(c.Spans), err)
			}
			for i := range c.Spans {
				count++
				told := want[c.Spans[i].SpanID]
				if told == nil {
					t.Fatalf("%s: %s was there before", s.ID, c.Spans[i].SpanID)
				}
				delete(want, told.SpanID)
				if want, got := inUTC(told), inUTC(&c.Spans[i]); !reflect.DeepEqual(want, got) {
					t.Fatalf("%s:\ntold  %#v\nfound %#v", s.ID, want, got)
				}
			}
		}
		if len(roots) > 0 || len(want) > 0 || count < 1000 {
			t.Errorf("%d spans were found; %d changes were not, nor %d spans: %v", count, len(roots), len(want), want)
		}
	})
}

// inUTC is a span with all times in one zone, and without lists that are empty.
func inUTC(s *spans.Span) spans.Span {
	c := *s
	c.Start, c.End = c.Start.UTC(), c.End.UTC()
	c.Events = nil
	for _, e := range s.Events {
		e.Time = e.Time.UTC()
		c.Events = append(c.Events, e)
	}
	return c
}

// everything is the whole list, by pages of a few.
func everything(t asker, r history.Reader, f history.Filter) (list []history.Summary) {
	t.Helper()
	q := history.Query{Filter: f, Limit: 3}
	for {
		page, err := r.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, page.Changes...)
		if page.Next == "" {
			return list
		}
		q.After = page.Next
	}
}

// IDs are read as they are written.
func TestID(t *testing.T) {
	id := history.ID{Trace: trace.TraceID{1}, Root: trace.SpanID{2}}
	if got, err := history.ParseID(id.String()); err != nil || got != id {
		t.Errorf("%s is read as %s, %v", id, got, err)
	}
	for _, text := range []string{"", "-", strings.Repeat("0", 32) + "-0200000000000000", id.Trace.String(), id.String() + "0"} {
		if got, err := history.ParseID(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}

package history_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
)

// What a client asks for is what a Reader is asked for.
func TestQueryValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := history.Query{Filter: drawFilter(t), Limit: rapid.IntRange(0, 3).Draw(t, "limit"), After: rapid.SampledFrom([]string{"", "0a"}).Draw(t, "after")}
		got, err := history.QueryOf(q.Values())
		if err != nil || !reflect.DeepEqual(q, got) {
			t.Fatalf("%+v is read as %+v, %v", q, got, err)
		}
	})
}

// A status lists what is in progress, and says where that is not all.
func TestStatusSaysWhatIsLeftOut(t *testing.T) {
	for n, more := range map[int]bool{0: false, 200: false, 201: true} {
		store := closed(t, history.NewMemory(history.Options{MaxAge: -1, InProgress: func(context.Context) (list []spans.Trace, err error) {
			for i := range n {
				one := asOpen(i)
				one.Spans[0].End = time.Now()
				list = append(list, one)
			}
			return list, nil
		}}))
		server := httptest.NewServer(&history.API{Reader: store})
		t.Cleanup(server.Close)
		status, err := (&history.Client{Server: server.URL}).Status(t.Context())
		if err != nil || len(status.Open) != min(n, 200) || status.OpenMore != more {
			t.Errorf("of %d in progress %d are listed, and more is %t: %v", n, len(status.Open), status.OpenMore, err)
		}
	}
}

// A client pages through what there is, and reads a change with its spans.
func TestClient(t *testing.T) {
	store := closed(t, history.NewMemory(history.Options{MaxAge: -1}))
	for n := range 5 {
		store.Add(numbered(n))
	}
	server := httptest.NewServer(&history.API{Reader: store})
	t.Cleanup(server.Close)
	client := &history.Client{Server: server.URL}
	var names []string
	for q := (history.Query{Filter: history.Filter{Kinds: []string{"Deployment"}}, Limit: 2}); ; {
		page, err := client.Changes(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			names = append(names, c.Name)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if want := []string{"web-4", "web-3", "web-2", "web-1", "web-0"}; !reflect.DeepEqual(names, want) {
		t.Errorf("there are %q", names)
	}
	root := numbered(3).Spans[0]
	id := history.ID{Trace: root.TraceID, Root: root.SpanID}
	c, err := client.Change(t.Context(), id.String())
	if err != nil || c.Name != "web-3" || len(c.Spans) != 21 || c.Spans[1].ParentID != root.SpanID.String() || c.End == nil || !c.End.Equal(root.End) || c.Seconds != 60 {
		t.Errorf("the change is %+v, %v", c, err)
	}
	if s, err := client.Status(t.Context()); err != nil || !s.Ready || s.History.Changes != 5 || len(s.Open) != 0 {
		t.Errorf("the status is %+v, %v", s, err)
	}
}

// What cannot be answered is answered with why.
func TestAPIRefuses(t *testing.T) {
	store := closed(t, history.NewMemory(history.Options{MaxAge: -1, InProgress: func(context.Context) ([]spans.Trace, error) {
		return nil, errors.New("the watch is stuck")
	}}))
	working := closed(t, history.NewMemory(history.Options{}))
	none := history.ID{Trace: trace.TraceID{1}, Root: trace.SpanID{1}}
	for _, test := range []struct {
		method, path string
		reader       history.Reader
		code         int
		why          string
	}{
		{"POST", "/api/v1/status", working, http.StatusMethodNotAllowed, "it is only read, with GET"},
		{"GET", "/api/v1/", working, http.StatusNotFound, "nothing is there: there are /api/v1/status and /api/v1/changes"},
		{"GET", "/api/v1/status/1", working, http.StatusNotFound, "nothing is there: there are /api/v1/status and /api/v1/changes"},
		{"GET", "/api/v1/changes/" + none.String(), working, http.StatusNotFound, "there is no such change"},
		{"GET", "/api/v1/changes/1", working, http.StatusBadRequest, `"1" is no ID of a change: it has the ID of a trace and that of its root in hex, with a hyphen between them`},
		{"GET", "/api/v1/changes?limit=0", working, http.StatusBadRequest, "limit: it is at least 1"},
		{"GET", "/api/v1/changes?nme=web", working, http.StatusBadRequest, "nme: there is no such parameter"},
		{"GET", "/api/v1/changes?from=noon", working, http.StatusBadRequest, `from: "noon" is not a time, such as 2006-01-02T15:04:05Z`},
		{"GET", "/api/v1/changes?after=xyz", working, http.StatusBadRequest, "after: the place where the page begins is not what a page before it said"},
		{"GET", "/api/v1/changes", store, http.StatusServiceUnavailable, "the watch is stuck"},
	} {
		w := httptest.NewRecorder()
		(&history.API{Reader: test.reader}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), test.method, test.path, http.NoBody))
		var e history.ErrorJSON
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != test.code || e.Error != test.why {
			t.Errorf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
	}
}

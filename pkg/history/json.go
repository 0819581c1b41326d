package history

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// What is below is printed by `-o json`, and answered below /api/v1: docs/json.md. Fields are
// added, and none is renamed or taken away. Times are in UTC, by RFC 3339 with as many digits as
// are known; durations are seconds. What is empty is left out, but for the fields that say how
// long something took.

// ChangeJSON is a change.
type ChangeJSON struct {
	// ID names the change: see ID.
	ID      string `json:"id"`
	TraceID string `json:"traceId"`
	SpanID  string `json:"spanId"`
	Title   string `json:"title"`
	Change  string `json:"change"`

	Namespace string `json:"namespace,omitempty"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Owner     string `json:"owner,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Revision  int64  `json:"revision,omitempty"`
	Cause     string `json:"cause,omitempty"`

	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// Message says why it failed, WaitingFor what it waits for while it is open.
	Message    string `json:"message,omitempty"`
	WaitingFor string `json:"waitingFor,omitempty"`

	Start time.Time `json:"start"`
	// End is missing while it is open.
	End *time.Time `json:"end,omitempty"`
	// Seconds is how long it took, or has taken so far.
	Seconds   float64     `json:"seconds"`
	WaitedFor []PhaseJSON `json:"waitedFor,omitempty"`
	// PreviousSeconds is how long the completed rollout before took, and Slower what took more
	// than then.
	PreviousSeconds float64    `json:"previousSeconds,omitempty"`
	Slower          *PhaseJSON `json:"slower,omitempty"`

	SpanCount  int `json:"spanCount"`
	ErrorCount int `json:"errorCount,omitempty"`
	// Spans are there where one change was asked for.
	Spans []SpanJSON `json:"spans,omitempty"`
}

// PhaseJSON is a phase of a critical path.
type PhaseJSON struct {
	Phase   string  `json:"phase"`
	Seconds float64 `json:"seconds"`
}

// SpanJSON is a span.
type SpanJSON struct {
	SpanID   string `json:"spanId"`
	ParentID string `json:"parentId,omitempty"`
	// Kind is a word of the table of kinds, as Name without what it is of; see docs/traces.md.
	Kind    string    `json:"kind"`
	Name    string    `json:"name"`
	Service string    `json:"service,omitempty"`
	Subject string    `json:"subject,omitempty"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	Seconds float64   `json:"seconds"`
	// Critical says that it is on the critical path.
	Critical   bool           `json:"critical,omitempty"`
	Error      bool           `json:"error,omitempty"`
	Message    string         `json:"message,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Events     []EventJSON    `json:"events,omitempty"`
	Links      []LinkJSON     `json:"links,omitempty"`
}

// EventJSON is an event of a span.
type EventJSON struct {
	Name       string         `json:"name"`
	Time       time.Time      `json:"time"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// LinkJSON is a link of a span.
type LinkJSON struct {
	TraceID string `json:"traceId"`
	SpanID  string `json:"spanId"`
	Type    string `json:"type,omitempty"`
}

// ChangesJSON are changes, those that began last first.
type ChangesJSON struct {
	Changes []ChangeJSON `json:"changes"`
	// Next is where the next page begins; missing after the last one.
	Next string `json:"next,omitempty"`
	// EventsSince is how far back the Events of the namespace go, where the cluster was asked:
	// times before that are those that objects state.
	EventsSince *time.Time `json:"eventsSince,omitempty"`
}

// StatusJSON is how a running rollspan fares.
type StatusJSON struct {
	Version string `json:"version"`
	// Cluster is the UID of the namespace kube-system, where it may be read.
	Cluster    string   `json:"cluster,omitempty"`
	Server     string   `json:"server,omitempty"`
	Namespaces []string `json:"namespaces,omitempty"`
	Ready      bool     `json:"ready"`
	// Watched are resources of which the first list is through, Without those that cannot be
	// listed, or are not yet.
	Watched      []string   `json:"watched"`
	Without      []string   `json:"without,omitempty"`
	At           string     `json:"at,omitempty"`
	LastObserved *time.Time `json:"lastObserved,omitempty"`
	// ObservationsWaiting is how many observations wait for the engine.
	ObservationsWaiting int `json:"observationsWaiting"`
	// Collector is missing where traces are printed.
	Collector *CollectorJSON `json:"collector,omitempty"`
	History   KeptJSON       `json:"history"`
	// Open are the changes that are in progress.
	Open []ChangeJSON `json:"open"`
	// OpenMore says that there are more, which began before those.
	OpenMore bool `json:"openMore,omitempty"`
}

// CollectorJSON is how a collector fares.
type CollectorJSON struct {
	Endpoint string `json:"endpoint"`
	// Down says that the last request failed.
	Down          bool       `json:"down"`
	LastError     string     `json:"lastError,omitempty"`
	LastErrorTime *time.Time `json:"lastErrorTime,omitempty"`
	Sent          int64      `json:"sent"`
	Rejected      int64      `json:"rejected"`
	Dropped       int64      `json:"dropped"`
	Queued        int        `json:"queued"`
	QueuedBytes   int        `json:"queuedBytes"`
	// Behind is how many spans wait on the disk alone.
	Behind int `json:"behind"`
}

// KeptJSON is how the history fares.
type KeptJSON struct {
	Changes   int64      `json:"changes"`
	Bytes     int64      `json:"bytes"`
	Oldest    *time.Time `json:"oldest,omitempty"`
	Forgotten int64      `json:"forgotten"`
	Shed      int64      `json:"shed"`
	Failed    int64      `json:"failed"`
	Trouble   string     `json:"trouble,omitempty"`
}

// ErrorJSON is the answer to what cannot be answered.
type ErrorJSON struct {
	Error string `json:"error"`
}

// Summarize reads the spans of a change, of which the first is the root.
func Summarize(t *spans.Trace) Summary { return summarize(t.Spans) }

// JSON is the change without its spans.
func (s *Summary) JSON() ChangeJSON {
	c := ChangeJSON{
		ID: s.ID.String(), TraceID: s.ID.Trace.String(), SpanID: s.ID.Root.String(),
		Title: s.Title, Change: string(s.Change),
		Namespace: s.Namespace, Kind: s.Kind, Name: s.Name, Owner: s.Owner, Subject: s.Subject,
		Revision: s.Revision, Cause: s.Cause, Outcome: string(s.Outcome), Reason: s.Reason, Message: s.Message,
		Start: s.Start.UTC(), Seconds: s.Took().Seconds(),
		PreviousSeconds: s.Before.Seconds(), SpanCount: s.Spans, ErrorCount: s.Errors,
	}
	if s.Open() {
		c.Message, c.WaitingFor = "", s.Message
	} else {
		c.End = timeOrNone(s.End)
	}
	for _, p := range s.Phases {
		c.WaitedFor = append(c.WaitedFor, PhaseJSON{string(p.Phase), p.Took.Seconds()})
	}
	if s.SlowerBy.Phase != "" {
		c.Slower = &PhaseJSON{string(s.SlowerBy.Phase), s.SlowerBy.Took.Seconds()}
	}
	return c
}

// JSON is the change with its spans.
func (c *Change) JSON() ChangeJSON {
	out := c.Summary.JSON()
	for i := range c.Spans {
		out.Spans = append(out.Spans, spanJSON(&c.Spans[i]))
	}
	return out
}

func spanJSON(s *spans.Span) SpanJSON {
	out := SpanJSON{
		SpanID: s.SpanID.String(), Kind: s.Kind.String(), Name: s.Name, Service: s.Service, Subject: s.Subject,
		Start: s.Start.UTC(), End: s.End.UTC(), Seconds: s.End.Sub(s.Start).Seconds(),
		Error: s.Status == codes.Error, Message: s.Message, Attributes: valuesOf(s.Resource, s.Attributes),
	}
	if s.ParentID.IsValid() {
		out.ParentID = s.ParentID.String()
	}
	if v, ok := s.Attribute(attr.CriticalKey); ok {
		out.Critical = v.AsBool()
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, EventJSON{e.Name, e.Time.UTC(), valuesOf(e.Attributes)})
	}
	for _, l := range s.Links {
		out.Links = append(out.Links, LinkJSON{l.TraceID.String(), l.SpanID.String(), string(attr.LinkType(l.Attributes))})
	}
	return out
}

func valuesOf(lists ...[]attribute.KeyValue) map[string]any {
	values := map[string]any{}
	for _, list := range lists {
		for _, kv := range list {
			values[string(kv.Key)] = kv.Value.AsInterface()
		}
	}
	return values
}

func timeOrNone(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// JSON are the counters.
func (s *Stats) JSON() KeptJSON {
	return KeptJSON{
		Changes: s.Changes, Bytes: s.Bytes, Oldest: timeOrNone(s.Oldest),
		Forgotten: s.Forgotten, Shed: s.Shed, Failed: s.Failed, Trouble: s.Trouble,
	}
}

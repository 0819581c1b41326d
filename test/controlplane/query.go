package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrNoTrace is what Trace answers for a trace that Jaeger does not have.
var ErrNoTrace = errors.New("no such trace")

// A Trace is all that Jaeger has of one trace, its spans by their start.
type Trace struct {
	ID    string
	Spans []Span
}

// A Span is a span as Jaeger gives it back. IDs are in hexadecimal, and an
// attribute's value is a string, a bool, an int64, a float64, or a []any or
// map[string]any of these.
type Span struct {
	TraceID, ID, ParentID string
	Name                  string
	Kind                  int // as in OTLP: 1 is internal
	Start, End            time.Time
	Attributes            map[string]any
	Events                []Event
	Links                 []Link
	Status                Status
	// Service is the resource's service.name, one of its attributes.
	Service  string
	Resource map[string]any
	Scope    Scope
}

// Value is what the span, or else its resource, has for a key; nil if neither has it.
func (s *Span) Value(key string) any {
	if v, ok := s.Attributes[key]; ok {
		return v
	}
	return s.Resource[key]
}

// An Event is an event of a span.
type Event struct {
	Name       string
	Time       time.Time
	Attributes map[string]any
}

// A Link is a link of a span to another.
type Link struct {
	TraceID, SpanID string
	Attributes      map[string]any
}

// A Status is the status of a span: code 0 is unset, 1 is ok, 2 is an error.
type Status struct {
	Code    int
	Message string
}

// A Scope is the instrumentation scope of a span.
type Scope struct{ Name, Version string }

// Root is the first span that has no parent within the trace, or nil.
func (t *Trace) Root() *Span {
	for i := range t.Spans {
		if t.Span(t.Spans[i].ParentID) == nil {
			return &t.Spans[i]
		}
	}
	return nil
}

// Span is the span with that ID, or nil.
func (t *Trace) Span(id string) *Span {
	for i := range t.Spans {
		if t.Spans[i].ID == id {
			return &t.Spans[i]
		}
	}
	return nil
}

// Children are the spans right below the one with that ID, by their start.
func (t *Trace) Children(id string) []*Span {
	var out []*Span
	for i := range t.Spans {
		if t.Spans[i].ParentID == id {
			out = append(out, &t.Spans[i])
		}
	}
	return out
}

// FindTraces returns the traces that have a span of the service, which must be
// given, with the operation and the tags, if they are given, that started
// within lookback. They are whole: spans of other services are in them.
func (j *Jaeger) FindTraces(ctx context.Context, service, operation string, tags map[string]string, lookback time.Duration) ([]Trace, error) {
	// Only the older API searches by tag, and only the newer one gives
	// everything: the older has no place for a link's attributes.
	query := url.Values{"service": {service}, "limit": {"10000"}}
	if operation != "" {
		query.Set("operation", operation)
	}
	if len(tags) > 0 {
		encoded, err := json.Marshal(tags)
		if err != nil {
			return nil, err
		}
		query.Set("tags", string(encoded))
	}
	now := time.Now()
	query.Set("start", strconv.FormatInt(now.Add(-lookback).UnixMicro(), 10))
	query.Set("end", strconv.FormatInt(now.Add(time.Hour).UnixMicro(), 10))
	var found struct {
		Data []struct {
			TraceID string `json:"traceID"`
		} `json:"data"`
	}
	if err := j.get(ctx, "/api/traces?"+query.Encode(), &found); err != nil {
		return nil, err
	}
	traces := make([]Trace, 0, len(found.Data))
	for _, f := range found.Data {
		t, err := j.Trace(ctx, f.TraceID)
		if err != nil {
			return nil, err
		}
		traces = append(traces, t)
	}
	slices.SortFunc(traces, func(a, b Trace) int {
		if c := a.Spans[0].Start.Compare(b.Spans[0].Start); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return traces, nil
}

// Trace returns one trace, as it was sent: without what Jaeger would do to it
// for display, such as correcting clocks. For one that is not there it returns
// ErrNoTrace.
func (j *Jaeger) Trace(ctx context.Context, id string) (Trace, error) {
	var answer struct {
		Result otlpTraces `json:"result"`
	}
	if err := j.get(ctx, "/api/v3/traces/"+url.PathEscape(id)+"?raw_traces=true", &answer); err != nil {
		return Trace{}, err
	}
	spans, err := answer.Result.spans()
	if err != nil {
		return Trace{}, fmt.Errorf("jaeger: trace %s: %w", id, err)
	}
	if len(spans) == 0 {
		return Trace{}, fmt.Errorf("jaeger: trace %s: %w", id, ErrNoTrace)
	}
	slices.SortStableFunc(spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return Trace{ID: spans[0].TraceID, Spans: spans}, nil
}

// Services lists the services that Jaeger has spans of.
func (j *Jaeger) Services(ctx context.Context) ([]string, error) {
	var answer struct {
		Services []string `json:"services"`
	}
	err := j.get(ctx, "/api/v3/services", &answer)
	return answer.Services, err
}

func (j *Jaeger) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.QueryURL()+path, nil)
	if err != nil {
		return fmt.Errorf("jaeger: %w", err)
	}
	response, err := j.client.Do(request)
	if err != nil {
		return fmt.Errorf("jaeger: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return fmt.Errorf("jaeger: %s: %w", path, err)
	case response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("jaeger: %s: %w", path, ErrNoTrace)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("jaeger: %s: %s: %s", path, response.Status, bytes.TrimSpace(body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("jaeger: %s: %w", path, err)
	}
	return nil
}

// otlpTraces is OTLP's JSON encoding, decoded by hand so that what a test sees
// does not pass through the code that is under test.
type otlpTraces struct {
	ResourceSpans []struct {
		Resource struct {
			Attributes []otlpAttribute `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []struct {
			Scope Scope      `json:"scope"`
			Spans []otlpSpan `json:"spans"`
		} `json:"scopeSpans"`
	} `json:"resourceSpans"`
}

type otlpSpan struct {
	TraceID      string          `json:"traceId"`
	SpanID       string          `json:"spanId"`
	ParentSpanID string          `json:"parentSpanId"`
	Name         string          `json:"name"`
	Kind         int             `json:"kind"`
	Start        otlpTime        `json:"startTimeUnixNano"`
	End          otlpTime        `json:"endTimeUnixNano"`
	Attributes   []otlpAttribute `json:"attributes"`
	Events       []struct {
		Name       string          `json:"name"`
		Time       otlpTime        `json:"timeUnixNano"`
		Attributes []otlpAttribute `json:"attributes"`
	} `json:"events"`
	Links []struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Attributes []otlpAttribute `json:"attributes"`
	} `json:"links"`
	Status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"status"`
}

// otlpTime is nanoseconds in a string, which JSON's numbers are too coarse for.
type otlpTime struct{ time.Time }

func (t *otlpTime) UnmarshalJSON(data []byte) error {
	nanos, err := strconv.ParseInt(strings.Trim(string(data), `"`), 10, 64)
	t.Time = time.Unix(0, nanos).UTC()
	return err
}

type otlpAttribute struct {
	Key   string    `json:"key"`
	Value otlpValue `json:"value"`
}

type otlpValue struct {
	String *string  `json:"stringValue"`
	Bool   *bool    `json:"boolValue"`
	Int    *string  `json:"intValue"`
	Double *float64 `json:"doubleValue"`
	Bytes  *string  `json:"bytesValue"`
	Array  *struct {
		Values []otlpValue `json:"values"`
	} `json:"arrayValue"`
	Map *struct {
		Values []otlpAttribute `json:"values"`
	} `json:"kvlistValue"`
}

func (v otlpValue) decode() (any, error) {
	switch {
	case v.String != nil:
		return *v.String, nil
	case v.Bool != nil:
		return *v.Bool, nil
	case v.Int != nil:
		return strconv.ParseInt(*v.Int, 10, 64)
	case v.Double != nil:
		return *v.Double, nil
	case v.Bytes != nil:
		return *v.Bytes, nil
	case v.Array != nil:
		out := make([]any, len(v.Array.Values))
		for i, e := range v.Array.Values {
			var err error
			if out[i], err = e.decode(); err != nil {
				return nil, err
			}
		}
		return out, nil
	case v.Map != nil:
		return attributes(v.Map.Values)
	default:
		return nil, nil
	}
}

func attributes(list []otlpAttribute) (map[string]any, error) {
	out := make(map[string]any, len(list))
	for _, a := range list {
		v, err := a.Value.decode()
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", a.Key, err)
		}
		if _, twice := out[a.Key]; twice {
			return nil, fmt.Errorf("attribute %s is there twice", a.Key)
		}
		out[a.Key] = v
	}
	return out, nil
}

func (t otlpTraces) spans() ([]Span, error) {
	var out []Span
	for _, r := range t.ResourceSpans {
		resource, err := attributes(r.Resource.Attributes)
		if err != nil {
			return nil, err
		}
		for _, s := range r.ScopeSpans {
			for _, o := range s.Spans {
				span, err := o.span()
				if err != nil {
					return nil, fmt.Errorf("span %s: %w", o.SpanID, err)
				}
				span.Resource, span.Scope = resource, s.Scope
				span.Service, _ = resource["service.name"].(string)
				out = append(out, span)
			}
		}
	}
	return out, nil
}

func (o otlpSpan) span() (Span, error) {
	s := Span{
		TraceID: o.TraceID, ID: o.SpanID, ParentID: o.ParentSpanID,
		Name: o.Name, Kind: o.Kind, Start: o.Start.Time, End: o.End.Time,
		Status: Status{Code: o.Status.Code, Message: o.Status.Message},
	}
	var err error
	if s.Attributes, err = attributes(o.Attributes); err != nil {
		return Span{}, err
	}
	for _, e := range o.Events {
		attrs, err := attributes(e.Attributes)
		if err != nil {
			return Span{}, fmt.Errorf("event %s: %w", e.Name, err)
		}
		s.Events = append(s.Events, Event{Name: e.Name, Time: e.Time.Time, Attributes: attrs})
	}
	for _, l := range o.Links {
		attrs, err := attributes(l.Attributes)
		if err != nil {
			return Span{}, fmt.Errorf("link: %w", err)
		}
		s.Links = append(s.Links, Link{TraceID: l.TraceID, SpanID: l.SpanID, Attributes: attrs})
	}
	return s, nil
}

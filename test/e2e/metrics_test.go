package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMetrics goes the way of somebody who sees on a dashboard that a rollout was
// slow, or is told that one failed: from the metric, by its exemplar, to the
// trace in Jaeger.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{})
	s.complete(1)
	rollout := s.rollout(1)
	s.update("missing")
	s.stuck("missing", "ImagePullBackOff")
	s.setDeadline(shortDeadline)
	failed := s.rollout(2)

	labels := func(last string) string {
		return fmt.Sprintf(`{change="rollout",kind="Deployment",namespace=%q,%s`, s.name, last)
	}
	counted := func(sample string) {
		t.Helper()
		s.eventually(sample, func() error {
			if got := s.openMetrics().values[sample]; got != 1 {
				return fmt.Errorf("it is %v, not 1", got)
			}
			return nil
		})
	}
	counted("rollspan_change_duration_seconds_count" + labels(`outcome="complete"}`))
	counted("rollspan_change_duration_seconds_count" + labels(`outcome="failed"}`))

	for _, test := range []struct {
		name, series string
		want         *trace
		value        float64
	}{
		{"duration", "rollspan_change_duration_seconds_bucket" + labels(`outcome="complete",`), rollout, seconds(rollout)},
		{"duration of a failure", "rollspan_change_duration_seconds_bucket" + labels(`outcome="failed",`), failed, seconds(failed)},
		{"failure", "rollspan_change_failures_total" + labels(`reason="`+fmt.Sprint(failed.Root().Attributes["error.type"])+`"}`), failed, 1},
	} {
		var found exemplar
		s.eventually("an exemplar of the "+test.name, func() error {
			scraped := s.openMetrics()
			for _, e := range scraped.exemplars {
				if strings.HasPrefix(e.series, test.series) {
					found = e
					return nil
				}
			}
			return fmt.Errorf("none of %s in\n%s", test.series, scraped.text)
		})
		got, err := s.whole(t.Context(), found.traceID)
		if err != nil {
			t.Errorf("the exemplar of the %s leads nowhere: %v", test.name, err)
			continue
		}
		span := got.Span(found.spanID)
		if got.ID != test.want.ID || span == nil || span.ID != test.want.Root().ID {
			t.Errorf("the exemplar of the %s leads to %s in\n%s\nwant the root of\n%s", test.name, found.spanID, text(&got), text(test.want))
		}
		if difference := found.value - test.value; difference < -1e-6 || difference > 1e-6 {
			t.Errorf("the exemplar of the %s is of %v, the trace of %v", test.name, found.value, test.value)
		}
	}

	scraped := s.openMetrics()
	var phases float64
	for sample, v := range scraped.values {
		if strings.HasPrefix(sample, "rollspan_change_phase_duration_seconds_sum"+labels("")) {
			phases += v
		}
	}
	if took := seconds(rollout) + seconds(failed); phases < took-1e-6 || phases > took+1e-6 {
		t.Errorf("all phases took %v s, the rollouts %v s", phases, took)
	}
	for _, atLeast := range []struct {
		sample string
		value  float64
	}{
		{`rollspan_observations_total{kind="Deployment"}`, 4},
		{`rollspan_observations_total{kind="Event"}`, 4},
		{`rollspan_exported_spans_total{outcome="sent"}`, float64(len(rollout.Spans) + len(failed.Spans))},
		{`rollspan_export_lag_seconds_count`, 2},
		{`rollspan_queue_capacity`, 1},
		{`rollspan_export_queue_capacity_spans`, 1},
		{`rollspan_open_changes`, 0},
		{`rollspan_orphans_total{kind="Pod"}`, 0},
		{`process_start_time_seconds`, 1},
		{`go_goroutines`, 1},
	} {
		// A span can be in Jaeger before rollspan knows that it is.
		s.eventually(atLeast.sample, func() error {
			if got, ok := s.openMetrics().values[atLeast.sample]; !ok || got < atLeast.value {
				return fmt.Errorf("it is %v (%t), want %v or more", got, ok, atLeast.value)
			}
			return nil
		})
	}
}

// seconds is how long the root took.
func seconds(t *trace) float64 {
	r := t.Root()
	return r.End.Sub(r.Start).Seconds()
}

// openMetrics is what the common rollspan shows to a Prometheus that keeps
// exemplars.
type openMetrics struct {
	text      string
	values    map[string]float64
	exemplars []exemplar
}

type exemplar struct {
	series          string
	traceID, spanID string
	value           float64
}

var (
	sampleLine   = regexp.MustCompile(`^([a-z_]+(?:\{.*?\})?) (\S+)(?: # \{(.*)\} (\S+) (\S+))?$`)
	exemplarPair = regexp.MustCompile(`(\w+)="([0-9a-f]+)"`)
)

func (s *space) openMetrics() openMetrics {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.metrics, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	// As Prometheus asks by default.
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text") {
		s.t.Fatalf("the endpoint answers in %s", kind)
	}
	if !bytes.HasSuffix(body, []byte("# EOF\n")) {
		s.t.Fatalf("the answer has no end:\n%s", body)
	}
	out := openMetrics{text: string(body), values: map[string]float64{}}
	for line := range strings.Lines(out.text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sampleLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			s.t.Fatalf("no sample: %s", line)
		}
		out.values[m[1]] = s.number(m[2])
		if m[3] == "" {
			continue
		}
		e := exemplar{series: m[1], value: s.number(m[4])}
		for _, pair := range exemplarPair.FindAllStringSubmatch(m[3], -1) {
			switch pair[1] {
			case "trace_id":
				e.traceID = pair[2]
			case "span_id":
				e.spanID = pair[2]
			}
		}
		if at := time.Unix(int64(s.number(m[5])), 0); time.Since(at) > time.Hour {
			s.t.Errorf("an exemplar of %s: %s", at, line)
		}
		out.exemplars = append(out.exemplars, e)
	}
	return out
}

func (s *space) number(text string) float64 {
	s.t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

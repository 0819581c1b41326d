package causality_test

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// counterparts are the links that have one on the other side.
var counterparts = map[string]string{
	"supersedes": "superseded_by", "superseded_by": "supersedes",
	"causes": "caused_by", "caused_by": "causes",
}

// oneWay reports whether the other side of a link was told before this one was
// known to come, or when it was not certain that it would be told.
func oneWay(from spans.Span, kind string, to spans.Span) bool {
	switch {
	case from.Name == "Container restart":
		return true // of a container that restarts all the time only some are told
	case kind == "caused_by" && from.Name != "Pod replacement" && to.Name != "CronJob schedule":
		return true // the stop of a pod that was lost in an open change, which has other reasons to be
	case to.Name == "Node disruption":
		// What is lost later is not waited for.
		return from.Start.After(to.End.Add(linkTail)) || value(to, "rollspan.outcome").AsString() == "open"
	}
	return false
}

// linkTail is the longest time after a disruption for which pods that are lost
// count for it.
const linkTail = 15 * time.Second

func TestLinksLeadBothWays(t *testing.T) {
	seen := map[string]int{}
	law := func(t *testing.T, obs []causality.Observation) {
		traces := replay(obs)
		linked := map[[2]trace.TraceID]map[string]bool{}
		for _, s := range allSpans(traces) {
			for _, l := range s.Links {
				key := [2]trace.TraceID{s.TraceID, l.TraceID}
				if linked[key] == nil {
					linked[key] = map[string]bool{}
				}
				linked[key][linkKind(l)] = true
			}
		}
		known := map[trace.TraceID]spans.Span{}
		for _, root := range roots(traces) {
			known[root.TraceID] = root
		}
		for key, kinds := range linked {
			from, to := known[key[0]], known[key[1]]
			for kind := range kinds {
				back := counterparts[kind]
				if back == "" || to.Name == "" || oneWay(from, kind, to) {
					continue
				}
				seen[kind]++
				if !linked[[2]trace.TraceID{key[1], key[0]}][back] {
					t.Errorf("%s %s -> %s %s %s, which has no link %s", from.Name, from.Subject, kind, to.Name, to.Subject, back)
				}
			}
		}
	}
	forEachRecording(t, law)
	forEachScenario(t, law)
	for kind := range counterparts {
		if seen[kind] == 0 {
			t.Errorf("there is no link %s anywhere: nothing was tested", kind)
		}
	}
}

func linkKind(l spans.Link) string { return textOf(l.Attributes, "rollspan.link.type") }

// TestLawSpansSayWhatTheirLinksMean: for each meaning of its links a span says where the
// first of them leads, and nothing else.
func TestLawSpansSayWhatTheirLinksMean(t *testing.T) {
	seen := map[string]int{}
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		for _, s := range allSpans(replay(obs)) {
			want := map[string]string{}
			for _, l := range s.Links {
				key := "rollspan.link." + linkKind(l)
				if _, has := want[key+".trace_id"]; !has {
					want[key+".trace_id"], want[key+".span_id"] = l.TraceID.String(), l.SpanID.String()
				}
				seen[linkKind(l)]++
			}
			for _, kv := range s.Attributes {
				if !strings.HasPrefix(string(kv.Key), "rollspan.link.") {
					continue
				}
				if kv.Value.AsString() != want[string(kv.Key)] || kv.Value.AsString() == "" {
					t.Errorf("%s %s has %s %q, want %q", s.Name, s.Subject, kv.Key, kv.Value.AsString(), want[string(kv.Key)])
				}
				delete(want, string(kv.Key))
			}
			for key := range want {
				t.Errorf("%s %s lacks %s", s.Name, s.Subject, key)
			}
		}
	})
	if len(seen) != 8 {
		t.Errorf("the links mean %v: not all meanings were tested", seen)
	}
}

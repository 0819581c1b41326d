package causality_test

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// TestRedactedTellsTheSame replays what rollspan record would have made of every
// recording and scenario. With termination messages the spans are the very same;
// without them only those texts differ. So a recording that is given to others
// shows what its cluster's own traces show, and the engine reads nothing that is
// not recorded.
func TestRedactedTellsTheSame(t *testing.T) {
	replaced := 0
	check := func(t *testing.T, obs []causality.Observation) {
		for i := range obs {
			obs[i].Time = obs[i].Time.UTC()
		}
		want := replay(whole(t, obs))
		if got := replay(redacted(t, obs, watcher.NewRedactor("termination-messages"))); !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%s\nwant\n%s", tree(t, got), tree(t, want))
		}
		got := allSpans(replay(redacted(t, obs, watcher.NewRedactor())))
		for i, s := range allSpans(want) {
			if i >= len(got) || got[i].SpanID != s.SpanID || got[i].ParentID != s.ParentID || !got[i].Start.Equal(s.Start) || !got[i].End.Equal(s.End) {
				t.Fatalf("span %d of %d is not %s %s", i, len(got), s.Name, s.Subject)
			}
			a, b := texts(&s), texts(&got[i])
			for j := range a {
				if j >= len(b) || a[j] != b[j] && !matches(b[j], a[j]) {
					t.Errorf("%s %s says %q instead of %q", s.Name, s.Subject, b[j:min(j+1, len(b))], a[j])
				} else if a[j] != b[j] {
					replaced++
				}
			}
		}
	}
	forEachRecording(t, check)
	forEachScenario(t, check)
	if replaced == 0 {
		t.Error("no termination message is told anywhere: nobody looked at one")
	}
}

var token = regexp.MustCompile(`redacted:[0-9a-f]{8}`)

// matches reports whether a text is another one of which parts were replaced.
func matches(text, original string) bool {
	parts := token.Split(text, -1)
	if len(parts) < 2 {
		return false
	}
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".+") + `$`).MatchString(original)
}

// whole is what comes of observations that are recorded as they are.
func whole(t *testing.T, obs []causality.Observation) []causality.Observation {
	return rerecorded(t, obs, func(map[string]any) {})
}

func redacted(t *testing.T, obs []causality.Observation, r *watcher.Redactor) []causality.Observation {
	return rerecorded(t, obs, r.Object)
}

// rerecorded writes a recording and reads it again. Every line must be sound.
func rerecorded(t *testing.T, obs []causality.Observation, redact func(map[string]any)) []causality.Observation {
	t.Helper()
	var lines strings.Builder
	var out []causality.Observation
	for _, o := range obs {
		if m, ok := o.Object.(metav1.Object); !ok || m.GetName() == "" && m.GetUID() == "" {
			continue // no API server has such an object
		}
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		object = runtime.DeepCopyJSON(object)
		if object["apiVersion"] == nil { // scenarios leave it out
			object["apiVersion"] = "example.com/v1"
			if kinds, _, err := scheme.Scheme.ObjectKinds(o.Object); err == nil {
				object["apiVersion"], object["kind"] = kinds[0].ToAPIVersionAndKind()
			}
		}
		redact(object)
		b, err := json.Marshal(map[string]any{"time": o.Time.Format(time.RFC3339Nano), "type": o.Type, "initial": o.Initial, "object": object})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(b, '\n'))
	}
	for r := watcher.NewRecordingReader(strings.NewReader(lines.String()), "recording"); ; {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("the recording is damaged: %v", err)
		}
		out = append(out, o)
	}
}

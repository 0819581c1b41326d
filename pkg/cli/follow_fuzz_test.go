package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/internal/replaytest"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// followable are workloads of recordings.
var followable = []struct {
	recording string
	progress.Target
}{
	{"image-pull-backoff-deadline-then-fixed", progress.Target{Kind: "Deployment", Namespace: "badimage", Name: "api"}},
	{"rolling-update-undo-scale-restart", progress.Target{Kind: "Deployment", Namespace: "rolling", Name: "web"}},
	{"crash-loop", progress.Target{Kind: "Deployment", Namespace: "crash", Name: "worker"}},
	{"statefulset-rolling-update", progress.Target{Kind: "StatefulSet", Namespace: "sts", Name: "db"}},
	{"jobs-and-cronjob", progress.Target{Kind: "Job", Namespace: "jobs", Name: "tick-29920834"}},
	{"argo-rollouts-canary-and-blue-green", progress.Target{Kind: "Rollout", Namespace: "argo", Name: "can"}},
	{"argo-rollouts-canary-and-blue-green", progress.Target{Kind: "Rollout", Namespace: "argo", Name: "bg"}},
}

// linesOfRecording are those of a recording, read once.
var linesOfRecording = func() func(string) [][]byte {
	var mu sync.Mutex
	known := map[string][][]byte{}
	return func(name string) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		if known[name] == nil {
			content, err := os.ReadFile(filepath.Join(recordings, name+".jsonl"))
			if err != nil {
				panic(err)
			}
			known[name] = bytes.Split(bytes.TrimSpace(content), []byte("\n"))
		}
		return known[name]
	}
}()

// The values that nobody would write.
var (
	oddNumbers = []any{int64(0), int64(-1), int64(1), int64(1) << 31, int64(-1) << 31, int64(1)<<31 - 1, int64(1) << 62, int64(5)}
	oddTexts   = []string{
		"", hostile, strings.Repeat("n", 253), strings.Repeat("\u202e\x1b[2J", 60), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2200-01-01T00:00:00Z",
		"True", "False", "ProgressDeadlineExceeded", "CrashLoopBackOff", "ErrImagePull", "Healthy", "Degraded", "Paused",
	}
)

// mutate changes one thing of an object's JSON, anywhere but in what says of which object it is:
// then it would be another one, and not this one damaged.
func mutate(r *rand.Rand, v any, depth int) {
	switch in := v.(type) {
	case map[string]any:
		keys := slices.Sorted(mapsKeys(in))
		keys = slices.DeleteFunc(keys, func(k string) bool {
			return slices.Contains([]string{"apiVersion", "kind", "name", "namespace", "uid", "resourceVersion", "managedFields"}, k)
		})
		if len(keys) == 0 {
			return
		}
		key := keys[r.IntN(len(keys))]
		if value, changed := odd(r, in[key], depth); changed {
			in[key] = value
		} else if r.IntN(4) == 0 {
			delete(in, key)
		}
	case []any:
		if len(in) > 0 {
			i := r.IntN(len(in))
			if value, changed := odd(r, in[i], depth); changed {
				in[i] = value
			}
		}
	}
}

func mapsKeys(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// odd is another value in the place of one, or that one changed within, or doubled.
func odd(r *rand.Rand, v any, depth int) (any, bool) {
	switch in := v.(type) {
	case map[string]any:
		if depth < 8 {
			mutate(r, in, depth+1)
		}
		return in, true
	case []any:
		if len(in) > 0 && r.IntN(3) == 0 {
			return append(in, in[r.IntN(len(in))]), true // a condition twice
		}
		mutate(r, in, depth+1)
		return in, true
	case bool:
		return !in, true
	case string:
		return oddTexts[r.IntN(len(oddTexts))], true
	case nil:
		return v, false
	}
	return oddNumbers[r.IntN(len(oddNumbers))], true
}

// observed is a line of a recording as it is observed; nil of one that cannot be read.
func observed(line []byte) *causality.Observation {
	o, err := watcher.NewRecordingReader(bytes.NewReader(line), "fuzz").Next()
	if o.Object == nil || err != nil {
		return nil
	}
	if o.Object.GetObjectKind().GroupVersionKind().Kind == "Rollout" { // of which all is read
		var event struct {
			Object map[string]any `json:"object"`
		}
		if utiljson.Unmarshal(line, &event) != nil {
			return nil
		}
		o.Object = &unstructured.Unstructured{Object: event.Object}
	}
	return &o
}

// controls are what the screen itself moves the cursor by.
var controls = regexp.MustCompile(`\x1b\[\d+A\r|\x1b\[J|\x1b\[\?7[lh]`)

const (
	fuzzColumns = 60
	fuzzLines   = 20
)

// FuzzStatus follows workloads of recordings that are damaged in ways that no API server would: a
// seed says where. Nothing panics, nothing that others wrote gets through to the terminal, no line
// is wider than that and no picture higher, and it ends only as the objects say.
func FuzzStatus(f *testing.F) {
	for seed := range uint64(14) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 8)) //nolint:gosec // it has to be the same again
		of := followable[seed%uint64(len(followable))]
		lines := linesOfRecording(of.recording)
		name := of.Name
		if r.IntN(3) == 0 { // the name is part of those of its pods, too
			name = []string{strings.Repeat("n", 240), "web\x1b[2J", "名前名前名前"}[r.IntN(3)]
			quoted, _ := json.Marshal(name)
			lines = slices.Clone(lines)
			for i := range lines {
				lines[i] = bytes.ReplaceAll(lines[i], []byte(`"`+of.Name), quoted[:len(quoted)-1])
			}
		}
		target := progress.Target{Kind: of.Kind, Namespace: of.Namespace, Name: name}
		followDamaged(t, r, target, lines)
	})
}

// followDamaged follows a target, at a terminal or not.
func followDamaged(t *testing.T, r *rand.Rand, target progress.Target, lines [][]byte) {
	t.Helper()
	var out bytes.Buffer
	format, atTerminal := formatTable, r.IntN(3) > 0
	f := &following{app: &app{Streams: Streams{Out: &out}, screen: &out, atTerminal: atTerminal, log: slog.New(slog.DiscardHandler)}, format: &format}
	view := f.newView()
	if view.screen != nil {
		view.screen.size = func() (int, int) { return fuzzColumns, fuzzLines }
	}
	faults := 0
	engine := causality.New(causality.Options{OnFault: func(causality.Fault) { faults++ }})
	w := &followedRollout{tracker: progress.New(target, engine, r.IntN(2) == 0), view: view, last: progress.State{Target: target, Outcome: progress.Open}}
	begins, states, begun := 1+r.IntN(12), 0, false
	var cluster replaytest.Cluster
	first, last := runtime.Object(nil), causality.Observation{}
	for _, line := range lines {
		if r.IntN(3) == 0 {
			var event map[string]any
			if utiljson.Unmarshal(line, &event) == nil {
				for range 1 + r.IntN(3) {
					mutate(r, event["object"], 0)
				}
				line, _ = json.Marshal(event)
			}
		}
		o := observed(line)
		if o == nil {
			continue
		}
		m := o.Object.(metav1.Object) // all that a recording has is one
		ours := m.GetName() == target.Name && m.GetNamespace() == target.Namespace && o.Object.GetObjectKind().GroupVersionKind().Kind == target.Kind
		if ours {
			last = *o
			states++
		}
		over := false
		switch {
		case begun && r.IntN(20) == 0:
			w.Tick(o.Time, &watcher.Behind{Why: hostile, Since: o.Time})
			over = w.Observe(*o)
		case begun:
			if over = w.Observe(*o); !over {
				over = w.Tick(o.Time, nil)
			}
		default:
			cluster.Take(o.Type, o.Object)
			if o.Type == watch.Deleted || !ours || states < begins {
				continue
			}
			begun, first = true, o.Object
			if w.Begin(cluster.Objects(), o.Time) != nil {
				return
			}
			over = w.Tick(o.Time, nil)
		}
		checkShown(t, view, &out)
		if over {
			checkEnd(t, &w.last, first, last)
			if err := view.end(&w.last, 0); err != nil {
				t.Fatal(err)
			}
			inertShown(t, out.String())
			if _, err := json.Marshal(followedJSON(&w.last, 0)); err != nil {
				t.Error(err)
			}
			return
		}
	}
}

// checkShown looks at what was shown since it was last looked at.
func checkShown(t *testing.T, view *view, out *bytes.Buffer) {
	t.Helper()
	text := out.String()
	out.Reset()
	inertShown(t, text)
	if view.screen == nil {
		return
	}
	if n := len(view.screen.drawn); n > fuzzLines-1 {
		t.Errorf("the picture has %d lines", n)
	}
	for line := range strings.Lines(controls.ReplaceAllString(text, "")) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > fuzzColumns {
			t.Errorf("a line has %d characters: %q", n, line)
		}
	}
}

func inertShown(t *testing.T, text string) {
	t.Helper()
	if err := inert(controls.ReplaceAllString(text, "")); err != nil {
		t.Error(err)
	}
}

// field is a value of an object's JSON, by the names of fields; nil without any.
func field(t *testing.T, object runtime.Object, path ...string) any {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := utiljson.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	for _, name := range path {
		in, _ := v.(map[string]any)
		v = in[name]
	}
	return v
}

// checkEnd holds how it ended against the last state of the workload, read once more.
func checkEnd(t *testing.T, s *progress.State, first runtime.Object, last causality.Observation) {
	t.Helper()
	number := func(path ...string) int64 { n, _ := field(t, last.Object, path...).(int64); return n }
	status := fmt.Sprint(field(t, last.Object, "status"))
	kind, gone := s.Target.Kind, last.Type == watch.Deleted || field(t, last.Object, "metadata", "deletionTimestamp") != nil
	var said bool
	switch s.Outcome {
	case progress.Deleted:
		said = gone
	case progress.Superseded:
		said = !equalJSON(field(t, first, "spec", "template"), field(t, last.Object, "spec", "template")) || kind == "Rollout"
	case progress.Failed:
		said = map[string]bool{"Deployment": strings.Contains(status, "ProgressDeadlineExceeded"), "Job": strings.Contains(status, "Failed"), "Rollout": strings.Contains(status, "Degraded")}[kind] ||
			strings.Contains(s.Message, "OnDelete")
	case progress.Complete:
		said = !gone && map[string]bool{
			"Deployment":  number("status", "observedGeneration") >= number("metadata", "generation") && number("status", "updatedReplicas") >= number("spec", "replicas"),
			"StatefulSet": number("status", "observedGeneration") >= number("metadata", "generation") && number("status", "readyReplicas") >= number("spec", "replicas"),
			"Job":         strings.Contains(status, "Complete"), "Rollout": strings.Contains(status, "Healthy"),
		}[kind]
	case progress.Doomed:
		said = s.Reason != "" && s.Message != ""
	}
	if !said {
		t.Errorf("it is %s (%s), and the workload says %s", s.Outcome, s.Message, status)
	}
}

func equalJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// A rollout of ten thousand pods is followed, in a picture that fits, though none of them gets its
// image and every one says so.
func TestStatusOfManyPods(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	var out bytes.Buffer
	w, d, noon := followed(t, &out, true)
	w.view.screen.size = func() (int, int) { return fuzzColumns, fuzzLines }
	const pods = 10_000
	d.Spec.Replicas = new(int32(pods))
	objects := []runtime.Object{d, setOf(d)}
	podOf := func(i int) *corev1.Pod {
		return &corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: fmt.Sprint("web-1-", i), UID: types.UID(fmt.Sprint("p", i)), ResourceVersion: fmt.Sprint(100_001 + i), CreationTimestamp: metav1.NewTime(noon),
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-1", UID: "s", Controller: new(true)}},
			},
			Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
				Name: "web", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: hostile}},
			}}},
		}
	}
	for i := range pods {
		objects = append(objects, podOf(i))
	}
	engine := causality.New(causality.Options{})
	target := progress.Target{Kind: "Deployment", Namespace: "shop", Name: "web"}
	w.tracker = progress.New(target, engine, true)
	if err := w.Begin(objects, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w.Tick(noon.Add(time.Minute), nil)
	for i := range pods {
		pull := &corev1.Event{
			TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
			ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("e", i), UID: types.UID(fmt.Sprint("e", i)), ResourceVersion: fmt.Sprint(200_000 + i)},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: fmt.Sprint("web-1-", i), UID: types.UID(fmt.Sprint("p", i)), FieldPath: "spec.containers{web}"},
			Reason:         "Failed", Message: `Failed to pull image "web:1": manifest unknown`, Count: 2, LastTimestamp: metav1.NewTime(noon.Add(time.Minute)),
		}
		if w.Observe(causality.Observation{Time: noon.Add(61 * time.Second), Type: watch.Added, Object: pull}) {
			t.Fatalf("after two pulls each it is %+v", w.last)
		}
	}
	w.Tick(noon.Add(62*time.Second), nil)
	checkShown(t, w.view, &out)
	if w.last.Outcome != progress.Open || w.last.Change == nil {
		t.Errorf("it is %s, with the change %v", w.last.Outcome, w.last.Change)
	}
}

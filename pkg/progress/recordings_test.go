package progress_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/internal/replaytest"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/watcher"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

// followed are workloads of recordings, and from which of their states on each is followed.
var followed = []struct {
	recording string
	target    progress.Target
	from      int
}{
	{"slow-image-pull", progress.Target{Kind: "Deployment", Namespace: "bigpull", Name: "big"}, 1},
	{"rolling-update-undo-scale-restart", progress.Target{Kind: "Deployment", Namespace: "rolling", Name: "web"}, 8},
	{"image-pull-backoff-deadline-then-fixed", progress.Target{Kind: "Deployment", Namespace: "badimage", Name: "api"}, 11},
	{"superseded-rollouts", progress.Target{Kind: "Deployment", Namespace: "supersede", Name: "fast"}, 1},
	{"statefulset-rolling-update", progress.Target{Kind: "StatefulSet", Namespace: "sts", Name: "db"}, 9},
	{"missing-configmap-then-created", progress.Target{Kind: "Deployment", Namespace: "mount", Name: "cfg"}, 1},
	{"quota-exceeded-then-lifted", progress.Target{Kind: "Deployment", Namespace: "quota", Name: "many"}, 1},
	{"crash-loop", progress.Target{Kind: "Deployment", Namespace: "crash", Name: "worker"}, 1},
	{"jobs-and-cronjob", progress.Target{Kind: "Job", Namespace: "jobs", Name: "bad"}, 1},
	{"jobs-and-cronjob", progress.Target{Kind: "Job", Namespace: "jobs", Name: "tick-29920834"}, 1},
	{"argo-rollouts-canary-and-blue-green", progress.Target{Kind: "Rollout", Namespace: "argo", Name: "can"}, 1},
	{"argo-rollouts-canary-and-blue-green", progress.Target{Kind: "Rollout", Namespace: "argo", Name: "can"}, 11},
	{"argo-rollouts-canary-and-blue-green", progress.Target{Kind: "Rollout", Namespace: "argo", Name: "can"}, 42},
	{"argo-rollouts-canary-and-blue-green", progress.Target{Kind: "Rollout", Namespace: "argo", Name: "can"}, 48},
	{"argo-rollouts-canary-and-blue-green", progress.Target{Kind: "Rollout", Namespace: "argo", Name: "bg"}, 9},
}

// TestRecordings follows rollouts of recordings as a pipeline would see them: a line whenever
// something else is waited for, and how it ended. With --fail-fast none of them ends otherwise
// that completed.
func TestRecordings(t *testing.T) {
	used := map[string]bool{}
	for _, f := range followed {
		name := f.recording
		if used[name] {
			name = fmt.Sprintf("%s-%s-%d", name, f.target.Name, f.from)
		}
		used[f.recording] = true
		t.Run(name, func(t *testing.T) {
			got := follow(t, f.recording, f.target, f.from)
			file := filepath.Join("testdata", name+".txt")
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("it says\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// withStatus is a Rollout as it is in a line of a recording: replays see its metadata only.
func withStatus(t *testing.T, o runtime.Object, line []byte) runtime.Object {
	t.Helper()
	if o.GetObjectKind().GroupVersionKind().Kind != "Rollout" {
		return o
	}
	var event struct {
		Object map[string]any `json:"object"`
	}
	if err := utiljson.Unmarshal(line, &event); err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: event.Object}
}

// follow tells what is said of a workload from one of its states on.
func follow(t *testing.T, recording string, target progress.Target, from int) string {
	t.Helper()
	whole, err := os.ReadFile(filepath.Join("../../test/recordings", recording+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(whole, []byte("\n"))
	tracker := progress.New(target, causality.New(causality.Options{}), true)
	var cluster replaytest.Cluster
	var b strings.Builder
	var began time.Time
	said, compared, states := "", false, 0
	say := func(now time.Time) (last bool) {
		s := tracker.At(now)
		line := s.Waiting()
		if s.Outcome != progress.Open {
			line = s.Result()
		} else if p := s.Prospect(); p != "" && !compared {
			compared = true
			fmt.Fprintf(&b, "%+8.3fs %s\n", now.Sub(began).Seconds(), p)
		}
		if line != said {
			said = line
			fmt.Fprintf(&b, "%+8.3fs %s\n", now.Sub(began).Seconds(), line)
		}
		return s.Outcome != progress.Open
	}
	for r := watcher.NewRecordingReader(bytes.NewReader(whole), recording); ; {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		o.Object = withStatus(t, o.Object, lines[r.Line()-1])
		m := o.Object.(metav1.Object)
		if began.IsZero() {
			cluster.Take(o.Type, o.Object)
			if o.Object.GetObjectKind().GroupVersionKind().Kind == target.Kind && m.GetName() == target.Name {
				states++
			}
			if states < from {
				continue
			}
			began = o.Time
			if err := tracker.Begin(cluster.Objects(), time.Hour, began); err != nil {
				t.Fatal(err)
			}
		} else {
			tracker.Observe(o)
		}
		if say(o.Time) {
			return b.String()
		}
	}
}

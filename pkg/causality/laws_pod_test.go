package causality_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality"
)

// forEachStory runs a test over all recordings, and over the scenarios that are
// one stream from their beginning to their end: those have what no recording
// has.
func forEachStory(t *testing.T, test func(t *testing.T, obs []causality.Observation)) {
	forEachRecording(t, test)
	forEachWholeScenario(t, test)
}

// forEachWholeScenario runs a test over those.
func forEachWholeScenario(t *testing.T, test func(t *testing.T, obs []causality.Observation)) {
	datadriven.Walk(t, filepath.Join("testdata", "scenarios"), func(t *testing.T, path string) {
		w := newWorld()
		var obs []causality.Observation
		whole := true
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "observe":
				for line := range strings.Lines(d.Input) {
					o, err := w.observation(strings.TrimSpace(line))
					if err != nil {
						d.Fatalf(t, "%q: %v", line, err)
					}
					obs = append(obs, o)
				}
			case "flush":
			default:
				whole = false
			}
			return d.Expected
		})
		if whole {
			test(t, obs)
		}
	})
}

// exit is the bad end of a run, as a pod's status states it.
type exit struct {
	pod       types.UID
	container string
	code      int32
	finished  time.Time
	// ordered says that the kubelet ended the run, which did nothing wrong, to
	// start the container anew.
	ordered bool
	// halted says that the kubelet said it stopped all of the pod.
	halted bool
}

// podEnd is what the stream says of when a pod was to stop.
type podEnd struct {
	asked  time.Time // for its deletion
	failed time.Time // as a whole: evicted, turned away
	ready  time.Time // for the first time
	isMain map[string]bool
	lasted map[string]time.Time // until when a main container ran
}

// badExits reads the ends of runs with a code other than 0, each once, and what
// is known of when their pods were to stop.
func badExits(obs []causality.Observation) (map[string]exit, map[types.UID]*podEnd) {
	exits := map[string]exit{}
	ends := map[types.UID]*podEnd{}
	for _, o := range obs {
		p, ok := o.Object.(*corev1.Pod)
		if !ok || p.UID == "" {
			continue
		}
		end := ends[p.UID]
		if end == nil {
			end = &podEnd{isMain: map[string]bool{}, lasted: map[string]time.Time{}}
			ends[p.UID] = end
		}
		for _, c := range p.Spec.Containers {
			end.isMain[c.Name] = true
		}
		if g := p.DeletionGracePeriodSeconds; p.DeletionTimestamp != nil && g != nil && end.asked.IsZero() {
			end.asked = p.DeletionTimestamp.Add(-time.Duration(*g) * time.Second)
		}
		if p.Status.Phase == corev1.PodFailed && p.Status.Reason != "" && end.failed.IsZero() {
			end.failed = o.Time
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && end.ready.IsZero() {
				end.ready = c.LastTransitionTime.Time
			}
		}
		for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for _, s := range statuses {
				for _, state := range []corev1.ContainerState{s.State, s.LastTerminationState} {
					t := state.Terminated
					if t == nil || t.ContainerID == "" {
						continue
					}
					if end.isMain[s.Name] {
						end.lasted[s.Name] = t.FinishedAt.Time
					}
					if t.ExitCode != 0 {
						exits[string(p.UID)+s.Name+t.ContainerID] = exit{p.UID, s.Name, t.ExitCode, t.FinishedAt.Time, false, false}
					}
				}
			}
		}
	}
	return exits, ends
}

// stopped reports whether a run ended because its pod was to stop: it was
// deleted or evicted, or it is a sidecar of containers that were done.
func (e *podEnd) stopped(x exit) bool {
	if !e.asked.IsZero() && !x.finished.Before(e.asked.Truncate(time.Second)) || !e.failed.IsZero() {
		return true
	}
	// The clocks of the node and the API server may be some seconds apart.
	if x.halted && !e.asked.IsZero() && x.finished.After(e.asked.Add(-10*time.Second)) {
		return true
	}
	if e.isMain[x.container] || len(e.lasted) < len(e.isMain) {
		return false
	}
	for _, at := range e.lasted {
		if at.After(x.finished) {
			return false
		}
	}
	return true
}

// A run that ends badly, and was not asked to end, is an error with its exit
// code: part of its pod's start, or the restart that follows.
func TestLawEveryBadExitIsAnErrorOnce(t *testing.T) {
	type key struct {
		pod       types.UID
		container string
		code      int64
	}
	checked := 0
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		told, unmoved := map[key]int{}, map[key]string{}
		starts := map[types.UID][2]time.Time{}
		for _, s := range allSpans(replay(obs)) {
			uid := types.UID(value(s, semconv.K8SPodUIDKey).AsString())
			switch s.Name {
			case "Pod start", "Pod run":
				starts[uid] = [2]time.Time{s.Start, s.End}
			case "run container", "start container", "Container restart":
				code := value(s, semconv.ProcessExitCodeKey).AsInt64()
				if k := (key{uid, value(s, semconv.K8SContainerNameKey).AsString(), code}); code != 0 && s.Status != codes.Error {
					unmoved[k] = s.Name
				}
				if s.Status == codes.Error && code != 0 {
					// Restarts that were too many to tell are counted on the next that
					// is told; in the stories they all have its exit code.
					told[key{uid, value(s, semconv.K8SContainerNameKey).AsString(), code}] +=
						1 + int(value(s, "rollspan.restarts.left_out").AsInt64())
				}
			}
		}
		want, calm := map[key]int{}, map[key]bool{}
		exits, ends := badExits(obs)
		addVanished(obs, exits)
		noteOrdered(obs, exits)
		for _, x := range exits {
			start, ok := starts[x.pod]
			inStart := ok && !x.finished.After(start[1])
			ready := ends[x.pod].ready
			if x.ordered {
				calm[key{x.pod, x.container, int64(x.code)}] = true
				continue
			}
			if ends[x.pod].stopped(x) || !inStart && (ready.IsZero() || x.finished.Before(ready)) {
				continue
			}
			want[key{x.pod, x.container, int64(x.code)}]++
			checked++
		}
		for k, name := range unmoved {
			if !calm[k] {
				t.Errorf("%s of container %s of pod %s has exit code %d and is no error", name, k.container, k.pod, k.code)
			}
		}
		for k, n := range want {
			if told[k] != n {
				t.Errorf("container %s of pod %s ended with code %d %d times, %d spans say so", k.container, k.pod, k.code, n, told[k])
			}
		}
	})
	if checked == 0 {
		t.Error("nothing ended badly: the law was not put to the test")
	}
}

// What holds of recordings for any interleaving holds of claims, sidecars and
// the rest, too.
func TestSameSpansForAnyInterleavingOfScenarios(t *testing.T) {
	forEachWholeScenario(t, sameForAnyInterleaving)
}

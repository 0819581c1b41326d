package causality_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
)

// isBeforeItsController reports whether a workload was written and its controller has not seen
// that yet, for milliseconds: the number of the revision is still that of the one before.
func isBeforeItsController(objects []runtime.Object) bool {
	return isHalfWritten(objects) || slices.ContainsFunc(objects, func(o runtime.Object) bool {
		switch in := o.(type) {
		case *appsv1.Deployment:
			return in.Status.ObservedGeneration < in.Generation
		case *appsv1.StatefulSet:
			return in.Status.ObservedGeneration < in.Generation
		case *appsv1.DaemonSet:
			return in.Status.ObservedGeneration < in.Generation
		case *batchv1.Job: // it is resumed, and its status says that it is suspended
			c := workloads.JobCondition(in, batchv1.JobSuspended)
			return c != nil && c.Status == corev1.ConditionTrue && (in.Spec.Suspend == nil || !*in.Spec.Suspend)
		}
		return false
	})
}

// firstLists say how the lists come that a watch begins with: those of different kinds in any order,
// and within the settle period at times of their own, the objects of each in any order, with the Events
// of the last hour or without any.
type firstLists struct {
	seed   uint64
	apart  time.Duration // at most
	events bool
}

// begunWith is what a watch sees that begins at observation n of a stream, and whose first lists come so.
// Each has what is there at its own time, and what happens to its kind later is news.
func begunWith(obs []causality.Observation, n int, how firstLists) []causality.Observation {
	random := rand.New(rand.NewPCG(how.seed, uint64(n))) //nolint:gosec // not for secrets
	of := map[string][]causality.Observation{}
	for _, o := range obs {
		of[kindOf(o)] = append(of[kindOf(o)], o)
	}
	kinds := slices.Sorted(maps.Keys(of))
	random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	var out []causality.Observation
	for _, kind := range kinds {
		at, all := obs[n].Time, of[kind]
		if how.apart > 0 {
			at = at.Add(time.Duration(random.Int64N(int64(how.apart))))
		}
		m := slices.IndexFunc(all, func(o causality.Observation) bool { return !o.Time.Before(at) })
		if m < 0 {
			m = len(all)
		}
		there := existing(slices.Concat(all[:m], []causality.Observation{{Time: at}}), m)
		random.Shuffle(len(there), func(i, j int) { there[i], there[j] = there[j], there[i] })
		for _, o := range there {
			if kind == "Event" && (!how.events || latestNewsOf(o, all[:m]).Before(at.Add(-time.Hour))) {
				continue
			}
			o.Initial = true
			out = append(out, o)
		}
		out = append(out, all[m:]...)
	}
	slices.SortStableFunc(out, func(a, b causality.Observation) int { return a.Time.Compare(b.Time) })
	return out
}

// latestNewsOf is when the latest news came of an object.
func latestNewsOf(o causality.Observation, obs []causality.Observation) (at time.Time) {
	for _, other := range obs {
		if identity(other) == identity(o) {
			at = other.Time
		}
	}
	return at
}

// TestLawTheWatchBeginsInTheMiddle has the watch begin anywhere in a recording, with first lists that
// come in any order and not at once, and holds what is told against what the whole stream tells: every
// span has its counterpart, by its ID or else by kind and object, both of its boundaries are within the
// precision that it states, or else the API's seconds, and it is no longer than that allows. Each root has
// the outcome that the whole stream tells, and none is missing that begins after the lists. Where the first
// list has no Events, what only they showed the beginning of may begin later.
//
// What stays out, and why: tries of containers and steps of ReplicaSets from before the lists, which have
// the last of them only.
func TestLawTheWatchBeginsInTheMiddle(t *testing.T) {
	told := 0
	for _, w := range streams() {
		if strings.HasSuffix(w.name, ".txt") {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				n := rapid.IntRange(1, len(w.obs)-1).Draw(t, "observations before the watch begins")
				told += w.holdCut(t, n, firstLists{
					seed:   rapid.Uint64().Draw(t, "order of the first lists"),
					apart:  time.Duration(rapid.IntRange(0, int(maxLag/time.Millisecond)).Draw(t, "milliseconds from the first list to the last")) * time.Millisecond,
					events: rapid.Bool().Draw(t, "the first list has Events"),
				})
			})
		})
	}
	if told < 100 {
		t.Errorf("only %d spans were held to the law", told)
	}
}

// TestLawTheWatchBeginsInTheMiddleOfAScenario has the watch begin at each observation of each scenario,
// and holds what is told to the same law.
func TestLawTheWatchBeginsInTheMiddleOfAScenario(t *testing.T) {
	told := 0
	for _, w := range streams() {
		if !strings.HasSuffix(w.name, ".txt") || !w.isLikeDumps() {
			continue // only arrivals show that a clock is off, and a list has none
		}
		t.Run(w.name, func(t *testing.T) {
			for n := 1; n < len(w.obs); n++ {
				told += w.holdCut(but{t, n, unstated[w.name]}, n, firstLists{seed: 1, events: true})
				told += w.holdCut(but{t, n, slices.Concat(unstated[w.name], unheardOf[w.name])}, n, firstLists{seed: 1})
			}
		})
	}
	if told < 1000 {
		t.Errorf("only %d spans were held to the law", told)
	}
}

// but passes on what is said of a stream that begins at an observation, unless it is of a kind of span
// of which the stream's state lacks what a cluster's has, or of one that is new and below another: what a
// controller did in the place of what was there before, the list does not show.
type but struct {
	t        *testing.T
	observed int
	unstated []string
}

func (o but) Errorf(format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	_, what, _ := strings.Cut(said, " UTC: ")
	name, of, _ := strings.Cut(what, " of ")
	_, in, _ := strings.Cut(of, ", in ")
	if below := !strings.HasPrefix(in, name+" "); below && strings.HasSuffix(said, " was not") || slices.ContainsFunc(o.unstated, func(name string) bool { return strings.HasPrefix(what, name+" of ") }) {
		return
	}
	o.t.Errorf("begun at observation %d: %s", o.observed, said)
}

// unstated are the kinds of spans of scenarios of which nothing in a list shows what happened before
// it, and why.
var unstated = map[string][]string{
	// The kubelet dates the condition PodScheduled of a pod that was created with a node.
	"bound-by-its-creator.txt": {"schedule", "prepare sandbox"},
	// Of containers that have vanished the status has no run.
	"restarted-as-a-whole.txt": {"container"},
	// The pod has no grace period, which the API server gives each.
	"job-pod-deleted.txt": {"Pod run", "container"},
	// The Jobs have no startTime.
	"job-resumed-in-haste.txt":           {"Job run"},
	"job-of-cronjob-beside-schedule.txt": {"Job run"},
	// The times of the Node's conditions are rubbish.
	"node-rubbish.txt": {"Node disruption"},
	// What a Node is like that is a minute old may be what it began its life with.
	"node-young.txt": {"Node disruption"},
	// A revision that has had a rollout with that partition before; and as below.
	"statefulset-partition-raised.txt": {"StatefulSet rollout", "Pod replacement"},
	// The pod had been Ready before, or not: its start is over, or not.
	"old-pods-in-the-way-otherwise.txt": {"Container restart"},
	// Of which revision the pod is that is being deleted, its labels do not say.
	"statefulset-status-ahead.txt": {"Pod replacement"},
	// Of a rollout that was over nothing tells that another change has made the pods which are not ready yet, nor
	// who has written the template when.
	"scaled-while-other-pods-are-not-ready.txt": {"min ready wait", "Deployment rollout"},
	// Both of its revisions have the same number.
	"ready-and-not-for-long.txt": {"StatefulSet rollout"},
	// The pod that came between had gone.
	"lost-and-replaced-at-once.txt": {"Pod replacement"},
	// The Node had gone, and its pod was still there.
	"daemonset-nodes-tainted-and-gone.txt": {"Pod replacement"},
	// Whose it was before it was let go, the list does not say.
	"orphaned-and-made-again.txt": {"Pod delete"},
	"orphaned-replicaset.txt":     {"Pod replacement"},
	"released-and-taken-back.txt": {"Pod replacement"},
	// Their numbers were there before.
	"number-goes-back.txt":         {"Deployment rollout"},
	"number-of-argo-goes-back.txt": {"Rollout rollout", "ReplicaSet scale up"},
	// Whether the controller has made anything of the template yet.
	"recreate-scaled-to-none.txt": {"Deployment scale"},
}

// unheard are the tries that are held to the law where the first lists have no Events, whenever they began:
// what is told of them then is what the pod's state says.
var unheard = map[string]bool{"start container": true, "unschedulable": true}

// unheardOf are the kinds of spans of scenarios of which nothing but an Event that is not in the first
// list shows when they began, or that they were part of another.
var unheardOf = map[string][]string{
	// The static pod was stopped, and its containers were not restarted.
	"static-pod-changed.txt":           {"Pod stop", "Container restart"},
	"static-pod-changes-otherwise.txt": {"Pod stop", "stop container", "Container restart", "back off"},
	// The init container was started again, too.
	"restarts-that-pull.txt": {"init container"},
	// It was backed off twice.
	"status-comes-late.txt": {"back off"},
	// A node was chosen, and waited for its devices.
	"gates-and-devices.txt": {"unschedulable"},
}

// holdCut holds what is told of the stream from an observation on to the law.
func (w *watchedStream) holdCut(t interface{ Errorf(string, ...any) }, n int, how firstLists) (told int) {
	cut, end := begunWith(w.obs, n, how), w.obs[len(w.obs)-1].Time.Add(time.Second)
	listed := w.obs[n].Time.Add(how.apart)
	if !how.events {
		c := *w
		c.unheard, w = listed, &c
	}
	if isBeforeItsController(snapshotAt(w.obs[:n], w.obs[n-1].Time)) {
		return 0
	}
	var roots []spans.Span
	for _, tr := range replayWith(causality.Options{TraceContext: causality.TraceContextLink}, cut) {
		root := tr.Root()
		if root == nil || w.leavesOut[root.Subject] {
			continue
		}
		if isSupersededRollout(*root) {
			continue
		}
		tr.Spans = slices.DeleteFunc(slices.Clone(tr.Spans), func(s spans.Span) bool {
			return tries[s.Name] && !s.Start.After(listed) && (how.events || !unheard[s.Name])
		})
		told += w.hold(t, tr, end, end)
		roots = append(roots, *root)
	}
	w.holdRoots(t, n, listed, roots)
	return told
}

// isSupersededRollout reports whether a root is of a rollout of Argo Rollouts that was superseded: nothing
// of a Rollout that is read says whether its controller has seen a write.
func isSupersededRollout(root spans.Span) bool {
	return strings.HasPrefix(root.Subject, "rollout/") && attributeOf(root, "rollspan.outcome") == "superseded"
}

// isUntoldAbort reports whether a root is of a rollout of Argo Rollouts that was aborted before a list without
// Events: if it was tried again since, its ReplicaSets are as if it never had been.
func (w *watchedStream) isUntoldAbort(root spans.Span, listed time.Time) bool {
	return !w.unheard.IsZero() && strings.HasPrefix(root.Subject, "rollout/") && attributeOf(root, "rollspan.outcome") == "failed" && !root.End.After(listed)
}

// holdRoots holds that of what a watch tells that began later, each root has the outcome that the whole
// stream tells, and that none is missing which begins after the first lists.
func (w *watchedStream) holdRoots(t interface{ Errorf(string, ...any) }, n int, listed time.Time, told []spans.Span) {
	for _, parts := range w.parts {
		for _, seen := range parts {
			want := attributeOf(seen, "rollspan.outcome")
			if seen.ParentID.IsValid() || want == "" || isSupersededRollout(seen) || attributeOf(seen, "rollspan.change") == "activity" || w.leavesOut[seen.Subject] {
				continue
			}
			what := fmt.Sprintf("%s at %s UTC: %s of %s, in %s %s, from %s to %s", w.name, w.obs[n].Time.Format(time.TimeOnly), seen.Name, seen.Subject, seen.Name, seen.Subject, seen.Start, seen.End)
			i := slices.IndexFunc(told, func(s spans.Span) bool { return s.SpanID == seen.SpanID })
			if i < 0 {
				i = slices.IndexFunc(told, func(s spans.Span) bool {
					_, other := w.byID[s.SpanID.String()]
					return !other && s.Name == seen.Name && s.Subject == seen.Subject && s.Start.Sub(seen.Start).Abs() <= precision(s, "start")
				})
			}
			// A Deployment of a scenario states no progress, so that a rollout which was over looks open, and
			// a scale is a step of it.
			takenIn := strings.HasSuffix(w.name, ".txt") && slices.ContainsFunc(told, func(s spans.Span) bool {
				return s.Subject == seen.Subject && attributeOf(s, "rollspan.change") == "rollout" && !s.Start.After(seen.Start) && s.End.After(seen.Start)
			})
			switch {
			case i < 0 && !takenIn && seen.Start.After(listed.Add(time.Second)):
				t.Errorf("%s is not told", what)
			case i >= 0 && attributeOf(told[i], "rollspan.outcome") != want && !w.isUntoldAbort(seen, listed):
				t.Errorf("%s is %s, was %s", what, attributeOf(told[i], "rollspan.outcome"), want)
			}
		}
	}
}

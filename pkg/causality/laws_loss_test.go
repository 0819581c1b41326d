package causality_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// loss is what the stream says of a pod that went.
type loss struct {
	name      string
	owner     types.UID
	asked     time.Time // when the news came that it goes
	byControl bool      // its controller says that it deleted it
	evicted   bool      // somebody had it evicted
	// ownerGone is when what it belonged to was deleted, if it was.
	ownerGone time.Time
}

// controllerDeleted reads `Deleted pod: web-1-a` and, of StatefulSets, `delete
// Pod db-0 in StatefulSet db successful`.
var controllerDeleted = regexp.MustCompile(`(?i)^deleted? pod:? (\S+)`)

// losses reads the pods of workloads that were seen to be there, and then gone.
// Pods that are to end are not lost by it.
func losses(obs []causality.Observation) map[types.UID]*loss {
	there, gone := map[types.UID]*loss{}, map[types.UID]*loss{}
	deleted := map[string]bool{} // pods, by controllers that say so
	owners, ended := map[types.UID]types.UID{}, map[types.UID]time.Time{}
	for _, o := range obs {
		switch in := o.Object.(type) {
		case *corev1.Pod:
			notePod(o, in, there, gone)
		case *corev1.Event:
			if m := controllerDeleted.FindStringSubmatch(in.Message); m != nil && in.Reason == "SuccessfulDelete" {
				deleted[in.Namespace+"/"+m[1]] = true
			}
		case metav1.Object:
			if c := metav1.GetControllerOf(in); c != nil {
				owners[in.GetUID()] = c.UID
			}
			if _, known := ended[in.GetUID()]; !known && (in.GetDeletionTimestamp() != nil || o.Type == watch.Deleted) {
				ended[in.GetUID()] = o.Time
			}
		}
	}
	for _, l := range gone {
		l.byControl = deleted[l.name]
		for uid := l.owner; uid != ""; uid = owners[uid] {
			at, ok := ended[uid]
			switch {
			case !ok && owners[uid] == "":
				l.ownerGone = time.Time{} // a ReplicaSet alone is made anew
			case ok && (l.ownerGone.IsZero() || at.Before(l.ownerGone)):
				l.ownerGone = at
			}
		}
	}
	return gone
}

func notePod(o causality.Observation, in *corev1.Pod, there, gone map[types.UID]*loss) {
	owner := metav1.GetControllerOf(in)
	if owner == nil || owner.Kind == "Node" || in.Spec.RestartPolicy == corev1.RestartPolicyNever || in.Spec.RestartPolicy == corev1.RestartPolicyOnFailure {
		return // a mirror pod's node is no workload
	}
	l := there[in.UID]
	if l == nil {
		if o.Type == watch.Deleted || in.DeletionTimestamp != nil || in.Status.Phase == corev1.PodFailed {
			return // it was on its way already
		}
		l = &loss{name: in.Namespace + "/" + in.Name, owner: owner.UID}
		there[in.UID] = l
	}
	l.evicted = l.evicted || slices.ContainsFunc(in.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget })
	if l.asked.IsZero() && (in.DeletionTimestamp != nil || o.Type == watch.Deleted) {
		l.asked = o.Time
	}
	if o.Type == watch.Deleted {
		gone[in.UID] = l
	}
}

// Every pod of a workload that disappeared is told of once: by the rollout or the
// scale that made it superfluous, by the deletion of its workload, or by its
// replacement. The Events of the controllers say which, and are in all
// recordings; scenarios are sparing with them.
func TestLawEveryLostPodIsExplainedOnce(t *testing.T) {
	told := map[string]int{}
	check := func(said bool) func(*testing.T, []causality.Observation) {
		return func(t *testing.T, obs []causality.Observation) {
			changes := map[trace.TraceID]string{}
			stops := map[types.UID][]trace.TraceID{}
			for _, s := range allSpans(replay(obs)) {
				if change := value(s, "rollspan.change").AsString(); change != "" {
					changes[s.TraceID] = change
				}
				if s.Name == "Pod stop" {
					uid := types.UID(value(s, semconv.K8SPodUIDKey).AsString())
					stops[uid] = append(stops[uid], s.TraceID)
				}
			}
			for uid, l := range losses(obs) {
				if len(stops[uid]) != 1 {
					t.Errorf("pod %s is gone, and %d spans say so", l.name, len(stops[uid]))
					continue
				}
				change := changes[stops[uid][0]]
				told[change]++
				// The deletion of a namespace takes pods and workloads in any order.
				first := !l.ownerGone.IsZero() && !l.ownerGone.After(l.asked)
				if deleted := change == "delete"; first && !deleted || deleted && (l.ownerGone.IsZero() || l.ownerGone.Sub(l.asked) > time.Minute) {
					t.Errorf("%s of pod %s, which goes at %s, its workload at %s", change, l.name, l.asked, l.ownerGone)
				}
				// One that is evicted while a rollout is open is made up for in that.
				within := change == "rollout" && l.evicted
				if ordered := change == "rollout" || change == "scale"; said && ordered != l.byControl && !within {
					t.Errorf("%s of pod %s, and its controller says that it deleted it: %t", change, l.name, l.byControl)
				}
			}
		}
	}
	forEachRecording(t, check(true))
	forEachWholeScenario(t, check(false))
	for _, change := range []string{"rollout", "scale", "delete", "replacement"} {
		if told[change] == 0 {
			t.Errorf("no pod is gone by a %s: the law was not put to the test", change)
		}
		delete(told, change)
	}
	if len(told) > 0 {
		t.Errorf("pods are gone by something else: %v", told)
	}
}

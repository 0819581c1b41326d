package causality_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestLawTheControllerWasFree holds each piece of a critical path that is the controller's
// against the raw stream: by its beginning there was news after which the controller could
// act, and nothing that was seen in it was in the way.
func TestLawTheControllerWasFree(t *testing.T) {
	checked := 0
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		checked += controllersFree(t, obs, replay(obs))
	})
	if checked < 100 {
		t.Errorf("only %d pieces are the controller's: the law was not put to the test", checked)
	}
}

// TestLawTheControllerWasFreeInGeneratedStreams has it hold where any of the lines are lost,
// so that pods are known in part or not at all, and end in ways that no recording has.
func TestLawTheControllerWasFreeInGeneratedStreams(t *testing.T) {
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		rapid.Check(t, func(t *rapid.T) {
			lost := rapid.IntRange(0, 60).Draw(t, "percent of the lines that are lost")
			seed := rapid.Uint64().Draw(t, "seed")
			kept := make([]causality.Observation, 0, len(obs))
			for i, o := range obs {
				if int(mix(seed, uint64(i))%100) >= lost {
					kept = append(kept, o)
				}
			}
			controllersFree(t, kept, replay(kept))
		})
	})
}

// podView is what a stream shows of one pod.
type podView struct {
	owner    types.UID
	created  time.Time
	name     string
	states   []podViewState
	reported time.Time // when the API had it that the pod was Ready, or had finished, at first
}

type podViewState struct {
	arrived                time.Time
	ready, leaving, absent bool
	since                  time.Time // when it became ready, as it states
}

// at is the state that had arrived last by a time.
func (p *podView) at(t time.Time) (state podViewState, ok bool) {
	for _, s := range p.states {
		if !s.arrived.After(t) {
			state, ok = s, true
		}
	}
	return state, ok
}

// blocks reports whether the pod was there and not Ready all of a time, by what had arrived.
func (p *podView) blocks(from, until time.Time) bool {
	s, ok := p.at(from)
	if !ok || s.ready || s.leaving || s.absent {
		return false
	}
	return !slices.ContainsFunc(p.states, func(s podViewState) bool {
		// A state that was lost is known by what later ones state.
		return s.arrived.After(from) && (s.arrived.Before(until) && (s.ready || s.leaving || s.absent) || s.ready && s.since.Before(until))
	})
}

func viewPods(obs []causality.Observation) map[types.UID]*podView {
	pods := map[types.UID]*podView{}
	for _, o := range obs {
		in, ok := o.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		p := pods[in.UID]
		if p == nil {
			p = &podView{name: in.Name, created: in.CreationTimestamp.Time}
			pods[in.UID] = p
		}
		if ref := metav1.GetControllerOf(in); ref != nil {
			p.owner = ref.UID
		}
		ready, since := false, time.Time{}
		for _, c := range in.Status.Conditions {
			if c.Type == corev1.PodReady {
				ready, since = c.Status == corev1.ConditionTrue, c.LastTransitionTime.Time
			}
		}
		ended := in.Status.Phase == corev1.PodSucceeded || in.Status.Phase == corev1.PodFailed
		finite := in.Spec.RestartPolicy == corev1.RestartPolicyNever || in.Spec.RestartPolicy == corev1.RestartPolicyOnFailure
		if p.reported.IsZero() && !o.Initial && (ready && !finite || ended && finite) {
			p.reported = o.Time
			for _, m := range in.ManagedFields {
				if m.Subresource != "status" || m.Manager != "kubelet" || m.Time == nil {
					continue
				}
				// Whole seconds, rounded down; where the news was late nothing says more.
				p.reported = earlier(p.reported, m.Time.Add(time.Second))
				if o.Time.After(m.Time.Add(3 * time.Second)) {
					p.reported = m.Time.Time
				}
			}
		}
		p.states = append(p.states, podViewState{o.Time, ready, in.DeletionTimestamp != nil, o.Type == watch.Deleted || ended, since})
	}
	return pods
}

// controllersFree checks the traces of a stream, and returns how many pieces it has checked.
func controllersFree(t interface{ Errorf(string, ...any) }, obs []causality.Observation, traces []spans.Trace) (checked int) {
	pods := viewPods(obs)
	for _, tr := range traces {
		root := tr.Root()
		if root == nil || tr.Late {
			continue
		}
		segments, ok := root.Attribute(keySegments)
		if list := segments.AsStringSlice(); ok && len(list) <= maxSegments {
			checked += pathFree(t, obs, pods, tr, list)
		}
	}
	return checked
}

func pathFree(t interface{ Errorf(string, ...any) }, obs []causality.Observation, pods map[types.UID]*podView, tr spans.Trace, list []string) (checked int) {
	root := tr.Root()
	at := root.Start
	for i, text := range list {
		g := readSegment(text)
		from, until := at, at.Add(g.took)
		at = until
		if g.what != "controller" {
			continue
		}
		checked++
		// Each piece is written to the millisecond; a spec's write is dated within its second.
		slack := time.Duration(i+2) * time.Millisecond
		if !slices.ContainsFunc(obs, func(o causality.Observation) bool { return !o.Time.After(from.Add(time.Second)) }) {
			t.Errorf("%s %s: nothing was known at the beginning of %q", root.Name, root.Subject, text)
		}
		if i > 0 {
			reportedBefore(t, pods, tr, readSegment(list[i-1]), text, from.Add(slack))
		}
		if i+1 < len(list) && onDelete(obs, root.Subject) && root.Name != "StatefulSet scale" {
			if next := readSegment(list[i+1]); deletedFirst(next.what, g.took, *root) {
				t.Errorf("%s %s: somebody had to delete %s for %q to end", root.Name, root.Subject, next.subject, text)
			}
		}
		if root.Name == "Pod replacement" && g.took > 2*slack {
			nothingHoldsUp(t, obs, *root, text, from.Add(slack), until.Add(-slack))
		}
		if g.took > time.Second+slack {
			nothingBlocks(t, obs, pods, *root, text, from.Add(slack), until.Add(-slack))
		}
	}
	return checked
}

// reportedBefore checks that the kubelet had reported of the pod that was waited for until
// the controller's piece begins.
func reportedBefore(t interface{ Errorf(string, ...any) }, pods map[types.UID]*podView, tr spans.Trace, before pathPiece, text string, from time.Time) {
	root := tr.Root()
	name, ok := strings.CutPrefix(strings.Fields(before.subject)[0], "pod/")
	if !ok {
		return
	}
	for _, s := range tr.Spans {
		if s.Subject != "pod/"+name || s.Name != "Pod start" && s.Name != "Pod run" || s.SpanID == root.SpanID || !value(s, "rollspan.critical").AsBool() || s.End.After(from) {
			continue
		}
		stopped := slices.Contains([]string{"Pod stop", "stop container", "remove pod"}, before.what)
		p := pods[types.UID(value(s, "k8s.pod.uid").AsString())]
		if p == nil || stopped {
			continue
		}
		// A pod that is deleted counts as failed from then on; and what comes after the end was
		// late on its way.
		if state, _ := p.at(from); !state.leaving && p.reported.After(from) && !p.reported.After(root.End.Add(time.Second)) {
			t.Errorf("%s %s: %q begins %s before it was reported of %s", root.Name, root.Subject, text, p.reported.Sub(from), s.Subject)
		}
	}
}

// deletedFirst reports whether what comes next had to wait, in a rollout with the strategy OnDelete,
// for somebody who deletes a pod; or came while that was waited for, as a pod that is not Ready
// any more does.
func deletedFirst(next string, waited time.Duration, root spans.Span) bool {
	if next == "Pod stop" || next == "stop container" {
		return true
	}
	return (next == "back off" || next == "not ready") && waited > time.Second && value(root, "rollspan.cause").AsString() == "template"
}

// onDelete reports whether a workload has that strategy.
func onDelete(obs []causality.Observation, subject string) bool {
	return slices.ContainsFunc(obs, func(o causality.Observation) bool {
		switch in := o.Object.(type) {
		case *appsv1.StatefulSet:
			return subject == "statefulset/"+in.Name && in.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
		case *appsv1.DaemonSet:
			return subject == "daemonset/"+in.Name && in.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
		}
		return false
	})
}

// nothingBlocks checks that a long piece has no pod that a StatefulSet waits for, and is of
// a change of which as many pods were seen as its controller counts.
func nothingBlocks(t interface{ Errorf(string, ...any) }, obs []causality.Observation, pods map[types.UID]*podView, root spans.Span, text string, from, until time.Time) {
	change := value(root, "rollspan.change").AsString()
	if change != "rollout" && change != "scale" {
		return
	}
	namespace, there := value(root, "k8s.namespace.name").AsString(), int64(0)
	for _, o := range obs {
		in, ok := o.Object.(*appsv1.StatefulSet)
		if !ok || root.Subject != "statefulset/"+in.Name || in.Namespace != namespace || change != "rollout" {
			continue
		}
		for _, p := range pods {
			if p.owner == in.UID && p.blocks(from, until) {
				t.Errorf("%s %s: %s was not ready throughout %q", root.Name, root.Subject, p.name, text)
				return
			}
		}
	}
	for _, p := range pods {
		// A pod that is seen later was there since it was created.
		if state, _ := p.at(root.End); !state.absent && !p.created.After(root.End) {
			there++
		}
	}
	if wanted := value(root, "rollspan.pods.wanted").AsInt64(); value(root, "rollspan.outcome").AsString() == "complete" && there < wanted {
		t.Errorf("%s %s has %d pods, %d were seen: what it waited for in %q nobody knows", root.Name, root.Subject, wanted, there, text)
	}
}

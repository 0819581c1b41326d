package causality_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// watchedStream is a stream, and what the engine tells of it.
type watchedStream struct {
	name string
	obs  []causality.Observation
	// byID are all spans, of is those of each kind and object.
	byID map[string]spans.Span
	of   map[string][]spans.Span
	// ofRollouts are the ReplicaSets of Argo Rollouts.
	ofRollouts map[string]bool
	// steps are when ReplicaSets were scaled.
	steps []time.Time
	// recovered are the traces of changes that failed.
	recovered map[trace.TraceID]bool
	// parts are the spans of each trace.
	parts map[trace.TraceID][]spans.Span
	// unsaid are the pods that were not Ready although nothing probes them and all of their containers
	// ran, and passedOn the ReplicaSets that had more than one owner, one after another.
	unsaid, passedOn map[string]bool
	// leavesOut are the subjects of which restarts are left out, as there are too many.
	leavesOut map[string]bool
	// unheard is until when no Events were heard of: what began with one is told from when its object shows it.
	unheard time.Time
}

// streams are all recordings and scenarios.
var streams = sync.OnceValue(func() []*watchedStream {
	t := &loader{}
	var out []*watchedStream
	for _, name := range recordings(t) {
		out = append(out, watched(name, load(t, name)))
	}
	for name, obs := range scenarioStreams(t) {
		if len(obs) > 0 {
			out = append(out, watched(name, obs))
		}
	}
	return out
})

func watched(name string, obs []causality.Observation) *watchedStream {
	w := &watchedStream{name: name, obs: obs, byID: map[string]spans.Span{}, of: map[string][]spans.Span{}, recovered: map[trace.TraceID]bool{}, parts: map[trace.TraceID][]spans.Span{}, unsaid: podsUnsaid(obs), passedOn: setsPassedOn(obs), ofRollouts: setsOfRollouts(obs), leavesOut: map[string]bool{}}
	for _, s := range allSpans(replayWith(causality.Options{TraceContext: causality.TraceContextLink}, obs)) {
		w.byID[s.SpanID.String()] = s
		w.parts[s.TraceID] = append(w.parts[s.TraceID], s)
		w.of[s.Name+" "+s.Subject] = append(w.of[s.Name+" "+s.Subject], s)
		w.leavesOut[s.Subject] = w.leavesOut[s.Subject] || value(s, attr.RestartsLeftOutKey).AsInt64() > 0
		if strings.HasPrefix(s.Name, "ReplicaSet scale") {
			w.steps = append(w.steps, s.Start)
		}
		if attributeOf(s, "rollspan.outcome") == "failed" {
			w.recovered[s.TraceID] = true
		}
	}
	return w
}

// podsUnsaid are the pods that were not Ready for longer than a kubelet takes to say so, although
// nothing probes them and all of their containers ran: the reconstruction of a dump knows that
// there is no such thing.
func podsUnsaid(obs []causality.Observation) map[string]bool {
	out, wasReady := map[string]bool{}, map[types.UID]bool{}
	for _, o := range obs {
		in, ok := o.Object.(*corev1.Pod)
		if !ok || len(in.Spec.ReadinessGates) > 0 || in.Spec.RestartPolicy == corev1.RestartPolicyNever || len(in.Status.ContainerStatuses) == 0 {
			continue
		}
		at := o.Time // as long as it was not Ready, which it is for the first time, or is not
		for _, c := range in.Status.Conditions {
			if c.Type == corev1.PodReady {
				at = c.LastTransitionTime.Time
			}
		}
		isReady := wasReady[in.UID]
		wasReady[in.UID] = isReady || !at.Equal(o.Time)
		probed := slices.ContainsFunc(in.Spec.Containers, func(c corev1.Container) bool {
			return c.ReadinessProbe != nil || c.StartupProbe != nil || c.Lifecycle != nil && c.Lifecycle.PostStart != nil
		})
		lasted := !slices.ContainsFunc(in.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
			r, t := s.State.Running, s.State.Terminated
			return (r == nil || at.Sub(r.StartedAt.Time) <= snapshotSlack) && (t == nil || t.FinishedAt.Sub(t.StartedAt.Time) < snapshotSlack)
		})
		if lasted && !isReady && !probed {
			out["pod/"+in.Name] = true
		}
	}
	return out
}

// setsPassedOn are the ReplicaSets whose owner was another at some time.
func setsPassedOn(obs []causality.Observation) map[string]bool {
	out, owners := map[string]bool{}, map[string]string{}
	for _, o := range obs {
		if in, ok := o.Object.(*appsv1.ReplicaSet); ok {
			of := ""
			if c := metav1.GetControllerOfNoCopy(in); c != nil {
				of = string(c.UID)
			}
			was, known := owners[in.Name]
			owners[in.Name] = of
			out["replicaset/"+in.Name] = out["replicaset/"+in.Name] || known && was != of
		}
	}
	return out
}

// steppedBefore reports whether a ReplicaSet was written within the second before a time.
func (w *watchedStream) steppedBefore(at time.Time) bool {
	return slices.ContainsFunc(w.steps, func(t time.Time) bool { return !t.After(at) && at.Sub(t) < time.Second })
}

// counterpart is what the stream tells in the place of a span of a dump: that of its ID, or
// else the one of its kind about its object that is nearest.
func (w *watchedStream) counterpart(s spans.Span) (spans.Span, bool) {
	if same, ok := w.byID[s.SpanID.String()]; ok && !tries[s.Name] && !numbered[s.Name] {
		return same, true
	}
	var best spans.Span
	found := false
	for _, other := range w.of[s.Name+" "+s.Subject] {
		if !found || nearer(s, other, best) < 0 {
			best, found = other, true
		}
	}
	return best, found
}

// nearer compares how near two spans of the stream are to one of a dump: by their starts, and of
// those that begin within what it states by their ends.
func nearer(s, a, b spans.Span) int {
	starts, ends := precision(s, "start"), precision(s, "end")
	return cmp.Or(
		cmp.Compare(max(a.Start.Sub(s.Start).Abs(), starts), max(b.Start.Sub(s.Start).Abs(), starts)),
		cmp.Compare(max(a.End.Sub(s.End).Abs(), ends), max(b.End.Sub(s.End).Abs(), ends)),
		cmp.Compare(a.Start.Sub(s.Start).Abs(), b.Start.Sub(s.Start).Abs()),
	)
}

// precision is how far a boundary may be off: what the span states, and else what the API's
// whole seconds allow.
func precision(s spans.Span, boundary string) time.Duration {
	if v := value(s, attribute.Key("rollspan."+boundary+".precision")).AsFloat64(); v > 0 {
		return time.Duration(v*float64(time.Second)) + snapshotSlack
	}
	return snapshotSlack
}

// isLikeDumps reports whether dumps of a stream can be held against it.
func (w *watchedStream) isLikeDumps() bool {
	// Where clocks are apart only arrivals show it, and a dump has none.
	return !showWrong(w.obs)
}

// untoldInDumps are the streams of which dumps are known to be told wrong, and why.
var untoldInDumps = map[string]string{
	"number-goes-back.txt": "nothing tells that there were ReplicaSets which somebody has deleted, nor that their numbers are given again",
}

// isHalfWritten reports whether a workload of a dump waits for its controller, which is at
// writing several objects: of these a dump of that moment has some.
func isHalfWritten(objects []runtime.Object) bool {
	return slices.ContainsFunc(objects, func(o runtime.Object) bool {
		switch in := o.(type) {
		case *appsv1.Deployment:
			return in.Status.ObservedGeneration > 0 && in.Status.ObservedGeneration < in.Generation
		case *appsv1.ReplicaSet:
			return in.Status.ObservedGeneration > 0 && in.Status.ObservedGeneration < in.Generation
		}
		return false
	})
}

// TestLawSnapshots takes snapshots of each recording and scenario between any two of its
// observations, and holds what they tell against the stream: every span has its counterpart, by
// its ID or else by kind and object, both of its boundaries are within the precision that it
// states, or else the API's seconds, and it is no longer than that allows. What failed before it
// was complete nothing tells any more.
func TestLawSnapshots(t *testing.T) {
	told, stated := 0, 0
	for _, w := range slices.SortedFunc(slices.Values(streams()), func(a, b *watchedStream) int { return strings.Compare(a.name, b.name) }) {
		if !w.isLikeDumps() || untoldInDumps[w.name] != "" {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				n := rapid.IntRange(0, len(w.obs)-1).Draw(t, "observation")
				part := rapid.Float64Range(0, 0.99).Draw(t, "part of the time to the next")
				m, s := w.holdDump(t, w.after(n, part))
				told, stated = told+m, stated+s
			})
		})
	}
	if told == 0 || stated == 0 {
		t.Errorf("snapshots told of %d spans, of which %d say how good their boundaries are", told, stated)
	}
	t.Logf("%d spans, %d of them with a boundary that is worse than a second", told, stated)
}

// after is a moment between an observation and the next.
func (w *watchedStream) after(n int, part float64) time.Time {
	at := w.obs[n].Time
	for ; n+1 < len(w.obs); n++ {
		if next := w.obs[n+1].Time; next.After(at) {
			return at.Add(time.Duration(part * float64(next.Sub(at))))
		}
	}
	return at.Add(time.Second)
}

// holdDump takes a dump at a moment, and holds it to the law. It returns how many spans that
// were, and how many say how good their boundaries are.
func (w *watchedStream) holdDump(t interface{ Errorf(string, ...any) }, at time.Time) (told, stated int) {
	return w.holdDumpOf(t, at, func(runtime.Object) bool { return false })
}

// holdDumpOf does the same of a dump that leaves out some objects.
func (w *watchedStream) holdDumpOf(t interface{ Errorf(string, ...any) }, at time.Time, isLeftOut func(runtime.Object) bool) (told, stated int) {
	objects := slices.DeleteFunc(snapshotAt(w.obs, at), isLeftOut)
	if isHalfWritten(objects) {
		return 0, 0
	}
	h := snapshots.Reconstruct(objects, 24*time.Hour, at)
	for _, tr := range replayHistory(h) {
		if w.leavesOut[tr.Root().Subject] {
			continue
		}
		told += w.hold(t, tr, at, h.End)
		for _, s := range tr.Spans {
			if precision(s, "start") > snapshotSlack || precision(s, "end") > snapshotSlack {
				stated++
			}
		}
	}
	return told, stated
}

// resumed reports whether a change of the stream began with a pause, and the dump's with the end
// of that.
func (w *watchedStream) resumed(seen, told spans.Span) bool {
	return slices.ContainsFunc(w.parts[seen.TraceID], func(s spans.Span) bool {
		return s.Kind == kind.Paused && s.ParentID == seen.SpanID && s.Start.Equal(seen.Start) &&
			told.Start.After(s.Start) && told.Start.Before(s.End.Add(snapshotSlack))
	})
}

// unseen is how much earlier a span of the stream may have ended than it says, as the watch was down:
// a dump, which has times that objects state, knows better.
func (w *watchedStream) unseen(seen spans.Span) (worst time.Duration) {
	for _, s := range w.parts[seen.TraceID] {
		if s.End.Equal(seen.End) && attributeOf(s, "rollspan.end.source") == "arrival" {
			worst = max(worst, precision(s, "end"))
		}
	}
	return worst
}

// tries are the kinds of spans of which there is one for each try of a container, or of the
// scheduler, and for each write of a ReplicaSet: they are told apart by their number, and a dump
// has the last number only.
var tries = map[string]bool{
	"ReplicaSet scale up": true, "ReplicaSet scale down": true,
	"start container": true, "run container": true, "back off": true, "pull image": true, "unschedulable": true, "not ready": true, "in the way": true,
}

// numbered are other kinds of spans that are told apart by their number, from where the stream begins.
var numbered = map[string]bool{"paused": true, "startup probe": true}

// hold holds a trace of a dump, in which the newest time is end, to the law, and returns how
// many spans that were.
func (w *watchedStream) hold(t interface{ Errorf(string, ...any) }, tr spans.Trace, at, end time.Time) (told int) {
	root := *tr.Root()
	if tr.Late || attributeOf(root, "rollspan.change") == "activity" || w.ofRollouts[attributeOf(root, "k8s.replicaset.uid")] {
		return 0 // what Events of things that are gone belonged to, they do not say
	}
	_, same := w.byID[root.SpanID.String()]
	if !same && !root.Start.After(w.obs[0].Time.Add(snapshotSlack)) {
		return 0 // the stream began later
	}
	how := attributeOf(root, "rollspan.outcome")
	switch {
	case how == "open" && at.Sub(root.Start) < snapshotSlack:
		return 0
	case how == "open" && strings.HasSuffix(w.name, ".txt"):
		return 0 // the Deployments of scenarios state no progress, which would say that they are done
	}
	if slices.ContainsFunc(tr.Spans, func(s spans.Span) bool { pod, _, _ := strings.Cut(s.Subject, " container/"); return w.unsaid[pod] }) {
		return 0 // no kubelet says that a pod which nothing probes is not Ready
	}
	if w.passedOn[root.Subject] && root.Kind == kind.Delete {
		return 0 // whose it was before, nothing tells
	}
	for _, s := range tr.Spans {
		if strings.HasPrefix(s.Name, "ReplicaSet scale") && w.steppedBefore(at) {
			continue // what a step led to is not there yet
		}
		told++
		seen, ok := w.counterpart(s)
		what := fmt.Sprintf("%s at %s: %s of %s, in %s %s %s,", w.name, at, s.Name, s.Subject, root.Name, root.Subject, how)
		if !ok && s.SpanID != root.SpanID && s.End.Sub(s.Start) <= precision(s, "start")+precision(s, "end") {
			continue // so it may have taken no time
		}
		if !ok {
			t.Errorf("%s from %s to %s was not", what, s.Start, s.End)
			continue
		}
		if w.recovered[seen.TraceID] || seen.Status == codes.Error && s.SpanID != root.SpanID {
			continue // nothing tells that it failed before it was complete
		}
		if attributeOf(s, "rollspan.cause") == attr.CauseKubeletRestarted && attributeOf(seen, "rollspan.cause") == attr.CauseRebooted {
			continue // nothing tells that its node was rebooted
		}
		if seen.Kind == kind.PodRun && attributeOf(seen, "rollspan.cause") == "template" {
			continue // it begins with the stop of the static pod before, which has gone
		}
		if s.Start.Before(seen.Start) && seen.Start.Before(w.obs[0].Time.Add(snapshotSlack)) {
			continue // the stream began later
		}
		if how == "open" && seen.Start.After(at) {
			continue // it began again
		}
		if w.resumed(seen, s) {
			continue // a template that waited for the end of a pause leaves no trace of when it was written
		}
		if off := s.Start.Sub(seen.Start); off.Abs() > precision(s, "start") && (off < 0 || seen.Start.After(w.unheard.Add(snapshotSlack))) {
			t.Errorf("%s begins %s off: %s to %s, was %s to %s", what, off, s.Start, s.End, seen.Start, seen.End)
		}
		// What the newest time that anything states bounds, the snapshot does.
		early := seen.End.After(at) && (how != "complete" || s.SpanID != root.SpanID) // it was not complete by then
		open := !s.End.Add(precision(s, "end")).Before(end.Add(-snapshotSlack)) || early
		switch late := s.End.Sub(seen.End); {
		case late > precision(s, "end") && open && at.Sub(seen.End) < 10*time.Second:
			continue // the kubelet had not reported it
		case late > precision(s, "end"):
			t.Errorf("%s ends %s late: %s to %s, was %s to %s", what, late, s.Start, s.End, seen.Start, seen.End)
		case !open && -late > precision(s, "end")+w.unseen(seen):
			t.Errorf("%s ends %s early: %s to %s, was %s to %s", what, -late, s.Start, s.End, seen.Start, seen.End)
		}
		longer := s.End.Sub(s.Start) - seen.End.Sub(seen.Start)
		if longer > precision(s, "end")+precision(s, "start") {
			t.Errorf("%s takes %s longer", what, longer)
		}
	}
	return told
}

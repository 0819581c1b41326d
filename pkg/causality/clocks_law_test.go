package causality_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// These tests put the clock of one source of a recording wrong: all that it states is as if it
// had been so. What the others state, and when what arrived, stays as it was.

// wrongClock says which source's clock is wrong, and how.
type wrongClock struct {
	node, component string // the watcher's if both are empty
	by              time.Duration
	// until is when it was wrong by before instead; zero if it has not jumped.
	until  time.Time
	before time.Duration
}

func (c wrongClock) String() string {
	return fmt.Sprintf("%s%s by %s (until %s by %s)", c.node, c.component, c.by, c.until.Format("04:05"), c.before)
}

// shows is what the clock shows at a time.
func (c wrongClock) shows(t time.Time) time.Time {
	switch {
	case t.IsZero() || t.Unix() <= 0:
		return t
	case t.Before(c.until):
		return t.Add(c.before)
	}
	return t.Add(c.by)
}

// second is what the clock shows at a time that is known to the second.
func (c wrongClock) second(t *metav1.Time) {
	if t != nil && !t.IsZero() {
		t.Time = c.shows(t.Time).Truncate(time.Second)
	}
}

// showWrong reports whether observations show that a clock is off.
func showWrong(obs []causality.Observation) (off bool) {
	replayWith(causality.Options{OnClock: func(causality.Clock) { off = true }}, obs)
	return off
}

// sources are the sources that state times in a recording.
func sources(obs []causality.Observation) []wrongClock {
	seen := map[wrongClock]bool{{}: true}
	for _, o := range obs {
		switch in := o.Object.(type) {
		case *corev1.Pod:
			if in.Spec.NodeName != "" {
				seen[wrongClock{node: in.Spec.NodeName}] = true
			}
		case *corev1.Event:
			if c := cmp.Or(in.ReportingController, in.Source.Component); c != "kubelet" && c != "" {
				seen[wrongClock{component: c}] = true
			}
		}
	}
	var all []wrongClock
	for c := range seen {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b wrongClock) int { return cmp.Compare(a.node+a.component, b.node+b.component) })
	return all
}

// put puts the clock wrong in a recording.
func (c wrongClock) put(obs []causality.Observation) []causality.Observation {
	out := slices.Clone(obs)
	nodeOf := map[string]string{}
	for _, o := range obs {
		if in, ok := o.Object.(*corev1.Pod); ok && in.Spec.NodeName != "" {
			nodeOf[in.Namespace+"/"+in.Name] = in.Spec.NodeName
		}
	}
	for i := range out {
		o := &out[i]
		if c.node == "" && c.component == "" {
			o.Time = c.shows(o.Time)
			continue
		}
		o.Object = o.Object.DeepCopyObject()
		switch in := o.Object.(type) {
		case *corev1.Event:
			who := cmp.Or(in.ReportingController, in.Source.Component)
			if c.component != "" && who == c.component || c.node != "" && who == "kubelet" && nodeOf[in.Namespace+"/"+in.InvolvedObject.Name] == c.node {
				c.event(in)
			}
		case *corev1.Pod:
			if c.node != "" && in.Spec.NodeName == c.node {
				c.pod(in)
			}
		case *appsv1.Deployment:
			if c.component == "deployment-controller" {
				for i := range in.Status.Conditions {
					c.second(&in.Status.Conditions[i].LastTransitionTime)
					c.second(&in.Status.Conditions[i].LastUpdateTime)
				}
			}
		case *batchv1.Job:
			if c.component == "job-controller" {
				c.second(in.Status.CompletionTime)
				c.second(in.Status.StartTime)
				for i := range in.Status.Conditions {
					c.second(&in.Status.Conditions[i].LastTransitionTime)
				}
			}
		}
	}
	return out
}

func (c wrongClock) event(in *corev1.Event) {
	at := strings.LastIndexByte(in.Name, '.')
	var nanos int64
	if _, err := fmt.Sscanf(in.Name[at+1:], "%x", &nanos); err == nil {
		in.Name = fmt.Sprintf("%s.%x", in.Name[:at], c.shows(time.Unix(0, nanos)).UnixNano())
		if !in.FirstTimestamp.IsZero() {
			in.FirstTimestamp = metav1.NewTime(c.shows(time.Unix(0, nanos)).Truncate(time.Second))
		}
	} else {
		c.second(&in.FirstTimestamp)
	}
	in.EventTime.Time = c.shows(in.EventTime.Time)
	c.second(&in.LastTimestamp)
	if in.Series != nil {
		in.Series.LastObservedTime.Time = c.shows(in.Series.LastObservedTime.Time)
	}
}

func (c wrongClock) pod(in *corev1.Pod) {
	for i := range in.Status.Conditions {
		if t := in.Status.Conditions[i].Type; t != corev1.PodScheduled && t != corev1.DisruptionTarget {
			c.second(&in.Status.Conditions[i].LastTransitionTime)
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{in.Status.InitContainerStatuses, in.Status.ContainerStatuses} {
		for i := range statuses {
			for _, s := range []*corev1.ContainerState{&statuses[i].State, &statuses[i].LastTerminationState} {
				if s.Running != nil {
					c.second(&s.Running.StartedAt)
				}
				if s.Terminated != nil {
					c.second(&s.Terminated.StartedAt)
					c.second(&s.Terminated.FinishedAt)
				}
			}
		}
	}
}

// tale is where the spans of traces begin and end, by what they are: the parts of what, and
// how that went. An activity is nobody's part.
func tale(traces []spans.Trace) map[string]line {
	told, names, n := map[string]line{}, map[string]string{}, map[string]int{}
	all := allSpans(traces)
	for _, s := range all {
		names[s.SpanID.String()] = s.Name + " " + s.Subject
	}
	for _, s := range all {
		if s.Kind == kind.Activity || s.Kind == kind.LateEvents {
			continue
		}
		what := fmt.Sprintf("%s %s %s below %s", s.Name, s.Subject, value(s, "rollspan.outcome").AsString(), names[s.ParentID.String()])
		n[what]++
		told[fmt.Sprint(what, " ", n[what])] = line{what, s.Start, s.End}
	}
	return told
}

// moved is how far the boundaries of a tale are from where they were, the least first. What
// is told is the same.
func moved(t interface{ Fatalf(string, ...any) }, c wrongClock, want, got map[string]line) []time.Duration {
	var by []time.Duration
	for what, w := range want {
		g, ok := got[what]
		if !ok {
			t.Fatalf("with the clock of %s: missing %s", c, w.text)
		}
		by = append(by, g.start.Sub(w.start).Abs(), g.end.Sub(w.end).Abs())
	}
	for what, g := range got {
		if _, ok := want[what]; !ok {
			t.Fatalf("with the clock of %s: extra %s", c, g.text)
		}
	}
	slices.Sort(by)
	return by
}

// wrong draws how far a clock is off: so many seconds at least, and an hour at most.
func wrong(t *rapid.T, least int) time.Duration {
	by := time.Duration(rapid.IntRange(least, 3600).Draw(t, "seconds")) * time.Second
	if rapid.Bool().Draw(t, "behind") {
		return -by
	}
	return by
}

// jump draws how far a clock jumps: by anything up to an hour, and as often by less than what may
// lie between a fact and the news of it.
func jump(t *rapid.T) time.Duration {
	most := time.Hour
	if rapid.Bool().Draw(t, "short") {
		most = 12 * time.Second
	}
	by := time.Duration(rapid.IntRange(0, int(most/time.Millisecond)).Draw(t, "milliseconds")) * time.Millisecond
	if rapid.Bool().Draw(t, "back") {
		return -by
	}
	return by
}

// TestLawTheTaleStandsWhateverAClockShows: whichever source's clock is off, by whatever up to
// an hour, the same is told, and half of all boundaries are where they were to a second.
func TestLawTheTaleStandsWhateverAClockShows(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		want := tale(replay(obs))
		all := sources(obs)[1:] // but the watcher's
		rapid.Check(t, func(t *rapid.T) {
			c := rapid.SampledFrom(all).Draw(t, "source")
			c.by = wrong(t, 5)
			by := moved(t, c, want, tale(replay(c.put(obs))))
			if half, most := by[len(by)/2], by[len(by)*9/10]; half > time.Second || most > 2*time.Second {
				t.Fatalf("with the clock of %s boundaries moved by %s, a tenth by more than %s", c, half, most)
			}
		})
	})
}

// brief leaves out of a story what is told only where it takes time, and the Events that came
// when it was told.
func brief(traces []spans.Trace) map[string]line {
	told := story(traces)
	maps.DeleteFunc(told, func(_ string, l line) bool {
		return slices.ContainsFunc([]kind.Kind{kind.RemovePod, kind.StartupProbe, kind.ReadinessProbe, kind.ReadinessGates, kind.LateEvents}, func(k kind.Kind) bool {
			return strings.HasPrefix(l.text, k.Name(""))
		})
	})
	return told
}

// TestLawTheStoryStandsWhenAClockJumps: the clock jumps anywhere, by anything up to an hour, and
// was right or wrong before.
func TestLawTheStoryStandsWhenAClockJumps(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		want := brief(replay(obs))
		all := sources(obs)[1:]
		rapid.Check(t, func(t *rapid.T) {
			c := rapid.SampledFrom(all).Draw(t, "source")
			c.by, c.until = jump(t), obs[rapid.IntRange(0, len(obs)-1).Draw(t, "jump")].Time
			if rapid.Bool().Draw(t, "wrong before") {
				c.before = wrong(t, 30)
				c.by += c.before
			}
			by := moved(t, c, want, brief(replay(c.put(obs))))
			if half := by[len(by)/2]; half > time.Second {
				t.Fatalf("with the clock of %s boundaries moved by %s", c, half)
			}
		})
	})
}

// TestLawTheStoryStandsWhateverOurClockShows: of what is dated by the arrival of its news, which
// is told to a part of a second else, only the second is left until rollspan's own clock is
// known. So what takes less may be told or not. Of Rollouts, which are put together of what
// arrives, more is dated by that.
func TestLawTheStoryStandsWhateverOurClockShows(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		if strings.Contains(t.Name(), "/argo-rollouts-") {
			t.Skip("dated by arrival")
		}
		want := brief(replay(obs))
		rapid.Check(t, func(t *rapid.T) {
			c := wrongClock{by: wrong(t, 30)}
			by := moved(t, c, want, brief(replay(c.put(obs))))
			if half := by[len(by)/2]; half > time.Second {
				t.Fatalf("with the clock of %s boundaries moved by %s", c, half)
			}
		})
	})
}

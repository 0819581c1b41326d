package journal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/journal"
)

// missed are steps of a watch that breaks off at each deletion: a list finds the object gone,
// of which the identity is all that is left.
func missed(steps []step) []step {
	steps = slices.Clone(steps)
	for i := range steps {
		o := &steps[i].observation
		m, ok := o.Object.(metav1.Object)
		if _, event := o.Object.(*corev1.Event); !ok || event || o.Type != watch.Deleted {
			continue
		}
		left := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUID()}}
		left.SetGroupVersionKind(o.Object.GetObjectKind().GroupVersionKind())
		o.Object = left
	}
	return steps
}

// TestMissedDeletions kills rollspan where deletions were missed: a replay tells what it told,
// and knows as little of them.
func TestMissedDeletions(t *testing.T) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			steps := missed(load(t, name))
			want := undisturbed(t, steps)
			for trial := range trials(2, 20) {
				r := rand.New(rand.NewPCG(uint64(trial), 1))
				dir, to := t.TempDir(), newTold(t)
				l := begin(t, dir, to, always)
				l.live(steps[:r.IntN(len(steps)+1)])
				l.Tick()
				l.Kill()
				l = begin(t, dir, to, always)
				l.live(steps[l.Replayed():])
				if err := errors.Join(l.Rest(), l.Close()); err != nil {
					t.Fatal(err)
				}
				want.compare(to, "killed once")
			}
		})
	}
}

// A batch may hold more than a frame may: when lists have come, all their pods are one. None
// of them is lost to the next process.
func TestLargeBatch(t *testing.T) {
	const pods = 80
	noise := strings.Repeat("0123456789abcdef", 1<<16) // a MiB
	steps := load(t, oneRecording)
	var batch []stream.Observation
	for range pods {
		pod := &corev1.Pod{}
		pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
		pod.Namespace, pod.Name = "shop", "web"
		pod.Annotations = map[string]string{"large": noise}
		batch = append(batch, stream.Observation{Time: steps[0].now, Type: watch.Added, Object: pod})
	}
	dir, to := t.TempDir(), newTold(t)
	l := begin(t, dir, to, always)
	l.Observe(batch...)
	l.Kill()
	next, why := quietly(t, dir, newEngine, to)
	if next.Replayed() != pods || next.Stats().Corrupt != 0 {
		t.Errorf("%d of %d pods, %d segments damaged: %s", next.Replayed(), pods, next.Stats().Corrupt, why)
	}
}

// What was missed waits in the journal for the rest of it, whoever is killed meanwhile, and be the
// journal compacted: in order, but for what the engine was told, and until all of it was told.
func TestMissedWaits(t *testing.T) {
	steps := observationsOf(load(t, oneRecording))
	dir, to := t.TempDir(), newTold(t)
	var l *life
	next := func() {
		t.Helper()
		if l != nil {
			l.Kill()
		}
		l = begin(t, dir, to, always)
	}
	is := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, m := range l.Missed() {
			o, err := journal.DecodeObservation(m.Observation)
			got = append(got, fmt.Sprintf("%s %s live=%t observed=%t", m.At.Source, m.At.Version, m.Live, err == nil && o.Object != nil))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q waits, want %q", what, got, want)
		}
	}
	packed, err := journal.EncodeObservation(nil, steps[0].observation)
	if err != nil {
		t.Fatal(err)
	}
	const pods, nodes, found = "Pod shop", "Node ", "Shop.example.com "
	at := func(source, version string) journal.Position {
		return journal.Position{Source: source, Version: version}
	}
	next()
	l.hand(l.ObserveAt([]stream.Observation{steps[0].observation}, []journal.Position{at(pods, "9")}))
	l.Reached(at(nodes, "10"))
	next()
	l.KeepMissed([]journal.Missed{
		{At: at(pods, "10"), Observation: packed}, {At: at(nodes, "11"), Live: true, Observation: packed},
		{At: at(found, "12"), Observation: packed}, // of which nobody knows what there was before
	})
	next()
	is("killed once", pods+" 10 live=false observed=true", nodes+" 11 live=true observed=true")
	l.KeepMissed([]journal.Missed{{At: at(pods, "12"), Observation: packed}, {At: at(nodes, "13")}})
	if err := l.CompactNow(); err != nil {
		t.Fatal(err)
	}
	next()
	all := []string{pods + " 10 live=false observed=true", nodes + " 11 live=true observed=true", pods + " 12 live=false observed=true", nodes + " 13 live=false observed=false"}
	is("killed again", all...)
	l.hand(l.ObserveAt([]stream.Observation{steps[1].observation}, []journal.Position{at(pods, "10")}))
	next()
	is("some of it is told", all[1:]...)
	l.ToldMissed()
	is("all of it is told")
	next()
	is("all of it was told")
	l.KeepMissed([]journal.Missed{{At: at(pods, "14"), Observation: packed}})
	if err := l.CompactNow(); err != nil {
		t.Fatal(err)
	}
	next()
	is("there is more", pods+" 14 live=false observed=true")
	if n := l.Stats().Unreadable; n != 0 {
		t.Errorf("%d records cannot be read", n)
	}
}

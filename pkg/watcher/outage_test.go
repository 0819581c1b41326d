package watcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rollspan/rollspan/pkg/causality"
)

// created is the news of an object that came at a time; late, if it says no more than that it was created
// when it states.
func created(of kind, version string, stated, came time.Time, isLate bool) causality.Observation {
	object := newObject(of.GroupVersion().String(), of.Kind)
	object.GetObjectKind().SetGroupVersionKind(of.GroupVersionKind)
	m := object.(metav1.Object)
	m.SetUID(types.UID("of " + version))
	m.SetResourceVersion(version)
	m.SetCreationTimestamp(metav1.NewTime(stated))
	o := causality.Observation{Time: came, Type: watch.Added, Object: object}
	if isLate {
		o.Since = stated
	}
	return o
}

// While something that is watched cannot be read, all waits, and is told in the order of its writes:
// what came meanwhile at the time of its arrival, and what came late at the time that it states. A
// kind that was found is waited for with others, and not alone; one that may not be read is not.
func TestAnOutageIsToldInOrder(t *testing.T) {
	l := newTestLive(t)
	l.listed = true
	clock := clocktesting.NewFakeClock(time.Unix(1000, 0))
	l.options.Clock = clock
	engine := &noting{Engine: causality.New(causality.Options{})}
	k := remembering(t, engine)
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	const pods, sets, shops = "Pod ", "ReplicaSet.apps ", "Shop.example.com "
	says := func(m sourceMark) { l.observe(k, l.take(nil, queued{mark: &m})) }
	sees := func(k2 kind, version string, stated, came int, isLate bool) {
		clock.SetTime(at(came))
		l.observe(k, l.take(nil, queued{Observation: created(k2, version, at(stated), at(came), isLate)}))
	}
	told := func() (out []string) {
		for _, o := range engine.told {
			out = append(out, fmt.Sprintf("%s at %.0f late=%t", versionOf(o.Object), o.Time.Sub(at(0)).Seconds(), !o.Since.IsZero()))
		}
		engine.told = nil
		return out
	}
	is := func(what string, want ...string) {
		t.Helper()
		if got := told(); !slices.Equal(got, want) {
			t.Errorf("%s: it is told %q, want %q", what, got, want)
		}
	}
	k.Advance(at(0))
	sees(podKind, "1", 1, 1, false)
	is("all is well", "1 at 1 late=false")
	says(sourceMark{source: shops, away: true, found: true})
	sees(podKind, "2", 2, 2, false)
	is("what was found is away", "2 at 2 late=false")
	says(sourceMark{source: sets, away: true})
	sees(podKind, "5", 5, 5, false)
	says(sourceMark{source: pods, away: true})
	sees(replicaSetKind, "4", 3, 20, true)
	says(sourceMark{source: sets, version: "9"})
	sees(podKind, "7", 8, 21, true)
	says(sourceMark{source: pods, version: "9"})
	is("something is away")
	if !l.backlog.waiting(at(21)) {
		t.Error("it does not wait for what was found")
	}
	says(sourceMark{source: shops, refused: true})
	if l.backlog.waiting(at(21)) {
		t.Errorf("it waits for %v", l.backlog.waits)
	}
	l.caughtUp(k)
	is("all is back", "4 at 3 late=true", "5 at 5 late=false", "7 at 8 late=true")
	sees(podKind, "10", 22, 22, false)
	is("all is well again", "10 at 22 late=false")

	// One that is away for long does not keep what came of others out of the journal, and what it has
	// missed may be from before that.
	says(sourceMark{source: sets, away: true})
	sees(podKind, "12", 30, 30, false)
	l.spillBacklog(k)
	is("one is away")
	clock.SetTime(at(30).Add(backlogLongest))
	l.spillBacklog(k)
	is("one is away for long", "12 at 30 late=false")
	sees(replicaSetKind, "11", 25, 120, true)
	says(sourceMark{source: sets, version: "13"})
	l.caughtUp(k)
	if o := engine.told[0]; o.Since.After(at(25)) || o.Time.Before(at(30)) || o.Time.After(at(31)) {
		t.Errorf("what was missed is told to be from %s to %s", o.Since, o.Time)
	}
}

// What the others are of use without may answer by errors for ever: it is waited for once, for a while,
// until it has been read again. How often it is asked for meanwhile does not matter.
func TestWhatIsOptionalIsWaitedForOnce(t *testing.T) {
	const events, pods, shops = "Event ", "Pod ", "Shop.example.com "
	l := newTestLive(t)
	l.listed = true
	clock := clocktesting.NewFakeClock(time.Unix(1000, 0))
	l.options.Clock = clock
	k := remembering(t, causality.New(causality.Options{}))
	says := func(m sourceMark) { l.take(nil, queued{mark: &m}) }
	// waited is how long all wait, where some sources are away and are asked for each second.
	waited := func(away ...sourceMark) (d time.Duration) {
		for ; d < time.Minute; d += time.Second {
			for _, m := range away {
				says(m)
			}
			if l.backlog == nil || !l.backlog.waiting(clock.Now()) {
				l.caughtUp(k)
				return d
			}
			clock.Step(time.Second)
		}
		return d
	}
	is := func(what string, got, want time.Duration) {
		t.Helper()
		if got != want {
			t.Errorf("%s: all wait for %s, want %s", what, got, want)
		}
	}
	noEvents := sourceMark{source: events, away: true}
	noShops := sourceMark{source: shops, away: true, found: true}
	is("Events are away", waited(noEvents), backlogPatience)
	is("Events are still away", waited(noEvents), 0)
	is("a list of them begins, too", waited(sourceMark{source: events, listing: true}, noEvents), 0)
	says(sourceMark{source: pods, away: true})
	is("so are pods and what was found", waited(noEvents, noShops, sourceMark{source: pods, version: "5"}), backlogPatience)
	says(sourceMark{source: pods, away: true})
	is("so are pods again", waited(noEvents, noShops, sourceMark{source: pods, version: "6"}), 0)
	says(sourceMark{source: events, version: "7"})
	is("Events were there, and are away again", waited(noEvents), backlogPatience)

	// What there are no traces without is waited for from when it answers, and each time.
	for range 2 {
		says(sourceMark{source: pods, away: true})
		clock.Step(time.Second)
		l.backlog.waiting(clock.Now())
		clock.Step(2 * backlogPatience) // meanwhile it is known that it cannot be read, and all wait
		says(sourceMark{source: pods, away: true})
		is("pods tell late what they have missed", waited(noEvents), backlogPatience)
	}
}

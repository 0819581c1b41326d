package watcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rollspan/rollspan/pkg/causality"
)

// A pulse notices that the process stood still, be it that the monotonic clock went on or not, once
// for each time, and not that it was busy for a moment or that its clock was set back.
func TestPulse(t *testing.T) {
	now := time.Now()
	began := now
	p := newPulse(func() time.Time { return now }, func() time.Time { return now })
	alive := p.since()
	for _, step := range []struct {
		what  string
		by    time.Duration
		wall  bool // without the monotonic clock
		stood int
	}{
		{"a beat", beatEvery, false, 0},
		{"busy", stillAfter, false, 0},
		{"the clock is set back", -time.Hour, true, 0},
		{"stopped", time.Minute, false, 1},
		{"a beat", beatEvery, false, 1},
		{"asleep", time.Hour, true, 2},
		{"a beat", beatEvery, true, 2},
	} {
		from := now
		if step.wall {
			now = now.Round(0)
		}
		now = now.Add(step.by)
		stood, since := p.beat()
		if stood != step.stood {
			t.Errorf("%s after %s: it stood still %d times, want %d", step.what, now.Sub(began), stood, step.stood)
		}
		if step.by > stillAfter && !since.Equal(from.Round(0)) {
			t.Errorf("%s: it stood still since %s, want %s", step.what, since, from)
		}
		if done := alive.Err() != nil; done != (step.by > stillAfter) {
			t.Errorf("%s: the watches are cut: %t", step.what, done)
		}
		alive = p.since()
	}
	if stood, _ := (*pulse)(nil).beat(); stood > 0 || (*pulse)(nil).since().Err() != nil {
		t.Error("one that nobody has stands still")
	}
}

// Since when it stood still is told by the clock that dates what arrives, which has not followed one that was
// set back.
func TestPulseDatesAsWhatArrives(t *testing.T) {
	m := &setClock{start: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}
	steady := newSteadyClock(m, &causality.Options{})
	steady.elapsed = func() time.Duration { return m.elapsed }
	p := newPulse(m.Now, steady.Now)
	m.off = -time.Hour
	m.elapsed += beatEvery
	p.beat()
	want := m.start.Add(m.elapsed)
	m.elapsed += time.Minute
	if stood, since := p.beat(); stood != 1 || !since.Equal(want) {
		t.Errorf("it stood still %d times, since %s, want since %s", stood, since, want)
	}
}

// A watch is cut when the process has stood still, before anybody asks for more, and goes on from where
// it was. What comes then is late.
func TestWatchIsCutWhereTheProcessStoodStill(t *testing.T) {
	for _, streams := range []bool{true, false} {
		clock := clocktesting.NewFakePassiveClock(time.Now())
		p := newPulse(clock.Now, clock.Now)
		api := &asked{list: []string{"1", "4"}, endless: true, opens: []error{nil, nil, apierrors.NewUnauthorized("enough")},
			watches: [][]watch.Event{modified("2"), append(modified("3", "4"), endsWith(apierrors.NewBadRequest("enough")))}}
		var states, late, marks []string
		into := newObjectStore(store{
			kind: podKind, now: time.Now, synced: func() {}, relisted: func(int) {},
			emit: func(o causality.Observation) error {
				states = append(states, versionOf(o.Object))
				if !o.Initial && !o.Since.IsZero() {
					late = append(late, versionOf(o.Object))
				}
				if versionOf(o.Object) == "2" && len(states) == 2 { // and more has come when it goes on
					clock.SetTime(clock.Now().Add(time.Minute))
					api.opened.Modify(webAt("3"))
				}
				return nil
			},
			reached: func(m sourceMark) error {
				if m.away {
					marks = append(marks, "away")
				}
				return nil
			},
		})
		client, semantics := api.client(streams)
		lists := &feeder{client: client, into: into, pulse: p, still: func() { marks = append(marks, "still") }}
		reflector := cache.NewReflectorWithOptions(lists.listerWatcher(semantics), nil, into, cache.ReflectorOptions{})
		_ = reflector.ListAndWatchWithContext(t.Context()) // the end is that nothing more is taken
		if want := []string{"1", "2", "3", "4"}; !slices.Equal(states, want) || !slices.Equal(late, []string{"3", "4"}) {
			t.Errorf("streams=%t: it has told %v, want %v, of these late %v", streams, states, want, late)
		}
		if len(marks) < 2 || marks[0] != "still" || marks[1] != "away" {
			t.Errorf("streams=%t: it says %v", streams, marks)
		}
	}
}

// What a process tells that stood still is in the order of its writes, and dated by what the API server
// states, be it that it waited in a connection or that it is told again. What had come before keeps the
// time at which it came.
func TestStoodStill(t *testing.T) {
	l := newTestLive(t)
	l.listed = true
	begin := time.Unix(1000, 0)
	clock := clocktesting.NewFakeClock(begin)
	l.options.Clock = clock
	l.streams.pulse = newPulse(clock.Now, clock.Now)
	engine := &noting{Engine: causality.New(causality.Options{})}
	k := remembering(t, engine)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	says := func(m sourceMark) { l.observe(k, l.take(nil, queued{mark: &m})) }
	sees := func(k2 kind, version string, stated, came int, isLate bool) {
		l.observe(k, l.take(nil, queued{Observation: created(k2, version, at(stated), at(came), isLate)}))
	}
	for _, src := range l.streams.sources {
		if !src.optional {
			l.streams.noteThrough(src)
		}
	}
	const pods, sets, deployments = "Pod ", "ReplicaSet.apps ", "Deployment.apps "
	k.Advance(at(0))
	l.streams.pulse.beat()
	sees(podKind, "1", 1, 1, false)
	clock.SetTime(at(200))
	sees(podKind, "2", 0, 1, false) // it has waited in the queue
	sees(podKind, "9", 180, 200, false)
	says(sourceMark{source: sets, version: "8"}) // of the connection, from before
	sees(replicaSetKind, "12", 190, 200, false)
	if l.backlog == nil || !l.backlog.waiting(clock.Now()) {
		t.Fatal("nothing is waited for")
	}
	for _, source := range []string{pods, sets, deployments} {
		says(sourceMark{source: source, away: true})
	}
	sees(replicaSetKind, "11", 170, 201, true)
	sees(podKind, "10", 165, 201, true)
	says(sourceMark{source: pods, version: "20"})
	says(sourceMark{source: sets, version: "20"})
	if !l.backlog.waiting(clock.Now()) {
		t.Error("one that has not caught up is not waited for")
	}
	says(sourceMark{source: deployments, version: "20"})
	if l.backlog.waiting(clock.Now()) {
		t.Errorf("it waits for %v", l.backlog.waits)
	}
	l.caughtUp(k)
	var got []string
	for _, o := range engine.told {
		since := "live"
		if !o.Since.IsZero() {
			since = fmt.Sprintf("%.0f to", o.Since.Sub(begin).Seconds())
		}
		got = append(got, fmt.Sprintf("%s: %s %.0f", versionOf(o.Object), since, o.Time.Sub(begin).Seconds()))
	}
	want := []string{"1: live 1", "2: live 1", "9: 1 to 165", "10: 165 to 166", "11: 170 to 170", "12: 170 to 200"}
	if !slices.Equal(got, want) {
		t.Errorf("it is told %q, want %q", got, want)
	}
}

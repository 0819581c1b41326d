package watcher

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/failover"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// What first lists say is kept as it is, and can be read more than once.
func TestSpool(t *testing.T) {
	want := recorded(t, "slow-image-pull.jsonl")
	s := newSpool()
	for _, o := range want {
		if !s.add(o) {
			t.Fatal("it is full")
		}
	}
	for range 2 {
		i := 0
		err := s.each(func(o causality.Observation) {
			w := want[i]
			i++
			got, object := o.Object.(metav1.Object), w.Object.(metav1.Object)
			if !o.Time.Equal(w.Time) || o.Type != w.Type || o.Initial != w.Initial || reflect.TypeOf(got) != reflect.TypeOf(object) ||
				got.GetUID() != object.GetUID() || got.GetResourceVersion() != object.GetResourceVersion() {
				t.Errorf("observation %d is %s %s", i, o.Type, got.GetName())
			}
		})
		if err != nil || i != len(want) {
			t.Errorf("%d of %d observations, %v", i, len(want), err)
		}
	}
}

// A process that begins with a watermark tells what its first lists prove to have ended since,
// once; without one it tells none of it. All else goes on as ever.
func TestWhatEndedLatelyIsTold(t *testing.T) {
	observations := recorded(t, "slow-image-pull.jsonl")
	latest := map[string]causality.Observation{}
	for _, o := range observations {
		latest[string(o.Object.(metav1.Object).GetUID())] = o
	}
	ended := observations[len(observations)-1].Time
	list := func() *spool {
		s := newSpool()
		for _, o := range latest {
			o.Initial, o.Time = true, ended.Add(time.Minute)
			s.add(o)
		}
		return s
	}
	tell := func(watermark time.Time) (rollouts int) {
		l := newTestLive(t)
		l.handout.Store(&handout{outbox: failover.NewOutbox(failover.Options{})})
		l.handout.Load().outbox.IgnoreBefore(watermark)
		l.spool = list()
		keeper := remembering(t, causality.New(causality.Options{}))
		told := l.tellLately(keeper)
		told = append(told, keeper.Advance(time.Now())...)
		for _, tr := range told {
			if outcome, _ := tr.Root().Attribute("rollspan.outcome"); !tr.Late && outcome.AsString() == "complete" && isRollout(tr.Root()) {
				rollouts++
			}
		}
		return rollouts
	}
	if got := tell(observations[0].Time.Add(-time.Hour)); got != 1 {
		t.Errorf("%d rollouts are told that ended after the watermark, want 1", got)
	}
	for _, watermark := range []time.Time{{}, ended.Add(10 * time.Minute)} {
		if got := tell(watermark); got != 0 {
			t.Errorf("%d rollouts are told that ended before the watermark %s", got, watermark)
		}
	}
}

// Of a namespace that cannot be read nothing is known when the rest is told, which counts where a process before
// this one has told what there was.
func TestWhatEndedInALostNamespaceCounts(t *testing.T) {
	for watermark, want := range map[time.Time]int64{time.Unix(1000, 0): 1, {}: 0} {
		l := newTestLive(t)
		l.streams.sources = l.cluster.liveSources([]string{"a", "b"})
		if !l.streams.goesOn(&ForbiddenError{Missing: []Permission{{Resource: "pods", Namespace: "b", Verbs: watchVerbs}}}) {
			t.Fatal("it does not go on")
		}
		l.handout.Store(&handout{outbox: failover.NewOutbox(failover.Options{})})
		l.handout.Load().outbox.IgnoreBefore(watermark)
		l.spool = newSpool()
		l.tellLately(remembering(t, causality.New(causality.Options{})))
		if got := l.unproven.Load(); got != want {
			t.Errorf("since %s: %d changes count, want %d", watermark, got, want)
		}
	}
}

// What a history has that is not told is nobody's to send: a restart, which reads the history in the journal, does
// not, and the journal does not wait for it.
func TestWhatIsNotToldLatelyIsNotToldByARestart(t *testing.T) {
	r := newReplaced(recorded(t, "rolling-update-undo-scale-restart.jsonl"))
	keep := func(dir string, now time.Time) (*Live, *journal.Keeper, *collected) {
		l, sink := newTestLive(t), &collected{}
		l.options.Clock = clocktesting.NewFakeClock(now)
		l.options.DataDir = dir
		l.options.Engine = causality.Options{InProgressAfter: time.Second, Records: func(*corev1.Event) bool { return true }}
		keeper, err := l.keep(t.Context(), "", sink)
		if err != nil {
			t.Fatal(err)
		}
		return l, keeper, sink
	}
	told := map[string]int{}
	for m := len(r.obs) / 4; m < len(r.obs); m += len(r.obs) / 8 {
		begin, end := r.obs[0].Time, r.obs[m-1].Time
		for since, watermark := range map[string]time.Time{"the middle": begin.Add(end.Sub(begin) / 2), "long ago": begin.Add(-time.Hour)} {
			where := fmt.Sprintf("at observation %d, since %s", m, since)
			dir := t.TempDir()
			l, keeper, _ := keep(dir, end)
			l.handout.Store(&handout{outbox: failover.NewOutbox(failover.Options{})})
			l.handout.Load().outbox.IgnoreBefore(watermark)
			l.spool = newSpool()
			for _, o := range r.there(m) {
				l.spool.add(o)
			}
			finished := l.tellLately(keeper)
			told[since] += len(finished)
			for i := range finished {
				keeper.Acknowledge(journal.KeysOf(&finished[i])...)
			}
			if got := keeper.Stats().Unacknowledged; got > 0 {
				t.Errorf("%s: %d traces wait to be acknowledged that are not told", where, got)
			}
			keeper.Tick()
			if err := errors.Join(keeper.Rest(), keeper.Close()); err != nil {
				t.Fatal(err)
			}
			if _, keeper, sink := keep(dir, end); !keeper.Resumes() || len(sink.traces) > 0 {
				t.Errorf("%s: a restart tells %d traces; it goes on: %t", where, len(sink.traces), keeper.Resumes())
			}
		}
	}
	if told["the middle"] == 0 || told["the middle"] >= told["long ago"] {
		t.Errorf("so many traces are told: %v", told)
	}
}

// Who hands out is told which changes had ended when the first lists were told: whoever has seen them
// has told them otherwise. What ends later was seen, and so were parts that come later.
func TestWhatIsReconstructedIsMarked(t *testing.T) {
	l := newTestLive(t)
	var handedOut []spans.Trace
	outbox := failover.NewOutbox(failover.Options{Deliver: func(tr spans.Trace) error {
		handedOut = append(handedOut, tr)
		return nil
	}})
	outbox.LeadAlone()
	l.handout.Store(&handout{outbox: outbox})
	l.spool = newSpool()
	keeper := remembering(t, causality.New(causality.Options{}))
	l.tellLately(keeper)
	listed := l.options.Clock.Now()
	ended := func(at time.Time, late bool) spans.Trace {
		return spans.Trace{Late: late, Spans: []spans.Span{{Name: "Deployment rollout", Start: at.Add(-time.Second), End: at}}}
	}
	if err := l.deliver(keeper, nil, []spans.Trace{ended(listed.Add(-time.Minute), false), ended(listed.Add(time.Minute), false), ended(listed.Add(-time.Minute), true)}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { outbox.Run(ctx) })
	if err := outbox.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	running.Wait()
	var marked []bool
	for _, tr := range handedOut {
		marked = append(marked, tr.Reconstructed)
	}
	if want := []bool{true, false, false}; !slices.Equal(marked, want) {
		t.Errorf("they are marked %v, want %v", marked, want)
	}
}

// What was seen is in the engine, and in its journal, as soon as it is known that there is no
// watermark, and not when all lists are through.
func TestNothingIsKeptWithoutAWatermark(t *testing.T) {
	first := recorded(t, "slow-image-pull.jsonl")[0]
	for name, test := range map[string]struct {
		lease func(*failover.Outbox)
		fed   bool
	}{
		"the Lease is not read yet": {func(*failover.Outbox) {}, false},
		"it has no watermark":       {func(o *failover.Outbox) { o.LeadAlone() }, true},
		"it has one": {func(o *failover.Outbox) {
			o.LeadAlone()
			o.IgnoreBefore(first.Time)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLive(t)
			outbox := failover.NewOutbox(failover.Options{})
			test.lease(outbox)
			l.handout.Store(&handout{outbox: outbox})
			l.spool = newSpool()
			l.spool.add(first)
			engine := &observing{Engine: causality.New(causality.Options{})}
			l.nothingLately(remembering(t, engine))
			if fed := engine.observed == 1 && l.spool == nil; fed != test.fed {
				t.Errorf("the engine has %d observations, and the spool is there: %t", engine.observed, l.spool != nil)
			}
		})
	}
}

// Where there is more than can be kept, what was kept is fed before what comes next: a pod that was listed, and is
// deleted before all lists are through, is gone.
func TestWhatIsTooMuchToKeepComesInOrder(t *testing.T) {
	l := newTestLive(t)
	outbox := failover.NewOutbox(failover.Options{})
	outbox.LeadAlone()
	outbox.IgnoreBefore(time.Now().Add(-time.Hour))
	l.handout.Store(&handout{outbox: outbox})
	l.spool = newSpool()
	l.heard = l.options.Clock.Now()
	engine := &observing{Engine: causality.New(causality.Options{})}
	keeper := remembering(t, engine)
	come := func(typ watch.EventType, initial bool) {
		if err := l.enqueue(t.Context(), causality.Observation{Time: l.options.Clock.Now(), Type: typ, Object: pod("job-x", "u", "1"), Initial: initial}); err != nil {
			t.Fatal(err)
		}
		l.takeIn(keeper, <-l.queue.out())
	}
	come(watch.Added, true)
	if l.spool == nil || engine.observed > 0 {
		t.Fatal("it is not kept")
	}
	l.spool.failed = true // it has no room any more
	come(watch.Deleted, false)
	if want := []watch.EventType{watch.Added, watch.Deleted}; !slices.Equal(engine.types, want) {
		t.Errorf("the engine observes %v, want %v", engine.types, want)
	}
}

// observing notes what an engine has observed.
type observing struct {
	*causality.Engine
	observed int
	types    []watch.EventType
}

func (e *observing) Observe(o causality.Observation) []spans.Trace {
	e.observed++
	e.types = append(e.types, o.Type)
	return e.Engine.Observe(o)
}

func isRollout(s *spans.Span) bool {
	change, _ := s.Attribute("rollspan.change")
	return change.AsString() == "rollout"
}

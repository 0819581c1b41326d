package watcher

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Of several namespaces one that cannot be read any more is waited for, and then given up, until all of
// it can be read again. It does not matter whether a request has been answered at all where a list
// cannot be read. While none can be read nobody knows whose fault it is, and all wait.
func TestWhichNamespaceIsWaitedFor(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	broken := apierrors.NewInternalError(errors.New("no key for what is on the disk"))
	refused := &url.Error{Op: "Get", URL: "https://api", Err: errors.New("connection refused")}
	gateway := apierrors.NewGenericServerResponse(504, "get", schema.GroupResource{Resource: "pods"}, "", "<html>", 0, true)
	in := func(namespaces ...string) (sources []source) {
		for _, ns := range namespaces {
			sources = append(sources, source{kind: podKind, namespace: ns, level: slog.LevelWarn}, source{kind: deploymentKind, namespace: ns, level: slog.LevelWarn})
		}
		return sources
	}
	pods := func(ns string) source { return source{kind: podKind, namespace: ns, level: slog.LevelWarn} }
	deployments := func(ns string) source { return source{kind: deploymentKind, namespace: ns, level: slog.LevelWarn} }
	type step struct {
		of    source
		err   error
		after time.Duration
		blind bool
	}
	list := metav1.ListOptions{SendInitialEvents: new(true)}
	for name, test := range map[string]struct {
		sources []source
		steps   []step
		opens   bool // before each step a list of what is of no use is opened
		says    []string
	}{
		"refused": {
			sources: in("a", "b"),
			steps: []step{
				{pods("b"), forbidden, 0, true}, {pods("b"), forbidden, refusedFor - time.Second, true}, {pods("b"), forbidden, time.Second, false},
				{deployments("b"), forbidden, 0, false}, {pods("b"), nil, time.Minute, false}, {deployments("b"), nil, 0, false},
				{pods("b"), forbidden, 0, true},
			},
			says: []string{
				"WARN cannot read pods in namespace b", "WARN cannot read namespace b; what happens in the others is told without it; trying again",
				"WARN cannot read deployments in namespace b", "INFO reading pods in namespace b again", "INFO reading deployments in namespace b again",
				"INFO reading namespace b again", "WARN cannot read pods in namespace b",
			},
		},
		"failing": {
			sources: in("a", "b"),
			steps:   []step{{pods("b"), broken, 0, true}, {pods("b"), broken, failingFor - time.Second, true}, {pods("b"), broken, time.Second, false}},
		},
		"failing, where its watch is opened": {
			sources: in("a", "b"), opens: true,
			steps: []step{{pods("b"), broken, 0, true}, {pods("b"), broken, failingFor - time.Second, true}, {pods("b"), broken, time.Second, false}},
		},
		"a gateway answers for it": {
			sources: in("a", "b"),
			steps: []step{
				{pods("b"), gateway, 0, true}, {pods("b"), gateway, failingFor, true}, {pods("a"), nil, 0, true},
				{pods("b"), gateway, time.Second, true}, {pods("b"), gateway, backlogPatience, false},
			},
		},
		"it alone": {
			sources: in("b"),
			steps:   []step{{pods("b"), forbidden, 0, true}, {pods("b"), forbidden, time.Hour, true}, {pods("b"), nil, 0, false}},
		},
		"all": {
			sources: in("a", "b"),
			steps: []step{
				{pods("b"), forbidden, 0, true}, {deployments("a"), forbidden, 0, true}, {pods("b"), forbidden, time.Hour, true},
				{deployments("a"), nil, 0, true}, {pods("b"), nil, 0, false},
			},
		},
		"after an outage": { // one is back before the other
			sources: in("a", "b"),
			steps: []step{
				{pods("a"), refused, 0, true}, {pods("b"), refused, 0, true}, {deployments("a"), refused, 0, true},
				{pods("b"), refused, time.Hour, true}, {pods("a"), nil, 0, true}, {deployments("a"), nil, 0, true}, {pods("b"), nil, time.Second, false},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			log, messages := testLog(slog.LevelInfo)
			now := time.Unix(1000, 0)
			s := &streams{
				sources: test.sources, trouble: newTrouble(log, "https://api"), log: log, metrics: newStreamMetrics(),
				now: func() time.Time { return now }, denied: func(source) {},
			}
			for i, step := range test.steps {
				now = now.Add(step.after)
				if test.opens {
					s.report(t.Context(), step.of, list, nil)
				}
				s.report(t.Context(), step.of, metav1.ListOptions{}, step.err)
				if got := s.blind(); got != step.blind {
					t.Errorf("step %d: blind is %t", i+1, got)
				}
				given := s.givenUp() > 0
				for _, src := range s.sources {
					if needed, want := s.isNeeded(src.key()), !given || src.namespace != "b"; needed != want {
						t.Errorf("step %d: %s is needed: %t", i+1, src.name(), needed)
					}
				}
			}
			if got := messages(); test.says != nil {
				for i := range got {
					got[i] = strings.NewReplacer("level=", "", `msg="`, "", `"`, "").Replace(strings.ReplaceAll(got[i], "; to read them rollspan needs the permission to list, watch ", "\n"))
					got[i], _, _ = strings.Cut(got[i], "\n")
				}
				if !slices.Equal(got, test.says) {
					t.Errorf("it says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.says, "\n"))
				}
			}
		})
	}
}

// A first list that works after a failure may take long. What it has is told with the rest, and so it is waited
// for while it is read: for longer, but not for ever. Where it breaks off, all is as before.
func TestAListThatTakesLongIsWaitedFor(t *testing.T) {
	broken := apierrors.NewInternalError(errors.New("etcdserver: leader changed"))
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	gateway := apierrors.NewGenericServerResponse(504, "get", schema.GroupResource{Resource: "events"}, "", "<html>", 0, true)
	pods := source{kind: podKind, namespace: "b", level: slog.LevelWarn}
	events := source{kind: eventKind, optional: true, level: slog.LevelWarn}
	for name, test := range map[string]struct {
		of    source
		errs  []error
		again error // what its list breaks off by
		waits time.Duration
	}{
		"Events":                {of: events, errs: []error{broken}, waits: failingFor},
		"Events of a gateway":   {of: events, errs: []error{gateway, gateway}, waits: failingFor},
		"Events, it breaks off": {of: events, errs: []error{broken}, again: broken, waits: backlogPatience},
		"pods":                  {of: pods, errs: []error{forbidden}, waits: failingFor},
		"pods, it breaks off":   {of: pods, errs: []error{forbidden}, again: forbidden, waits: refusedFor},
	} {
		t.Run(name, func(t *testing.T) {
			log, _ := testLog(slog.LevelInfo)
			began := time.Unix(1000, 0)
			now := began
			s := &streams{
				now: func() time.Time { return now }, denied: func(source) {}, trouble: newTrouble(log, "https://api"), log: log, metrics: newStreamMetrics(),
				sources: []source{{kind: podKind, namespace: "a", level: slog.LevelWarn}, pods, events},
			}
			for _, src := range s.sources {
				if src.name() != test.of.name() {
					s.settle(src)
					s.noteThrough(src)
				}
			}
			waits := func() bool { return s.blind() || len(s.waitingFor()) > 0 }
			for _, err := range test.errs {
				s.report(t.Context(), test.of, metav1.ListOptions{}, err)
			}
			now = now.Add(time.Second)
			s.trouble.answered() // a page has come
			st := newObjectStore(s.baseStore(test.of))
			if err := st.begin("5"); err != nil {
				t.Fatal(err)
			}
			if test.again != nil {
				s.report(t.Context(), test.of, metav1.ListOptions{}, test.again)
			}
			for waits() && now.Sub(began) < time.Hour {
				now = now.Add(time.Second)
			}
			if waited := now.Sub(began); waited < test.waits || waited > test.waits+time.Second {
				t.Errorf("it is waited for during %s, want %s", waited, test.waits)
			}
		})
	}
}

// One that was given up may be read again. What it has missed is put in order then like that of any
// other, and nobody waits for long where it comes to nothing.
func TestANamespaceThatReturnsIsToldInOrder(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1000, 0))
	l := newTestLive(t)
	l.options.Clock, l.options.Namespaces, l.listed = clock, []string{"a", "b"}, true
	l.streams.sources = l.cluster.liveSources(l.options.Namespaces)
	l.streams.now, l.streams.denied = clock.Now, func(source) {}
	l.streams.reached = func(m sourceMark) error { l.take(nil, queued{mark: &m}); return nil }
	settleAll(l)
	engine := &noting{Engine: causality.New(causality.Options{})}
	k := remembering(t, engine)
	k.Advance(clock.Now())
	const pods, sets = "Pod b", "ReplicaSet.apps b"
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	report := func(resource string, err error) {
		for _, src := range l.streams.sources {
			if src.namespace == "b" && src.kind.resource == resource {
				l.streams.report(t.Context(), src, metav1.ListOptions{}, err)
			}
		}
	}
	says := func(m sourceMark) { l.observe(k, l.take(nil, queued{mark: &m})) }
	sees := func(of kind, version string, stated int) {
		o := created(of, version, time.Unix(int64(1000+stated), 0), clock.Now(), true)
		o.Object.(metav1.Object).SetNamespace("b")
		l.observe(k, l.take(nil, queued{Observation: o}))
	}
	// ticks is what a Live does in so many seconds, and whether nobody waits for anything then.
	ticks := func(n int) (goesOn bool) {
		for range n {
			clock.Step(time.Second)
			l.spillBacklog(k)
			if goesOn = !l.streams.blind() && (l.backlog == nil || !l.backlog.waiting(clock.Now())); goesOn {
				l.caughtUp(k)
			}
		}
		return goesOn
	}
	lose := func() {
		for resource, source := range map[string]string{"pods": pods, "replicasets": sets} {
			report(resource, forbidden)
			says(sourceMark{source: source, away: true})
		}
	}
	lose()
	if ticks(int(refusedFor/time.Second) - 1) {
		t.Error("nobody waits for it")
	}
	if lose(); !ticks(int(backlogPatience/time.Second) + 2) {
		t.Fatal("it is waited for long")
	}
	if lose(); l.backlog != nil || !ticks(1) {
		t.Error("it is waited for again, and was not read meanwhile")
	}

	// Its watches go on. What the first of them tells is not told before the others have come.
	report("pods", nil)
	sees(podKind, "12", 12)
	says(sourceMark{source: pods, version: "13"})
	report("replicasets", nil)
	sees(replicaSetKind, "11", 11)
	if len(engine.told) > 0 {
		t.Error("what it tells first is told before the rest is there")
	}
	says(sourceMark{source: sets, version: "13"})
	if !ticks(1) {
		t.Error("it is waited for when it is all there")
	}
	var got []string
	for _, o := range engine.told {
		got = append(got, fmt.Sprintf("%s at %.0f", versionOf(o.Object), o.Time.Sub(time.Unix(1000, 0)).Truncate(time.Second).Seconds()))
	}
	if want := []string{"11 at 11", "12 at 12"}; !slices.Equal(got, want) {
		t.Errorf("it is told %q, want %q", got, want)
	}

	// Where they have nowhere to go on from they list, the first of which all the rest waits for, too.
	lose()
	ticks(int((refusedFor + backlogPatience) / time.Second))
	if lose(); l.backlog != nil {
		t.Fatal("it is waited for long")
	}
	if says(sourceMark{source: sets, listing: true}); l.backlog == nil || !l.backlog.waits[sets] {
		t.Error("its list is not waited for")
	}
	if says(sourceMark{source: sets, away: true}); !ticks(int(backlogPatience/time.Second) + 1) {
		t.Error("a list that breaks off is waited for")
	}
}

// sending is a Sink that sends what it gets.
type sending chan spans.Trace

func (s sending) Deliver(t spans.Trace) error {
	s <- t
	return nil
}

// As a namespace is deleted with the Role in it, what may still be read is told on, and what happened
// meanwhile with it.
func TestTheOthersGoOnWhereANamespaceIsLost(t *testing.T) {
	observations := recorded(t, "slow-image-pull.jsonl")
	began := observations[0].Time
	shop := observations[0].Object.(metav1.Object).GetNamespace()
	api := newFakeAPI(t)
	clock := clocktesting.NewFakeClock(began.Add(-time.Minute))
	log, messages := testLog(slog.LevelInfo)
	told := make(sending, 100)
	l, err := NewLive(LiveOptions{
		Config: api.config(), Namespaces: []string{shop, "lost"}, Log: log, Clock: clock,
		Sink: func(string) (Sink, error) { return told, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := l.start(t)
	var said []string
	says := func(part string) bool {
		said = append(said, messages()...)
		return slices.ContainsFunc(said, func(m string) bool { return strings.Contains(m, part) })
	}
	eventually(t, "the first lists", func() bool {
		clock.Step(50 * time.Millisecond)
		return says("watching; ")
	})
	clock.SetTime(began)
	api.deny("lost")
	eventually(t, "that something is missed", l.streams.blind)
	for _, o := range observations {
		if err := l.enqueue(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the rollout in the other namespace", func() bool {
		if clock.Step(time.Second); clock.Since(began) > time.Hour {
			t.Fatal("it is not told")
		}
		select {
		case trace := <-told:
			if waited := clock.Since(began); waited < refusedFor {
				t.Fatalf("it is told after %s: the other namespace was not waited for", waited)
			}
			return trace.Root().Name == "Deployment rollout"
		default:
			return false
		}
	})
	if !says("cannot read namespace lost; what happens in the others is told without it") {
		t.Errorf("it said\n%s", strings.Join(said, "\n"))
	}
	if s := l.Status(); !s.Ready {
		t.Errorf("it is %+v", s)
	}

	api.deny()
	eventually(t, "the namespace to return", func() bool {
		l.streams.back.tell()
		return says("reading namespace lost again")
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A namespace that may not be read is not waited for at the start either, be it that the API server
// says so when it is asked for permissions, or when a list is. Where there is no other the run ends.
func TestAStartWithoutANamespace(t *testing.T) {
	for name, test := range map[string]struct {
		denied []string // namespaces
		pods   int      // what is answered for pods, in all of them
		ends   bool
	}{
		"one of two":                      {denied: []string{"b"}},
		"both":                            {denied: []string{"a", "b"}, ends: true},
		"both, and nobody said so before": {pods: http.StatusForbidden, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI(t)
			api.deny(test.denied...)
			if test.pods != 0 {
				api.codes["pods"] = test.pods
			}
			log, messages := testLog(slog.LevelInfo)
			l, err := NewLive(LiveOptions{
				Config: api.config(), Namespaces: []string{"a", "b"}, Log: log, Sink: func(string) (Sink, error) { return &collected{}, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			if test.ends {
				if err := l.Start(t.Context()); !isForbiddenError(err) {
					t.Errorf("it ends with %v", err)
				}
				return
			}
			stop := l.start(t)
			var said []string
			eventually(t, "the first lists", func() bool {
				said = append(said, messages()...)
				return slices.ContainsFunc(said, func(m string) bool { return strings.Contains(m, "watching; ") })
			})
			if err := l.Ready(impatient(t)); err != nil {
				t.Error(err)
			}
			if n := count(said, `level=WARN msg="cannot read namespace b; what happens in the others is told without it; trying again"`); n != 1 {
				t.Errorf("it said\n%s", strings.Join(said, "\n"))
			}
			api.deny()
			eventually(t, "the namespace", func() bool {
				l.streams.back.tell()
				return slices.ContainsFunc(messages(), func(m string) bool { return strings.Contains(m, "reading namespace b again") })
			})
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}

	// What is refused when it is listed is given up alone.
	l := newTestLive(t)
	l.streams.sources = l.cluster.liveSources([]string{"a", "b"})
	missing := func(ns string) error {
		return &ForbiddenError{Missing: []Permission{{Resource: "pods", Namespace: ns, Verbs: watchVerbs}}}
	}
	if !l.streams.goesOn(missing("b")) || l.streams.givenUp() != 1 || l.streams.isNeeded("Pod b") || !l.streams.isNeeded("Pod a") {
		t.Error("it does not go on without b")
	}
	if l.streams.goesOn(missing("a")) || l.streams.goesOn(errors.New("no")) || l.streams.goesOn(nil) {
		t.Error("it goes on without any")
	}
}

// A list may be refused for a moment at the start, too. Where the API server does not say that it denies the
// permission, the namespace is waited for as in a run, and what ended in it meanwhile is told with the rest.
func TestAStartWaitsForWhatMayBeGranted(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	for name, test := range map[string]struct {
		says  func(*fakeAPI) // how it answers who asks for permissions
		waits time.Duration
		ends  bool // when the other one is refused, too
	}{
		"granted":           {func(*fakeAPI) {}, refusedFor, true},
		"denied":            {func(a *fakeAPI) { a.deny("b") }, 0, false}, // it is known that the other one is not
		"who asks gets 403": {func(a *fakeAPI) { a.beginning = 1000 }, refusedFor, true},
	} {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI(t)
			test.says(api)
			log, _ := testLog(slog.LevelInfo)
			clock := clocktesting.NewFakeClock(time.Unix(1000, 0))
			l, err := NewLive(LiveOptions{
				Config: api.config(), Namespaces: []string{"a", "b"}, Log: log, Clock: clock, Sink: func(string) (Sink, error) { return &collected{}, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			var ends error
			l.streams.denied = func(s source) { ends = l.denied(t.Context(), s) }
			refuse := func(ns string) {
				for _, src := range l.streams.sources {
					if src.namespace == ns && src.kind.resource == "pods" {
						l.streams.report(t.Context(), src, metav1.ListOptions{}, forbidden)
					}
				}
			}
			waitsForPods := func() bool { return slices.Contains(l.streams.waitingFor(), "pods in namespace b") }
			refuse("b")
			began := clock.Now()
			for ; waitsForPods() && clock.Since(began) < time.Hour; clock.Step(time.Second) {
				refuse("b")
			}
			if waited := clock.Since(began); waited != test.waits || ends != nil {
				t.Errorf("it is waited for during %s, want %s; the run ends with %v", waited, test.waits, ends)
			}
			if refuse("a"); isForbiddenError(ends) != test.ends {
				t.Errorf("the other one is refused, too, and the run ends with %v", ends)
			}
		})
	}
}

// So it is where a run goes on from a journal which says how far all was seen in each of the namespaces.
func TestAJournalGoesOnWithoutANamespace(t *testing.T) {
	api := newFakeAPI(t)
	api.lists["/api/v1/namespaces/b/pods"] = []string{`{"metadata":{"namespace":"b","name":"web","uid":"web","resourceVersion":"5","creationTimestamp":"2026-01-01T10:00:00Z"}}`}
	clock := clocktesting.NewFakeClock(time.Unix(2e9, 0))
	dir := t.TempDir()
	for _, denied := range []string{"", "b"} {
		log, messages := testLog(slog.LevelInfo)
		l, err := NewLive(LiveOptions{
			Config: api.config(), Namespaces: []string{"a", "b"}, Log: log, Clock: clock, DataDir: dir,
			Sink: func(string) (Sink, error) { return &collected{}, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		api.deny(denied)
		began := clock.Now()
		stop := l.start(t)
		var said []string
		says := func(part string) bool {
			said = append(said, messages()...)
			return slices.ContainsFunc(said, func(m string) bool { return strings.Contains(m, part) })
		}
		eventually(t, "the first lists", func() bool {
			if clock.Step(time.Second); clock.Since(began) > time.Hour {
				t.Fatalf("it waits for %v, and says\n%s", l.streams.waitingFor(), strings.Join(said, "\n"))
			}
			return says("watching; ")
		})
		if resumes := says("going on where the run before has stopped"); resumes != (denied != "") || resumes != (l.streams.givenUp() == 1) {
			t.Errorf("it said\n%s", strings.Join(said, "\n"))
		}
		eventually(t, "what is listed", func() bool {
			clock.Step(time.Second)
			return l.journalStats().Records > 0
		})
		if err := errors.Join(stop(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

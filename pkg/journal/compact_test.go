package journal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
	spankind "github.com/rollspan/rollspan/pkg/spans/kind"
)

// quiet are the steps of a recording after which nothing is to be told.
func quiet(steps []step) (after []int) {
	e := newEngine()
	for i, s := range steps {
		if s.observation.Object != nil {
			e.Observe(s.observation)
			continue
		}
		e.Advance(s.now)
		if i+1 < len(steps) && len(e.Unsettled()) == 0 && (len(after) == 0 || i > after[len(after)-1]+20) {
			after = append(after, i)
		}
	}
	return after
}

// night is how long nothing happens in a recording that was stretched.
const night = 3 * time.Hour

// stretched is a recording in which nothing happens for a night after a step.
func stretched(t testing.TB, steps []step, after int) []step {
	t.Helper()
	fell := steps[after].now
	out := slices.Clone(steps[:after+1])
	for at := time.Duration(0); at < night; at += time.Minute {
		out = append(out, step{now: fell.Add(at)})
	}
	for _, s := range steps[after+1:] {
		if s.observation.Object == nil {
			out = append(out, step{now: s.now.Add(night)})
			continue
		}
		o := s.observation
		o.Time = o.Time.Add(night)
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		later(content, fell)
		fresh := o.Object.DeepCopyObject()
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, fresh); err != nil {
			t.Fatal(err)
		}
		o.Object = fresh
		out = append(out, step{observation: o})
	}
	return out
}

// later has all times in an object that are after one be a night later.
func later(v any, after time.Time) any {
	switch in := v.(type) {
	case map[string]any:
		for k, e := range in {
			in[k] = later(e, after)
		}
	case []any:
		for i, e := range in {
			in[i] = later(e, after)
		}
	case string:
		at, err := time.Parse(time.RFC3339Nano, in)
		if err == nil && at.After(after) {
			format := time.RFC3339
			if len(in) > len("2006-01-02T15:04:05Z") {
				format = "2006-01-02T15:04:05.000000Z07:00"
			}
			return at.Add(night).Format(format)
		}
	}
	return v
}

// slept is a recording that was stretched.
type slept struct {
	steps []step
	dawn  int   // the step at which the night is over
	want  *told // what is told of it where nobody disturbs
	where string
}

// eachSlept has something tried with each recording so many times, with a night after any step
// after which nothing is to be told.
func eachSlept(t *testing.T, trials int, seed uint64, try func(t *testing.T, trial int, r *rand.Rand, s slept)) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			whole := load(t, name)
			after := quiet(whole)
			for trial := range trials {
				if len(after) == 0 || t.Failed() {
					return
				}
				r := rand.New(rand.NewPCG(uint64(trial), seed))
				fell := after[r.IntN(len(after))]
				steps := stretched(t, whole, fell)
				try(t, trial, r, slept{
					steps: steps, dawn: fell + int(night/time.Minute), want: undisturbed(t, steps),
					where: fmt.Sprintf("trial %d, night after step %d of %d", trial, fell, len(whole)),
				})
			}
		})
	}
}

// TestCompactedAnywhere has the journal compacted, and rollspan killed, anywhere after a night
// in which nothing happened. What was before the night is then known by its newest states only,
// or whole where that takes little; what is told in the morning is the same.
func TestCompactedAnywhere(t *testing.T) {
	cut := 0
	eachSlept(t, trials(3, 40), 1, func(t *testing.T, trial int, r *rand.Rand, s slept) {
		tight := trial%2 == 0
		where := fmt.Sprintf("%s, tight %t", s.where, tight)
		dir, to := t.TempDir(), newTold(t)
		l := begin(t, dir, to, always)
		from := 0
		for range 2 {
			until := max(from, s.dawn+r.IntN(len(s.steps)-s.dawn))
			l.live(s.steps[from:until])
			if tight {
				l.Tighten()
			}
			before := l.Stats().Bytes
			if err := l.CompactNow(); err != nil {
				t.Fatal(err)
			}
			if l.Stats().Bytes < before/2 {
				cut++
			}
			from = until + r.IntN(len(s.steps)-until)
			l.live(s.steps[until:from])
			l.Tick()
			l.Kill()
			l = begin(t, dir, to, always)
		}
		l.live(s.steps[from:])
		if tight {
			s.want.withoutRestarts().compare(to.withoutRestarts(), where)
		} else {
			s.want.compare(to, where)
		}
		to.once(where)
	})
	if cut < 10 {
		t.Errorf("the journal was made much smaller %d times only", cut)
	}
}

// withoutRestarts leaves out what is told of a pod that was there when its workload was cut, and
// has to do with the rollout that made it: a restart leads there, and Events are late Events of
// it. To who knows the newest states only that rollout is old news.
func (to *told) withoutRestarts() *told {
	out := newTold(to.t)
	for key, wire := range to.bytes {
		switch name, _, _ := strings.Cut(to.name[key], " pod/"); name {
		case "Container restart", "back off", "Pod activity", "late events":
		default:
			out.bytes[key], out.name[key], out.times[key] = wire, to.name[key], to.times[key]
		}
	}
	return out
}

// TestWhatNoReplayBuilds has a process end with spans that nobody has acknowledged. What the next one builds again
// is kept until somebody does. What it does not keeps nothing: that of an engine that was closed, as the
// cluster was restored from a backup, or of flags that the next one does not have.
func TestWhatNoReplayBuilds(t *testing.T) {
	const written = 1500 // twice a minute
	steps := load(t, "rolling-update-undo-scale-restart")
	never := func() bool { return false }
	for name, test := range map[string]struct {
		end   func(t *testing.T, dir string)
		ack   func() bool
		waits bool
	}{
		"a restore": {ack: always, end: func(t *testing.T, dir string) {
			l := begin(t, dir, newTold(t), never)
			l.live(steps[:beforeRollout(steps)])
			if len(l.Forsake()) == 0 {
				t.Fatal("nothing is over")
			}
			if err := errors.Join(l.Rest(), l.Close()); err != nil {
				t.Fatal(err)
			}
		}},
		"other flags": {ack: always, end: func(t *testing.T, dir string) {
			o := causality.Options{Records: func(*corev1.Event) bool { return true }}
			k, _ := quietly(t, dir, func() journal.Engine { return causality.New(o) }, newTold(t))
			for _, s := range steps {
				k.AcknowledgeAll(slices.DeleteFunc(taken(k, s), func(tr spans.Trace) bool { return tr.Record != nil }))
			}
			k.Tick()
			if k.Stats().Unacknowledged == 0 {
				t.Fatal("no log record waits")
			}
			k.Kill()
		}},
		"what is built again": {ack: never, waits: true, end: func(t *testing.T, dir string) {
			l := begin(t, dir, newTold(t), never)
			l.live(steps)
			l.Tick()
			l.Kill()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test.end(t, dir)
			to := newTold(t)
			l := begin(t, dir, to, test.ack)
			told := len(to.bytes)
			now := steps[len(steps)-1].now
			for version := range written {
				now = now.Add(30 * time.Second)
				l.hand(l.Observe(nodeAt(version, now)))
				l.Tick()
			}
			if err := l.CompactNow(); err != nil {
				t.Fatal(err)
			}
			waiting := l.Stats().Unacknowledged
			l.Kill()
			again := newTold(t)
			left := begin(t, dir, again, always).Stats().Recovered
			if (waiting > 0) != test.waits || (left > written) != test.waits {
				t.Errorf("%d traces wait to be acknowledged, and %d observations are left", waiting, left)
			}
			if test.waits && (told == 0 || len(again.bytes) < told) {
				t.Errorf("of %d spans %d are told again", told, len(again.bytes))
			}
		})
	}
}

// beforeRollout is how many steps there are before a rollout is told.
func beforeRollout(steps []step) (n int) {
	e := newEngine()
	for i, s := range steps {
		var out []spans.Trace
		if s.observation.Object != nil {
			out = e.Observe(s.observation)
		} else {
			out = e.Advance(s.now)
		}
		if slices.ContainsFunc(out, func(tr spans.Trace) bool { return tr.Root().Kind == spankind.Rollout }) {
			return i
		}
	}
	return len(steps)
}

// nodeAt is a node that says the same in another version.
func nodeAt(version int, at time.Time) stream.Observation {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "n", UID: "n", ResourceVersion: fmt.Sprint(1_000_000 + version), Annotations: map[string]string{"large": strings.Repeat("0123", 500)},
	}}
	n.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	return stream.Observation{Time: at, Type: watch.Modified, Object: n}
}

// TestStaysSmall has a pod that is written twice a minute for a week. The journal stays
// small, a restart in between costs nothing, and no more than it may is ever on the disk.
func TestStaysSmall(t *testing.T) {
	whole := load(t, "rolling-update-undo-scale-restart")
	const most = 2 << 20
	dir, to := t.TempDir(), newTold(t)
	open := func() *life {
		k, err := journal.Open(journal.Options{Dir: dir, New: newEngine, MaxBytes: most, Log: testLog(t)})
		if err != nil {
			t.Fatal(err)
		}
		l := &life{k, to, always}
		if err := k.Recover(func(out []spans.Trace) error { l.hand(out); return nil }); err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	l.live(whole)
	now := whole[len(whole)-1].now
	// The last states, again and again: of a pod that says the same in another version.
	var pod *corev1.Pod
	for _, s := range whole {
		if p, ok := s.observation.Object.(*corev1.Pod); ok && s.observation.Type != watch.Deleted {
			pod = p
		}
	}
	compactions := int64(0)
	for version := range 20_000 {
		now = now.Add(30 * time.Second)
		again := pod.DeepCopy()
		again.ResourceVersion = fmt.Sprint(1_000_000 + version)
		again.Annotations = map[string]string{"noise": fmt.Sprintf("%x", rand.New(rand.NewPCG(uint64(version), 2)).Uint64())}
		o := stream.Observation{Time: now, Type: watch.Modified, Object: again}
		l.hand(l.Observe(o))
		l.Tick()
		l.WaitCompacted()
		if at := l.Stats().Bytes; at > most {
			t.Fatalf("%d bytes after %d observations", at, version)
		}
		if version == 10_000 {
			compactions += l.Stats().Compactions
			l.Kill()
			l = open()
		}
	}
	if compactions += l.Stats().Compactions; compactions < 2 {
		t.Errorf("compacted %d times, of %d bytes", compactions, l.Stats().Bytes)
	}
	to.once("")
}

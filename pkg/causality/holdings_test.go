package causality

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
)

// recount checks the accounts against what there is.
func (e *Engine) recount(t interface{ Fatalf(string, ...any) }) {
	bytes, total := map[string]int{}, 0
	for key, ev := range e.events {
		if ev.Key != key || ev.Account.In == nil {
			t.Fatalf("Event %s is in no account", key)
		}
		if n := podlife.EventSize(ev); n != ev.Account.Bytes {
			t.Fatalf("Event %s is charged %d bytes, not %d", key, ev.Account.Bytes, n)
		}
		if e.objects[ev.Object.ObjectID] != ev.Object || !slices.Contains(ev.Object.Events, ev) {
			t.Fatalf("Event %s is not in the list of its object", key)
		}
		if ev.Account.In.Events[ev.Account.At] != ev {
			t.Fatalf("Event %s is not in the list of its namespace", key)
		}
		bytes[ev.Account.In.Namespace] += ev.Account.Bytes
		total += ev.Account.Bytes
	}
	for _, obj := range e.objects {
		for _, ev := range obj.Events {
			if e.events[ev.Key] != ev {
				t.Fatalf("Event %s of %s is forgotten, and kept", ev.Key, obj.UID)
			}
		}
	}
	have, events := map[string]int{}, 0
	for i, h := range e.holdings.Order {
		if h.At != i || e.holdings.ByNamespace[h.Namespace] != h || i > 0 && e.holdings.Order.Less(i, (i-1)/2) {
			t.Fatalf("namespace %q is misplaced", h.Namespace)
		}
		have[h.Namespace] = h.Bytes
		events += len(h.Events)
	}
	if !maps.Equal(have, bytes) || total != e.holdings.Total || events != len(e.events) || len(have) != len(e.holdings.ByNamespace) {
		t.Fatalf("%d bytes in %d Events of %v, accounted are %d in %d of %v", total, len(e.events), bytes, e.holdings.Total, events, have)
	}
}

// keys are the Events of a namespace that are kept.
func (e *Engine) keys(namespace string) []string {
	var keys []string
	for key := range e.events {
		if strings.HasPrefix(key, namespace+"/") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// rivals is a stream that several engines see.
type rivals struct {
	at      time.Time
	version int
	seen    []Observation // without an object: only time has passed
	bounded *Engine
	free    *Engine
	peak    int // of what the free one kept
	// told are the traces of each, by namespace.
	told, toldFree map[string][]string
}

func newRivals(bound int) *rivals {
	return &rivals{
		at:      time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC),
		bounded: New(Options{EventBytes: bound}), free: New(Options{EventBytes: 1 << 40}),
		told: map[string][]string{}, toldFree: map[string][]string{},
	}
}

func note(emitted map[string][]string, traces []spans.Trace) {
	for _, t := range traces {
		namespace, _ := t.Root().Attribute(semconv.K8SNamespaceNameKey)
		emitted[namespace.AsString()] = append(emitted[namespace.AsString()], fmt.Sprintf("%+v", t))
	}
}

func (r *rivals) see(o Observation) {
	r.version++
	r.at = r.at.Add(10 * time.Millisecond)
	o.Time = r.at
	o.Object.(metav1.Object).SetResourceVersion(strconv.Itoa(r.version))
	o.Object = o.Object.DeepCopyObject()
	r.seen = append(r.seen, o)
	note(r.told, r.bounded.Observe(o))
	note(r.toldFree, r.free.Observe(o))
	r.peak = max(r.peak, r.free.holdings.Total)
}

func (r *rivals) advance() {
	r.seen = append(r.seen, Observation{Time: r.at})
	note(r.told, r.bounded.Advance(r.at))
	note(r.toldFree, r.free.Advance(r.at))
}

func (r *rivals) event(namespace, name, pod, uid, message string, count int32) {
	now := metav1.NewTime(r.at.Truncate(time.Second))
	r.see(Observation{Type: watch.Added, Object: &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: name},
		InvolvedObject: corev1.ObjectReference{Kind: kube.KindPod, Namespace: namespace, Name: pod, UID: types.UID(uid)},
		Reason:         "FailedScheduling", Message: message, FirstTimestamp: now, LastTimestamp: now, Count: count,
	}})
}

func (r *rivals) pod(namespace, name string, typ watch.EventType) {
	r.see(Observation{Type: typ, Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID(namespace + name), CreationTimestamp: metav1.NewTime(r.at.Truncate(time.Second)),
	}}})
}

// TestAFloodTakesNothingFromOthers: whatever a tenant writes, a namespace that holds
// less than its share of the memory keeps all, and its traces are what they would be.
func TestAFloodTakesNothingFromOthers(t *testing.T) {
	const bound = 64 << 10
	names := []string{"evil", "noisy", "shop"}
	rapid.Check(t, func(t *rapid.T) {
		r := newRivals(bound)
		overShare := map[string]bool{}
		n := 0
		lengths := rapid.SampledFrom([]int{10, 200, 5000})
		text := func(length int) string { n++; return fmt.Sprint(n, strings.Repeat("m", length)) }
		pods := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"flood with Events": func(t *rapid.T) {
				pod, length := pods.Draw(t, "pod"), lengths.Draw(t, "message")
				for range rapid.IntRange(1, 40).Draw(t, "events") {
					n++
					r.event("evil", fmt.Sprint("e", n), pod, "evil"+pod, text(length), 1)
				}
			},
			"flood with objects": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "objects") {
					n++
					r.event("evil", fmt.Sprint("e", n), fmt.Sprint("no", n), fmt.Sprint("no", n), "", 1)
				}
			},
			"flood with repetitions": func(t *rapid.T) {
				name, length := fmt.Sprint("patched", rapid.IntRange(0, 5).Draw(t, "name")), lengths.Draw(t, "message")
				for range rapid.IntRange(1, 40).Draw(t, "repetitions") {
					n++
					r.event("evil", name, "a", "evila", text(length), int32(n))
				}
			},
			"write some": func(t *rapid.T) {
				pod, namespace := pods.Draw(t, "pod"), rapid.SampledFrom(names[1:]).Draw(t, "namespace")
				name := fmt.Sprint("s", rapid.IntRange(0, 9).Draw(t, "name"))
				uid := rapid.SampledFrom([]string{namespace + pod, ""}).Draw(t, "uid")
				r.event(namespace, name, pod, uid, text(lengths.Draw(t, "message")), int32(n))
			},
			"pod": func(t *rapid.T) {
				typ := rapid.SampledFrom([]watch.EventType{watch.Modified, watch.Deleted}).Draw(t, "type")
				r.pod(rapid.SampledFrom(names).Draw(t, "namespace"), pods.Draw(t, "pod"), typ)
			},
			"expire": func(t *rapid.T) {
				name := fmt.Sprint("s", rapid.IntRange(0, 9).Draw(t, "name"))
				r.see(Observation{Type: watch.Deleted, Object: &corev1.Event{ObjectMeta: metav1.ObjectMeta{
					Namespace: rapid.SampledFrom(names).Draw(t, "namespace"), Name: name,
				}}})
			},
			"wait": func(t *rapid.T) {
				r.at = r.at.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "time"))
				r.advance()
			},
			"": func(t *rapid.T) {
				r.bounded.recount(t)
				r.free.recount(t)
				if r.bounded.holdings.Total > bound {
					t.Fatalf("%d bytes are kept", r.bounded.holdings.Total)
				}
				for _, namespace := range names[1:] {
					if h := r.free.holdings.ByNamespace[namespace]; h != nil && h.Bytes > bound/len(names) {
						overShare[namespace] = true
					}
					if overShare[namespace] {
						continue
					}
					if have, want := r.bounded.keys(namespace), r.free.keys(namespace); !slices.Equal(have, want) {
						t.Fatalf("%s has %d of %d Events", namespace, len(have), len(want))
					}
					if !slices.Equal(r.told[namespace], r.toldFree[namespace]) {
						t.Fatalf("%s has other traces:\n%s\nnot\n%s", namespace, r.told[namespace], r.toldFree[namespace])
					}
				}
			},
		})
		if have, want := r.bounded.stats.Shed, r.free.stats.Shed; r.peak <= bound && !maps.Equal(have, want) {
			t.Fatalf("forgotten are %v for no need, not %v", have, want)
		}
		// The same input gives the same, in whatever order maps are walked.
		again := New(Options{EventBytes: bound})
		for _, o := range r.seen {
			if o.Object == nil {
				again.Advance(o.Time)
			} else {
				again.Observe(o)
			}
		}
		if a, b := again.Stats(), r.bounded.Stats(); !maps.Equal(a.Shed, b.Shed) || a.ShedIn != b.ShedIn {
			t.Fatalf("forgotten are once %v, once %v", b.Shed, a.Shed)
		}
		for _, namespace := range names {
			if !slices.Equal(again.keys(namespace), r.bounded.keys(namespace)) {
				t.Fatalf("of %s other Events are kept", namespace)
			}
		}
	})
}

// TestWhatIsForgottenFirst: what was told goes before what nothing but Events tells
// of, that before what a change may want, and of that the middle.
func TestWhatIsForgottenFirst(t *testing.T) {
	r := newRivals(20 * (podlife.EventOverhead + podlife.OccurrenceOverhead + 100))
	for i := range 5 {
		r.event("evil", fmt.Sprint("told", i), "told", "eviltold", "m", 1)
	}
	r.at = r.at.Add(5 * time.Minute)
	r.bounded.Advance(r.at)
	for i := range 5 {
		if !r.bounded.events[fmt.Sprint("evil/told", i)].Ledger.Claimed {
			t.Fatal("the first Events were not told")
		}
	}
	r.pod("evil", "pod", watch.Added)
	for i := range 9 {
		r.event("evil", fmt.Sprint("pod", i), "pod", "evilpod", "m", 1)
	}
	for i := range 3 {
		r.event("evil", fmt.Sprint("none", i), "none", "none", "m", 1)
	}
	gone := func() (gone []string) {
		for _, key := range r.free.keys("evil") {
			if r.bounded.events[key] == nil {
				gone = append(gone, strings.TrimPrefix(key, "evil/"))
			}
		}
		return gone
	}
	var order []string
	for i := 0; len(order) < 13; i++ {
		r.event("evil", fmt.Sprint("pod", 9+i), "pod", "evilpod", "m", 1)
		for _, name := range gone() {
			if !slices.Contains(order, name) {
				order = append(order, name)
			}
		}
	}
	kinds := make([]string, len(order))
	for i, name := range order {
		kinds[i] = strings.TrimRight(name, "0123456789")
	}
	if want := strings.Fields("told told told told told none none none pod pod pod pod pod"); !slices.Equal(kinds, want) {
		t.Errorf("forgotten are %v", order)
	}
	for _, ends := range []string{"pod0", fmt.Sprint("pod", 9+12)} {
		if slices.Contains(order, ends) {
			t.Errorf("%s was at the end of the list, and is forgotten", ends)
		}
	}
	if shed := r.bounded.Stats(); shed.Shed[ShedTold] != 5 || shed.Shed[ShedUntold] != int64(len(gone())-5) || shed.ShedIn != "evil" {
		t.Errorf("counted are %v in %q", shed.Shed, shed.ShedIn)
	}
}

// attacks are what one tenant may write to take the memory. Before there were bounds
// the first took 709 MB.
var attacks = map[string]func(r *life){
	"Events that are patched": func(l *life) {
		for i := range 10 {
			for j := range int32(64) {
				l.tell("evil", fmt.Sprint("e", i), "pod", fmt.Sprint(j, strings.Repeat("m", 1<<20)), j+1)
			}
		}
	},
	"Events about nothing": func(l *life) {
		for i := range 40000 {
			l.tell("evil", fmt.Sprint("e", i), fmt.Sprint("nothing", i), "m", 1)
		}
	},
	"long names": func(l *life) {
		for i := range 2000 {
			name := fmt.Sprint(i, strings.Repeat("n", 64<<10))
			l.tell("evil", name, name, name, 1)
		}
	},
	"all that a status says": func(l *life) {
		p := &corev1.Pod{ObjectMeta: l.meta("pod", "pod", nil)}
		for i := range 10 {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i)})
		}
		for i := range 300 {
			text := fmt.Sprint(i, strings.Repeat("m", 256<<10))
			p.Status.Conditions = []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: text, Message: text},
				{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: text, Message: text},
			}
			p.Status.Reason, p.Status.Message = text, text
			p.Status.ContainerStatuses = nil
			for _, c := range p.Spec.Containers {
				s := corev1.ContainerStatus{Name: c.Name, ImageID: text, State: corev1.ContainerState{
					Waiting: &corev1.ContainerStateWaiting{Reason: fmt.Sprint("R", i), Message: text},
				}}
				s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ContainerID: text, Reason: "StartError", Message: text}
				p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, s)
			}
			l.see(watch.Modified, p)
		}
	},
}

func (l *life) tell(namespace, name, object, message string, count int32) {
	now := metav1.NewTime(l.at.Truncate(time.Second))
	l.see(watch.Added, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: name},
		InvolvedObject: corev1.ObjectReference{Kind: kube.KindPod, Namespace: namespace, Name: object, UID: types.UID(object)},
		Reason:         "Failed", Message: message, FirstTimestamp: now, LastTimestamp: now, Count: count,
	})
}

const attackVariable = "ROLLSPAN_TEST_ATTACK"

// TestNoTenantTakesTheMemory runs each attack in a process of its own, which says how
// much of the heap is in use then. The Events may take 8 MiB.
func TestNoTenantTakesTheMemory(t *testing.T) {
	if name := os.Getenv(attackVariable); name != "" {
		l := newLife()
		l.Engine = New(Options{EventBytes: 8 << 20})
		attacks[name](l)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Printf("in use %d\n", m.HeapInuse)
		runtime.KeepAlive(l)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(attacks)) {
		t.Run(name, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoTenantTakesTheMemory$") //nolint:gosec // The test itself.
			child.Env = append(os.Environ(), attackVariable+"="+name)
			out, err := child.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var used int
			for line := range bytes.Lines(out) {
				if n, ok := strings.CutPrefix(string(line), "in use "); ok {
					used, _ = strconv.Atoi(strings.TrimSpace(n))
				}
			}
			t.Logf("%d KiB", used>>10)
			if used == 0 || used > 32<<20 {
				t.Errorf("%d bytes are in use; the child said: %s", used, cmp.Or(string(out), "nothing"))
			}
		})
	}
}

package records

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans"
)

// An Event by which looking ahead panics is handed out once, as it is, and keeps up no other.
func TestAPanicCostsAnEventItsIDsAndNothingElse(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	r := &Records{}
	for _, name := range []string{"first", "bad", "last"} {
		ev := &podlife.Event{
			Object: &podlife.Object{ObjectID: kube.ObjectID{Kind: "Shop", Namespace: "shop"}, Name: name}, Ledger: &ledger.Event{},
			Occurrences: []podlife.Occurrence{{Count: 1, At: now}},
		}
		r.waiting = append(r.waiting, &entry{event: ev, count: 1, at: now, seen: now, record: spans.Record{Message: name}})
	}
	panics := 0
	around := Around{Claims: podlife.NewVolumeClaims(), WorkloadOf: func(obj *podlife.Object) *workloads.Workload {
		if obj.Name == "bad" && panics == 0 {
			panics++
			panic("of bad")
		}
		return nil
	}}
	take := func(out *[]spans.Trace) (failed bool) {
		defer func() { failed = recover() != nil }()
		r.Take(now.Add(time.Minute), 5*time.Second, false, around, out)
		return false
	}
	var out []spans.Trace
	var names []string
	for take(&out) {
		_, name := r.GiveUp(around, &out)
		names = append(names, name)
	}
	if len(names) != 1 || names[0] != "bad" || len(r.waiting) != 0 {
		t.Errorf("given up are %q, and %d wait", names, len(r.waiting))
	}
	if len(out) != 3 || out[0].Record.Message != "first" || out[1].Record.Message != "bad" || out[2].Record.Message != "last" {
		t.Fatalf("there are %d records", len(out))
	}
	if bad := out[1].Record; bad.TraceID.IsValid() || bad.SpanID.IsValid() {
		t.Error("it names a trace")
	}
}

// Long Events are handed out before their time, and where nothing may be handed out the oldest are
// lost: what waits is bounded by what it takes.
func TestLongRecordsThatWaitAreBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	r := New(func(*corev1.Event) bool { return true })
	long := strings.Repeat("x", spans.MaxText)
	around := Around{Claims: podlife.NewVolumeClaims(), WorkloadOf: func(*podlife.Object) *workloads.Workload { return nil }}
	n := 0
	observe := func() {
		n++
		ev := &podlife.Event{
			Object: &podlife.Object{ObjectID: kube.ObjectID{Kind: "Shop", Namespace: "shop"}, Name: "cart"}, Ledger: &ledger.Event{},
			Occurrences: []podlife.Occurrence{{Count: 1, At: now}},
		}
		r.Observe(ev, &corev1.Event{Message: long, Reason: long, Action: long}, stream.Observation{Time: now})
	}
	for !r.Ready(now, 5*time.Second) {
		observe()
	}
	if n < 100 || n > mostWaiting/2 {
		t.Errorf("%d records are too many to wait", n)
	}
	var out []spans.Trace
	r.Take(now, 5*time.Second, false, around, &out)
	if len(out) == 0 || len(out)+len(r.waiting) != n || r.bytes > mostBytes {
		t.Errorf("%d were handed out, and %d wait with %d bytes", len(out), len(r.waiting), r.bytes)
	}
	for range 4 * n {
		observe() // and nobody takes them
	}
	if r.Lost() == 0 || r.bytes > 2*mostBytes {
		t.Errorf("%d are lost, and %d wait with %d bytes", r.Lost(), len(r.waiting), r.bytes)
	}
	handed := len(out)
	r.Take(now, 5*time.Second, true, around, &out)
	if got := int64(len(out)) + r.Lost(); got != int64(n) || r.bytes != 0 {
		t.Errorf("of %d there are %d, %d of them lost, and %d bytes", n, got, r.Lost(), r.bytes)
	}
	if len(out) == handed {
		t.Error("nothing was left")
	}
}

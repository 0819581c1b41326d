package records

import (
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
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

package causality

import (
	"encoding/binary"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
)

// TestAnOpenChangeIsRememberedHoweverManyOthersAreTold has somebody cause so many traces
// that of those which were given the earliest are forgotten. The ID of a change that is
// open all the while is not: who has seen it in progress could join it.
func TestAnOpenChangeIsRememberedHoweverManyOthersAreTold(t *testing.T) {
	l := newLife()
	d := &appsv1.Deployment{ObjectMeta: l.meta("d", "web", nil)}
	l.see(watch.Added, d)
	l.pass(time.Minute)
	w := l.workloads[kube.BuiltIn("Deployment", d)]
	id := w.Current().Identity(w.Unique())
	for i := range uint64(2*ledger.MaxIssued + 1) {
		var other trace.TraceID
		binary.BigEndian.PutUint64(other[:], 1+i)
		l.issued.Add(other)
	}
	if !l.issued.Has(id) {
		t.Error("the trace ID of a change that is open is forgotten")
	}
	l.see(watch.Deleted, d)
	for range 3 {
		l.pass(time.Hour)
	}
	if len(l.issued.Current) != 0 || !l.issued.Has(id) {
		t.Errorf("%d current changes are remembered when none is left; that of the one that was is given of late: %v", len(l.issued.Current), l.issued.Has(id))
	}
}

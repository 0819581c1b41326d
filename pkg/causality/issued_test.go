package causality

import (
	"encoding/binary"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// TestAnOpenChangeIsRememberedHoweverManyOthersAreTold has somebody cause so many traces
// that of those which were given the earliest are forgotten. The ID of a change that is
// open all the while is not: who has seen it in progress could join it.
func TestAnOpenChangeIsRememberedHoweverManyOthersAreTold(t *testing.T) {
	l := newLife()
	d := &appsv1.Deployment{ObjectMeta: l.meta("d", "web", nil)}
	l.see(watch.Added, d)
	l.pass(time.Minute)
	w := l.workloads[builtIn(kindDeployment, d)]
	id := w.current().identity(w.unique())
	for i := range uint64(2*maxIssued + 1) {
		var other trace.TraceID
		binary.BigEndian.PutUint64(other[:], 1+i)
		l.issued.add(other)
	}
	if !l.issued.has(id) {
		t.Error("the trace ID of a change that is open is forgotten")
	}
	l.see(watch.Deleted, d)
	for range 3 {
		l.pass(time.Hour)
	}
	if len(l.issued.current) != 0 || !l.issued.has(id) {
		t.Errorf("%d current changes are remembered when none is left; that of the one that was is given of late: %v", len(l.issued.current), l.issued.has(id))
	}
}

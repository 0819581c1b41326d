package causality

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// TestContextsAreBounded has a pipeline deploy a thousand times, with a context
// of its own each time, and with rubbish that is long.
func TestContextsAreBounded(t *testing.T) {
	l := newLife()
	d := &appsv1.Deployment{ObjectMeta: l.meta("deployment", "web", nil)}
	none := int32(0)
	d.Spec.Replicas = &none
	const rollouts = 1000
	joined := 0
	for n := 1; n <= rollouts; n++ {
		d.Generation++
		d.Annotations = map[string]string{
			workloads.RevisionAnnotation: fmt.Sprint(n),
			"traceparent":                fmt.Sprintf("00-%032x-%016x-01", n, n),
			"tracing.k8s.io/traceparent": fmt.Sprint(n) + strings.Repeat("x", 10*workloads.MaxContextText),
		}
		d.Spec.Template.Annotations = map[string]string{"n": fmt.Sprint(n)}
		d.Status.ObservedGeneration = d.Generation
		l.see(watch.Modified, d)
		l.pass(time.Minute)
		w := l.workloads[kube.BuiltIn("Deployment", d)]
		if c := w.Current(); c != nil && c.Ledger.Joined.IsValid() {
			joined++
		}
	}
	w := l.workloads[kube.BuiltIn("Deployment", d)]
	if len(w.Contexts.Values) != workloads.MaxContexts || len(w.Ledger.JoinedBy) != ledger.MaxJoined || len(w.Changes) > keepChanges {
		t.Errorf("%d values, %d rollouts that joined, %d changes", len(w.Contexts.Values), len(w.Ledger.JoinedBy), len(w.Changes))
	}
	for _, v := range w.Contexts.Values {
		if len(v.Text) > workloads.MaxContextText {
			t.Errorf("%d bytes of a value are kept", len(v.Text))
		}
	}
	// The first is over when it is first seen.
	if joined != rollouts-1 || l.Stats().MalformedContexts != rollouts {
		t.Errorf("%d of %d rollouts joined; %d contexts are malformed", joined, rollouts, l.Stats().MalformedContexts)
	}
}

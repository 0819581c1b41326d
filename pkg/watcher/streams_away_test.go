package watcher

import (
	"errors"
	"net/url"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// After an outage each reflector comes back when its own backoff is over. Until the
// last of them has, Events among them, what happened meanwhile is not all there.
func TestBlindUntilAllAreBack(t *testing.T) {
	log, _ := testLog(100)
	pods := source{kind: kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Pod"), resource: "pods"}}
	events := source{kind: kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Event"), resource: "events"}, optional: true}
	shops := source{kind: kind{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Shop"}, resource: "shops"}, optional: true, found: true}
	s := &streams{
		now:     time.Now,
		sources: []source{pods, events}, trouble: newTrouble(log, "https://api"), log: log, metrics: newStreamMetrics(),
		settled: map[string]bool{pods.name(): true, events.name(): true, shops.name(): true},
	}
	refused := &url.Error{Op: "Get", URL: "https://api", Err: errors.New("connection refused")}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("no"))
	for _, step := range []struct {
		what  string
		of    source
		err   error
		blind bool
	}{
		{"all is well", pods, nil, false},
		{"no answer for pods", pods, refused, true},
		{"no answer for Events", events, refused, true},
		{"pods are back", pods, nil, true},
		{"Events are back", events, nil, false},
		{"no answer again", events, refused, true},
		{"pods are watched", pods, nil, true},
		{"Events are forbidden now", events, forbidden, false},
		{"no answer for what others may serve", shops, refused, false},
	} {
		s.report(t.Context(), step.of, metav1.ListOptions{}, step.err)
		if got := s.blind(); got != step.blind {
			t.Errorf("%s: blind is %t", step.what, got)
		}
	}
}

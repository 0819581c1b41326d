package watcher

import (
	"errors"
	"log/slog"
	"net/url"
	"strings"
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

// A gateway may answer for one kind alone, for ever. Where that is one that the others are of use
// without, they wait for it once, for a while, be it in the middle or at the start.
func TestNothingWaitsForOneThatAGatewayAnswersFor(t *testing.T) {
	log, messages := testLog(slog.LevelInfo)
	pods := source{kind: podKind, level: slog.LevelWarn}
	events := source{kind: eventKind, optional: true, level: slog.LevelWarn}
	now := time.Unix(1000, 0)
	newStreams := func() *streams {
		return &streams{
			now:     func() time.Time { return now },
			sources: []source{pods, events}, trouble: newTrouble(log, "https://api"), log: log, metrics: newStreamMetrics(),
		}
	}
	gateway := apierrors.NewGenericServerResponse(504, "get", schema.GroupResource{Resource: "events"}, "", "<html>", 0, true)
	fails := func(s *streams) {
		s.report(t.Context(), events, metav1.ListOptions{}, gateway)
	}
	s := newStreams()
	s.report(t.Context(), pods, metav1.ListOptions{}, nil)
	s.settle(pods)
	for i, want := range []int{1, 0, 0} { // it may be the first that an outage is noticed by
		fails(s)
		if got := len(s.waitingFor()); got != want {
			t.Errorf("it has failed %d times at the start, and %v are waited for", i+1, s.waitingFor())
		}
	}
	if got := messages(); len(got) != 1 || !strings.Contains(got[0], "cannot read events") {
		t.Errorf("it says %q", got)
	}

	s = newStreams()
	s.settle(pods)
	s.settle(events)
	fails(s)
	for i, want := range []bool{true, true, false, false} {
		if got := s.blind(); got != want {
			t.Errorf("after %d s blind is %t", 6*i, got)
		}
		now = now.Add(6 * time.Second)
		fails(s)
	}
	s.report(t.Context(), events, metav1.ListOptions{}, nil)
	if fails(s); !s.blind() {
		t.Error("it was read meanwhile, and is not waited for again")
	}
}

// A request for what the others are of use without may fail once at the start, as etcd has a new leader. All
// wait for it nevertheless, for a while from when the rest of the API server answers: what its first list
// has is told with theirs. What may not be read, or was read before and is waited for by who goes on from
// there, holds nobody up.
func TestTheStartWaitsForWhatHasFailedOnce(t *testing.T) {
	broken := apierrors.NewInternalError(errors.New("etcdserver: leader changed"))
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("no"))
	refused := &url.Error{Op: "Get", URL: "https://api", Err: errors.New("connection refused")}
	for name, test := range map[string]struct {
		errs    []error // of Events
		resumed *resumption
		waits   time.Duration
	}{
		"it fails":                 {errs: []error{broken, broken}, waits: backlogPatience},
		"after an outage":          {errs: []error{refused, broken}, waits: backlogPatience + time.Hour},
		"it may not be read":       {errs: []error{forbidden}},
		"it may not be read later": {errs: []error{broken, forbidden}},
		"it was read before":       {errs: []error{broken}, resumed: &resumption{positions: map[string]string{"Event ": "7"}}},
	} {
		t.Run(name, func(t *testing.T) {
			log, _ := testLog(slog.LevelInfo)
			pods := source{kind: podKind, level: slog.LevelWarn}
			events := source{kind: eventKind, optional: true, level: slog.LevelWarn}
			began := time.Unix(1000, 0)
			now := began
			s := &streams{
				now: func() time.Time { return now }, resumed: test.resumed,
				sources: []source{pods, events}, trouble: newTrouble(log, "https://api"), log: log, metrics: newStreamMetrics(),
			}
			s.settle(pods)
			for i, err := range test.errs {
				if i > 0 && errors.Is(test.errs[i-1], refused) {
					s.report(t.Context(), pods, metav1.ListOptions{}, refused)
					now = now.Add(time.Hour)
					s.report(t.Context(), pods, metav1.ListOptions{}, nil)
				}
				s.report(t.Context(), events, metav1.ListOptions{SendInitialEvents: new(true)}, nil) // but it breaks off
				s.report(t.Context(), events, metav1.ListOptions{}, err)
			}
			for ; len(s.waitingFor()) > 0 && now.Sub(began) < 2*time.Hour; now = now.Add(time.Second) {
				if now.Sub(began)%(3*time.Second) == 0 {
					s.report(t.Context(), events, metav1.ListOptions{}, test.errs[len(test.errs)-1])
				}
			}
			if got := now.Sub(began); got != test.waits {
				t.Errorf("it is waited for during %s, want %s", got, test.waits)
			}
			s.report(t.Context(), events, metav1.ListOptions{}, nil)
			if now = now.Add(time.Second); len(s.waitingFor()) > 0 {
				t.Error("it is waited for again")
			}
		})
	}
}

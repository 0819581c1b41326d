package watcher

import (
	"errors"
	"log/slog"
	"net/url"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Who follows a rollout is told since when the API server has not answered, until all is read again,
// and not where there is only something to be taken in.
func TestFollowSaysSinceWhenNothingIsSeen(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := noon
	deployments, pods := source{kind: deploymentKind, namespace: "shop"}, source{kind: podKind, namespace: "shop"}
	s := &streams{
		sources: []source{deployments, pods}, trouble: newTrouble(slog.New(slog.DiscardHandler), "here"),
		log: slog.New(slog.DiscardHandler), metrics: newStreamMetrics(), denied: func(source) {}, now: func() time.Time { return now },
	}
	s.trouble.now = func() time.Time { return now }
	w := &follow{streams: s, queue: newQueue()}
	is := func(what string, want *Behind) {
		t.Helper()
		got := w.behind()
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: it is behind %+v, want %+v", what, got, want)
		}
	}
	report := func(src source, err error) { s.report(t.Context(), src, metav1.ListOptions{}, err) }
	refused := &url.Error{Op: "Get", URL: "https://here", Err: errors.New("connection refused")}
	const noAnswer = "the API server does not answer"

	is("before the first lists", &Behind{})
	s.settle(deployments)
	s.settle(pods)
	is("then", nil)
	report(deployments, refused)
	is("one does not answer", &Behind{noAnswer, noon})
	now = noon.Add(9 * time.Second)
	report(pods, refused)
	is("nor does the other", &Behind{noAnswer, noon})
	report(deployments, nil)
	is("one answers again, and the other is not read yet", &Behind{noAnswer, noon})
	report(pods, nil)
	is("both are", nil)
	report(pods, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no")))
	is("one is refused", &Behind{"pods in namespace shop cannot be read", now})
	report(pods, nil)
	is("and not any more", nil)
}

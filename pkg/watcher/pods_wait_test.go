package watcher

import (
	"log/slog"
	"net/url"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// While something that is watched cannot be read, what comes of pods waits, in its order: a pod
// belongs to a change that is not known yet. All else is passed on.
func TestPodsWaitForAllStreams(t *testing.T) {
	l := newTestLive(t)
	l.listed = true
	l.streams.trouble = newTrouble(slog.New(slog.DiscardHandler), "here")
	of := func(version string) queued {
		pod := webAt(version)
		pod.SetGroupVersionKind(podKind.GroupVersionKind)
		return queued{Observation: causality.Observation{Type: watch.Modified, Object: pod}}
	}
	deployment := queued{Observation: causality.Observation{Type: watch.Modified, Object: &metav1.PartialObjectMetadata{}}}
	sets := l.streams.sources[1]
	away := &url.Error{Op: "Get", URL: "https://here", Err: syscall.ECONNREFUSED}

	if n := len(l.take(nil, of("1"))); n != 1 {
		t.Errorf("%d observations are passed on where all is well, want 1", n)
	}
	l.streams.report(t.Context(), sets, metav1.ListOptions{}, away)
	if n := len(l.take(nil, of("2"))) + len(l.take(nil, of("3"))); n != 0 {
		t.Errorf("%d observations of pods are passed on while something cannot be read", n)
	}
	if n := len(l.take(nil, deployment)); n != 1 {
		t.Errorf("%d of 1 observations of something else are passed on", n)
	}
	l.streams.report(t.Context(), sets, metav1.ListOptions{}, nil)
	if n := len(l.take(nil, of("4"))); n != 0 {
		t.Error("a pod has overtaken those that wait")
	}
	var versions []string
	for _, o := range l.allBack() {
		versions = append(versions, versionOf(o.Object))
	}
	if len(versions) != 3 || versions[0] != "2" || versions[2] != "4" {
		t.Errorf("what has waited is %v", versions)
	}
	if n := len(l.take(nil, of("5"))); n != 1 {
		t.Errorf("%d observations are passed on when all is back, want 1", n)
	}
}

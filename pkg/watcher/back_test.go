package watcher

import (
	"context"
	"log/slog"
	"net/url"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An API server that has answered one stream again is asked by all others, whatever their pauses
// are: they would grow to half a minute.
func TestBackForOneIsBackForAll(t *testing.T) {
	s := &streams{trouble: newTrouble(slog.New(slog.DiscardHandler), "here"), log: slog.New(slog.DiscardHandler), metrics: newTestLive(t).metrics.streams}
	away := &url.Error{Op: "Get", URL: "https://here", Err: syscall.ECONNREFUSED}
	pods, events := source{kind: podKind}, source{kind: eventKind}
	for _, src := range []source{pods, events} {
		s.report(t.Context(), src, metav1.ListOptions{}, away)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tries := make(chan int)
	go func() {
		n := 0
		pause := afterFailure
		pause.Duration = pause.Cap
		persistAs(ctx, pause, s.back.next, func(context.Context) attempt {
			n++
			select {
			case tries <- n:
			case <-ctx.Done():
			}
			return failed
		})
	}()
	for want := 1; want <= 3; want++ { // each of which is a pause of half a minute
		if n := <-tries; n != want {
			t.Fatalf("try %d, want %d", n, want)
		}
		s.report(t.Context(), pods, metav1.ListOptions{}, nil)
		s.report(t.Context(), pods, metav1.ListOptions{}, away)
	}
	// The clock of a Reflector is woken, too.
	after := impatientClock{done: ctx.Done(), back: s.back.next}.After(afterFailure.Cap)
	s.report(t.Context(), pods, metav1.ListOptions{}, nil)
	<-after
}

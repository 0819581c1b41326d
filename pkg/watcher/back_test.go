package watcher

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// An API server that has answered one stream again is asked by all others, whatever their pauses
// are: they would grow to half a minute.
func TestBackForOneIsBackForAll(t *testing.T) {
	s := &streams{now: time.Now, trouble: newTrouble(slog.New(slog.DiscardHandler), "here"), log: slog.New(slog.DiscardHandler), metrics: newTestLive(t).metrics.streams}
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
		persistAs(ctx, pause, s.back.next, nil, func(context.Context) attempt {
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

// A stream that is opened each time and then breaks off, as behind a proxy that cannot stream, says
// each time that the API server is back, and fails. Neither it nor another such stream is tried
// without a pause for that.
func TestBackInTurnIsNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &streams{
			trouble: newTrouble(slog.New(slog.DiscardHandler), "here"), log: slog.New(slog.DiscardHandler),
			metrics: newTestLive(t).metrics.streams, back: back{every: backEvery}, now: time.Now,
		}
		broken := errors.New("the list cannot be read")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var tries atomic.Int32
		for _, src := range []source{{kind: podKind}, {kind: eventKind}} {
			go persist(ctx, s.back.next, nil, func(context.Context) attempt {
				if tries.Add(1) > 1000 {
					cancel()
				}
				s.report(ctx, src, metav1.ListOptions{}, nil)
				s.report(ctx, src, metav1.ListOptions{}, broken)
				return failed
			})
		}
		<-ctx.Done()
		if n := tries.Load(); n < 10 || n > 300 {
			t.Errorf("two streams were tried %d times in a minute", n)
		}
	})
}

// Who may read one kind again may read others, too: what was refused is asked for at once, however long
// its pause has become.
func TestGrantedForOneIsAskedForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pods, events := source{kind: podKind}, source{kind: eventKind, optional: true}
		s := &streams{
			now: time.Now, sources: []source{pods, events}, settled: map[string]bool{pods.name(): true, events.name(): true},
			trouble: newTrouble(slog.New(slog.DiscardHandler), "here"), log: slog.New(slog.DiscardHandler), metrics: newStreamMetrics(),
			denied: func(source) {}, granted: back{every: backEvery},
		}
		forbidden := apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no"))
		tries := 0
		go persist(t.Context(), s.back.next, s.granted.next, func(context.Context) attempt {
			tries++
			s.report(t.Context(), events, metav1.ListOptions{}, forbidden)
			return refused
		})
		s.report(t.Context(), pods, metav1.ListOptions{}, forbidden)
		time.Sleep(time.Hour)
		synctest.Wait()
		before := tries
		s.report(t.Context(), pods, metav1.ListOptions{}, nil)
		synctest.Wait()
		if tries != before+1 {
			t.Errorf("it was tried %d times when another one was granted", tries-before)
		}
		s.report(t.Context(), pods, metav1.ListOptions{}, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if tries != before+1 {
			t.Error("it is tried again though nothing was granted since")
		}
	})
}

package watcher

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// impatient is a request that does not wait.
func impatient(t *testing.T) *http.Request {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", http.NoBody)
}

// A replica that is not elected is ready; one that works is not before its
// first lists are through, but for those it can do without.
func TestLiveReady(t *testing.T) {
	l := newTestLive(t)
	if err := l.Ready(impatient(t)); err != nil {
		t.Error(err)
	}
	l.started.Store(true)
	for _, s := range l.streams.sources {
		if err := l.Ready(impatient(t)); err == nil {
			t.Errorf("ready before the first list of %s", s.name())
		}
		l.streams.settle(s)
	}
	if err := l.Ready(impatient(t)); err != nil {
		t.Error(err)
	}
}

// A probe that comes while the first lists do has its answer when they are through, and is
// no failure. One of a rollspan that ends is.
func TestLiveReadyWaits(t *testing.T) {
	l := newTestLive(t)
	l.patience = time.Hour
	l.started.Store(true)
	answer := make(chan error, 1)
	go func() {
		answer <- l.Ready(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", http.NoBody))
	}()
	for _, s := range l.streams.sources {
		l.streams.settle(s)
	}
	if err := <-answer; err != nil {
		t.Error(err)
	}

	l = newTestLive(t)
	l.started.Store(true)
	close(l.ended)
	if err := l.Ready(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", http.NoBody)); err == nil {
		t.Error("it is ready when it has ended")
	}
}

package watcher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// readyPatience is how long a request for readiness is held while the first lists come.
	// It is less than the probe's timeoutSeconds in the manifests: a normal start is over by
	// then, and leaves no Warning in the namespace's Events.
	readyPatience = 4 * time.Second
	readyPoll     = 50 * time.Millisecond
)

// Ready is a readiness check: it fails while the first lists are not through, but waits for
// them a while before it says so. A replica that waits to be elected is ready, and so is one
// whose collector does not answer.
func (l *Live) Ready(r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), l.patience)
	defer cancel()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		waiting := l.waitingFor()
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the first list of %s", strings.Join(waiting, ", "))
		case <-l.ended:
			return errors.New("it does not watch any more")
		case <-poll.C:
		}
	}
}

// waitingFor names the sources whose first list is not through, of one that has started.
func (l *Live) waitingFor() []string {
	if !l.started.Load() {
		return nil
	}
	return l.streams.waitingFor()
}

// watched says for the log what is watched, and what is not because it cannot be read.
func (l *Live) watched() []any {
	namespaces := "all"
	if len(l.options.Namespaces) > 0 {
		namespaces = strings.Join(l.options.Namespaces, ",")
	}
	kinds, without := l.streams.watched()
	values := []any{"server", l.cluster.host, "namespaces", namespaces, "kinds", strings.Join(kinds, ",")}
	if len(without) > 0 {
		values = append(values, "without", strings.Join(without, ","))
	}
	return values
}

// watched are the resources of which each source has its first list through, and those of
// which one has not.
func (s *streams) watched() (kinds, without []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, src := range s.sources {
		list := &kinds
		if !s.through[src.name()] {
			list = &without
		}
		if !slices.Contains(*list, src.kind.resource) {
			*list = append(*list, src.kind.resource)
		}
	}
	return slices.DeleteFunc(kinds, func(k string) bool { return slices.Contains(without, k) }), without
}

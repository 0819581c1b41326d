package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// trouble says once what is wrong with the API server, and once when it is
// right again, however often each reflector tries in between. What the whole
// API server suffers from is said once for all kinds.
type trouble struct {
	log  *slog.Logger
	host string
	now  func() time.Time

	mu sync.Mutex
	// cluster is what keeps every kind from being read.
	cluster condition
	// kinds is what keeps one kind from being read, by kind.
	kinds map[string]condition
	// suspects are kinds of which failedApart heard once.
	suspects map[string]bool
}

// condition is an ongoing trouble; the zero value is none.
type condition struct {
	reason string
	since  time.Time
	// level is how important it was found to be.
	level slog.Level
}

func newTrouble(log *slog.Logger, host string) *trouble {
	return &trouble{log: log, host: host, now: time.Now, kinds: map[string]condition{}, suspects: map[string]bool{}}
}

// failed takes note of a request about a kind that failed, which is as important
// as level says. What follows from it, and what to do, is said by hint.
func (t *trouble) failed(level slog.Level, kind string, err error, hint string) {
	if errors.Is(err, context.Canceled) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if reason := clusterWide(err); reason != "" {
		t.failedAll(reason, err)
		return
	}
	t.failedOne(level, kind, err, hint)
}

// failedApart is failed for a kind that the others are of use without. Another server
// may stand behind it, as an aggregated API has, or a gateway may fail for it alone:
// that this one does not answer, or takes no credentials, says nothing about the rest.
// What all others suffer from, too, they tell before it fails for the second time. It
// reports whether this is the kind's own trouble.
func (t *trouble) failedApart(level slog.Level, kind string, err error, hint string) (own bool) {
	if errors.Is(err, context.Canceled) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if clusterWide(err) != "" && (t.inTrouble() || !t.suspects[kind]) {
		t.suspects[kind] = true
		t.log.Debug("cannot read "+kind, "error", err)
		return false
	}
	t.failedOne(level, kind, err, hint)
	return true
}

func (t *trouble) failedAll(reason string, err error) {
	if t.cluster.reason == reason {
		t.log.Debug(reason, "server", t.host, "error", err)
		return
	}
	t.log.Warn(reason+"; trying again until it does", "server", t.host, "error", err)
	t.cluster = condition{reason, t.since(t.cluster), slog.LevelInfo}
}

func (t *trouble) failedOne(level slog.Level, kind string, err error, hint string) {
	reason := string(apierrors.ReasonForError(err))
	old := t.kinds[kind]
	if old.reason == reason && !old.since.IsZero() {
		t.log.Debug("cannot read "+kind, "error", err)
		return
	}
	t.kinds[kind] = condition{reason, t.since(old), min(level, slog.LevelInfo)}
	if hint != "" {
		hint = "; " + hint
	}
	t.log.Log(context.Background(), level, fmt.Sprintf("cannot read %s%s; trying again", kind, hint), "error", err)
}

// inTrouble says whether there is something that keeps every kind from being read.
func (t *trouble) inTrouble() bool { return !t.cluster.since.IsZero() }

func (t *trouble) since(c condition) time.Time {
	if c.since.IsZero() {
		return t.now()
	}
	return c.since
}

// answered takes note of a request that the API server answered, when that does
// not yet mean that a kind can be read.
func (t *trouble) answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inTrouble() {
		t.log.Info("the API server answers again", "server", t.host, "after", t.elapsed(t.cluster))
		t.cluster = condition{}
	}
}

// worked takes note that a kind can be read.
func (t *trouble) worked(kind string) {
	t.answered()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.suspects, kind)
	if c, ok := t.kinds[kind]; ok {
		t.log.Log(context.Background(), c.level, "reading "+kind+" again", "after", t.elapsed(c))
		delete(t.kinds, kind)
	}
}

// forget drops what is known of a kind that nobody reads any more.
func (t *trouble) forget(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.suspects, kind)
	delete(t.kinds, kind)
}

func (t *trouble) elapsed(c condition) time.Duration {
	return t.now().Sub(c.since).Round(time.Second)
}

// none reports whether nothing keeps anything from being read.
func (t *trouble) none() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.inTrouble() && len(t.kinds) == 0
}

// blind says whether any of the kinds cannot be read at the moment.
func (t *trouble) blind(kinds ...string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inTrouble() {
		return true
	}
	for _, k := range kinds {
		if _, ok := t.kinds[k]; ok {
			return true
		}
	}
	return false
}

// lost is what keeps any of some kinds from being read, and since when: the whole API server comes
// first. It is empty where nothing does.
func (t *trouble) lost(kinds ...string) (why string, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inTrouble() {
		return t.cluster.reason, t.cluster.since
	}
	for _, k := range kinds {
		if c, ok := t.kinds[k]; ok {
			return k + " cannot be read", c.since
		}
	}
	return "", time.Time{}
}

// clusterWide returns what an error says about the whole API server, or ""
// if it is about one request.
func clusterWide(err error) string {
	var transport *url.Error
	switch {
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept the credentials"
	case errors.As(err, &transport), isGatewayError(err):
		return "the API server does not answer"
	default:
		return "" // it answers, if with something that nobody understands
	}
}

// isGatewayError tells a failure of what is in front of the API server, which says
// so in words of its own.
func isGatewayError(err error) bool {
	var status apierrors.APIStatus
	return apierrors.IsUnexpectedServerError(err) && errors.As(err, &status) && status.Status().Code >= http.StatusInternalServerError
}

package watcher

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// lockedBuffer is what is written to while it is looked at.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// take returns what was written since the last time.
func (l *lockedBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// testLog collects messages as "LEVEL message".
func testLog(level slog.Level) (log *slog.Logger, messages func() []string) {
	var b lockedBuffer
	log = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key != slog.LevelKey && a.Key != slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}))
	return log, func() []string {
		lines := strings.Split(strings.TrimSuffix(b.take(), "\n"), "\n")
		return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
	}
}

func TestTroubleIsSaidOnce(t *testing.T) {
	log, messages := testLog(slog.LevelInfo)
	tr := newTrouble(log, "https://host")
	now := time.Unix(0, 0)
	tr.now = func() time.Time { return now }
	expect := func(want ...string) {
		t.Helper()
		if got := messages(); !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	refused := &url.Error{Op: "Get", URL: "https://host", Err: syscall.ECONNREFUSED}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))

	// Every kind fails, again and again: one message.
	for range 3 {
		tr.failed(slog.LevelWarn, "pods", refused, "")
		tr.failed(slog.LevelWarn, "events", refused, "")
	}
	expect(`level=WARN msg="the API server does not answer; trying again until it does"`)
	if !tr.blind("pods") {
		t.Error("not blind")
	}

	// It answers, but does not know us: that is news, though not the end.
	tr.failed(slog.LevelWarn, "pods", apierrors.NewUnauthorized("who"), "")
	expect(`level=WARN msg="the API server does not accept the credentials; trying again until it does"`)
	now = now.Add(time.Minute)
	tr.worked("events")
	tr.worked("pods")
	expect(`level=INFO msg="the API server answers again"`)
	if tr.blind("pods", "events") {
		t.Error("blind")
	}

	// One kind only.
	tr.failed(slog.LevelWarn, "pods", forbidden, "grant it")
	tr.failed(slog.LevelWarn, "pods", forbidden, "grant it")
	tr.worked("events")
	expect(`level=WARN msg="cannot read pods; grant it; trying again"`)
	if !tr.blind("pods") || tr.blind("events") {
		t.Error("blind for the wrong kind")
	}
	tr.failed(slog.LevelWarn, "pods", apierrors.NewInternalError(errors.New("x")), "")
	expect(`level=WARN msg="cannot read pods; trying again"`)
	tr.worked("pods")
	tr.worked("pods")
	expect(`level=INFO msg="reading pods again"`)

	tr.failed(slog.LevelWarn, "pods", context.Canceled, "")
	expect()

	// A load balancer answers for an API server that does not.
	gateway := func(code int) error {
		return apierrors.NewGenericServerResponse(code, "get", schema.GroupResource{Resource: "pods"}, "", "<html>", 0, true)
	}
	tr.failed(slog.LevelWarn, "pods", gateway(502), "")
	tr.failed(slog.LevelWarn, "events", gateway(503), "")
	expect(`level=WARN msg="the API server does not answer; trying again until it does"`)
	tr.worked("pods")
	expect(`level=INFO msg="the API server answers again"`)
	tr.failed(slog.LevelWarn, "pods", gateway(404), "")
	tr.worked("pods")
	expect(`level=WARN msg="cannot read pods; trying again"`, `level=INFO msg="reading pods again"`)

	// What nobody understands is an answer, too.
	tr.failed(slog.LevelWarn, "pods", errors.New("invalid character '<'"), "")
	expect(`level=WARN msg="cannot read pods; trying again"`)
	if tr.blind("events") {
		t.Error("blind for all kinds")
	}
}

// An aggregated API may fail as if all of the API server did.
func TestTroubleOfAnAggregatedAPI(t *testing.T) {
	log, messages := testLog(slog.LevelInfo)
	tr := newTrouble(log, "https://host")
	expect := func(want ...string) {
		t.Helper()
		if got := messages(); !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	fails := func(err error) { tr.failedApart(slog.LevelInfo, "shops", err, "so what") }
	unauthorized := apierrors.NewUnauthorized("who")
	for range 3 {
		fails(unauthorized)
	}
	tr.worked("pods")
	expect(`level=INFO msg="cannot read shops; so what; trying again"`)
	if tr.blind("pods") {
		t.Error("blind")
	}
	tr.worked("shops")
	expect(`level=INFO msg="reading shops again"`)

	// When all fail, this one has nothing to add, whoever is first.
	fails(unauthorized)
	tr.failed(slog.LevelWarn, "pods", unauthorized, "")
	for range 3 {
		fails(unauthorized)
	}
	tr.worked("pods")
	tr.worked("shops")
	expect(`level=WARN msg="the API server does not accept the credentials; trying again until it does"`,
		`level=INFO msg="the API server answers again"`)

	// What only this kind can mean needs no second time.
	fails(apierrors.NewInternalError(errors.New("x")))
	expect(`level=INFO msg="cannot read shops; so what; trying again"`)
}

// Bodies of requests hold secrets; client-go logs them at a level below debug.
func TestReflectorsLogNoBodies(t *testing.T) {
	log, messages := testLog(slog.LevelDebug)
	quiet := slog.New(debugOnly{log.Handler()}).With("a", 1).WithGroup("g")
	quiet.Error("failed to watch")
	quiet.Info("started")
	quiet.Log(t.Context(), -8, "request body")
	if got := messages(); !slices.Equal(got, []string{`level=DEBUG msg="failed to watch"`, `level=DEBUG msg=started`}) {
		t.Errorf("%q", got)
	}
	log, messages = testLog(slog.LevelInfo)
	// As logr does for errors: without asking Enabled.
	_ = debugOnly{log.Handler()}.Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelError, "failed", 0))
	if got := messages(); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

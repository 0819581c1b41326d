package cli

import (
	"bytes"
	"context"
	standardlog "log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// printed collects what is printed, or logged, by several goroutines.
type printed struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// until waits for a condition, longer than a busy machine can keep it waiting.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 5*time.Minute, true,
		func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		t.Fatalf("waited in vain for %s: %v", what, err)
	}
}

// A server that goes on talking after its answer makes net/http print what it
// says, whatever the level of the log is: a header of the request, for example.
func TestStandardLogTellsNoSecrets(t *testing.T) {
	out, flags := standardlog.Writer(), standardlog.Flags()
	t.Cleanup(func() {
		standardlog.SetOutput(out)
		standardlog.SetFlags(flags)
	})
	var logged printed
	routeLogs(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // It only has to end.
	answered := make(chan struct{})
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close() // It only has to end.
		if _, err := conn.Read(make([]byte, 4096)); err != nil {
			return
		}
		conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) //nolint:errcheck // The test would wait in vain.
		<-answered
		conn.Write([]byte("HTTP/1.1 400 no such user: s3cr3t-t0ken\r\n\r\n")) //nolint:errcheck // The test would wait in vain.
	}()
	client := &http.Client{Transport: &http.Transport{}}
	response, err := client.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close() // It has none.
	close(answered)

	until(t, "what the server said to be logged", func() bool { return strings.Contains(logged.String(), "Unsolicited response") })
	if strings.Contains(logged.String(), "s3cr3t") {
		t.Errorf("the log tells what the server said:\n%s", &logged)
	}
}

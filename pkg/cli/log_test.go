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

// buffer is what is logged, by several goroutines.
type buffer struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

// A server that goes on talking after its answer makes net/http print what it
// says, whatever the level of the log is: a header of the request, for example.
func TestStandardLogTellsNoSecrets(t *testing.T) {
	out, flags := standardlog.Writer(), standardlog.Flags()
	t.Cleanup(func() {
		standardlog.SetOutput(out)
		standardlog.SetFlags(flags)
	})
	var logged buffer
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

	if err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 5*time.Minute, true, func(context.Context) (bool, error) {
		return strings.Contains(logged.String(), "Unsolicited response"), nil
	}); err != nil {
		t.Fatalf("nothing was logged: %v\n%s", err, &logged)
	}
	if strings.Contains(logged.String(), "s3cr3t") {
		t.Errorf("the log tells what the server said:\n%s", &logged)
	}
}

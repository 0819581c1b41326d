//go:build !linux

package export

import (
	"net"
	"testing"
)

// holdAddress returns an address of the loopback interface that was free a moment
// ago. On other systems than Linux two sockets cannot have one, so there is none to
// hold it.
func holdAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

package e2e

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

// A proxy stands between rollspan and a server that a test wants to take away,
// and to give back with all that it had. Its address stays the same.
type proxy struct {
	t       *testing.T
	address string
	target  string

	mu       sync.Mutex
	listener net.Listener // nil while the server is away
	open     map[net.Conn]bool
	running  sync.WaitGroup
}

// newProxy makes a proxy for the server at a URL, which is away at first.
func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := harness.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, address: addresses[0], target: u.Host, open: map[net.Conn]bool{}}
	t.Cleanup(p.down)
	return p
}

// up lets connections through.
func (p *proxy) up() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // it is down
			}
			p.running.Go(func() { p.serve(conn) })
		}
	})
}

// down refuses connections, and cuts those that there are.
func (p *proxy) down() {
	p.mu.Lock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for conn := range p.open {
		conn.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	if p.listener == nil {
		p.mu.Unlock()
		return
	}
	p.open[conn], p.open[server] = true, true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, conn)
		delete(p.open, server)
	}()

	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{conn, server}, {server, conn}} {
		copying.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // both ends see when it is over
			conn.Close()
			server.Close()
		})
	}
	copying.Wait()
}

package export

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// attacker is a collector that speaks its protocol by hand. It answers the first
// requests as an attack wants, and behaves afterwards.
type attacker struct {
	t       *testing.T
	address string
	// attacks is how many requests are still attacked.
	mu      sync.Mutex
	attacks int
	got     []string
}

// newAttacker serves each connection with serve.
func newAttacker(t *testing.T, attacks int, serve func(*attacker, net.Conn)) *attacker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{t: t, address: l.Addr().String(), attacks: attacks}
	var connections sync.WaitGroup
	t.Cleanup(func() {
		l.Close() // it only has to end
		connections.Wait()
	})
	connections.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Go(func() {
				defer conn.Close()                                 // it only has to end
				go func() { <-t.Context().Done(); conn.Close() }() // it only has to end
				serve(a, conn)
			})
		}
	})
	return a
}

// next says whether a request is to be attacked; otherwise it is received.
func (a *attacker) next(body []byte) (attack bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.attacks > 0 {
		a.attacks--
		return true
	}
	var export coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &export); err != nil {
		a.t.Errorf("the request cannot be read: %v", err)
	}
	for _, s := range spansOf(&export) {
		a.got = append(a.got, hex.EncodeToString(s.SpanId))
	}
	return false
}

// until writes text over and over, until the client has had enough of it.
func until(conn net.Conn, text string) {
	for {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

// untilClosed waits until the client has hung up.
func untilClosed(conn net.Conn) { io.Copy(io.Discard, conn) } //nolint:errcheck // Any end will do.

func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0) //nolint:errcheck // A close is as good.
	conn.Close()                     // it only has to end
}

// zeros are many, compressed.
var zeros = sync.OnceValue(func() string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(make([]byte, 64<<20)) //nolint:errcheck // A buffer takes everything.
	w.Close()                     //nolint:errcheck // A buffer takes everything.
	return out.String()
})

// httpAttacks are what is answered instead of 200, and whether the spans are
// taken for accepted all the same.
var httpAttacks = map[string]struct {
	attack   func(net.Conn)
	accepted bool
	// once says that a second time would take long: the end of rollspan cuts one
	// wait short.
	once bool
	// confuses says that the next request may take what was said for its own answer, before
	// anybody sees that nobody had asked (net/http reads on only when a connection rests). It is
	// made again then.
	confuses bool
}{
	"nothing":         {attack: untilClosed},
	"closed":          {attack: func(net.Conn) {}},
	"reset":           {attack: reset},
	"reset in middle": {attack: func(c net.Conn) { io.WriteString(c, "HTTP/1.1 503 Serv"); reset(c) }},           //nolint:errcheck // See reset.
	"slow loris":      {attack: func(c net.Conn) { io.WriteString(c, "HTTP/1.1 503 x\r\nA: "); untilClosed(c) }}, //nolint:errcheck // See untilClosed.
	"other protocol":  {attack: func(c net.Conn) { until(c, "220 mail.example ESMTP "+secret+"\r\n") }},
	"headers": {attack: func(c net.Conn) {
		until(c, "HTTP/1.1 503 x\r\n"+strings.Repeat("A: "+strings.Repeat("a", 1<<16)+"\r\n", 1<<8))
	}},
	"informational": {attack: func(c net.Conn) { until(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n") }},
	"body":          {attack: func(c net.Conn) { until(c, "HTTP/1.1 503 x\r\n\r\n"+strings.Repeat(secret, 1<<16)) }},
	"chunks": {attack: func(c net.Conn) {
		until(c, "HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1\r\na\r\n", 1<<16))
	}},
	"slow body": {attack: func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 503 x\r\nContent-Length: 9\r\n\r\na") //nolint:errcheck // See untilClosed.
		untilClosed(c)
	}},
	"gzip bomb": {attack: func(c net.Conn) {
		fmt.Fprintf(c, "HTTP/1.1 503 x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(zeros()), zeros())
	}},
	"reason": {attack: func(c net.Conn) { io.WriteString(c, "HTTP/1.1 503 "+secret+"\r\nContent-Length: 0\r\n\r\n") }}, //nolint:errcheck // See closed.
	"wait for a year": {once: true, attack: func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 429 x\r\nRetry-After: 31536000\r\nContent-Length: 0\r\n\r\n") //nolint:errcheck // See closed.
	}},
	"redirect": {attack: func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 307 x\r\nLocation: http://me:s3cr3t@127.0.0.1/?token=s3cr3t\r\nContent-Length: 0\r\n\r\n") //nolint:errcheck // See closed.
	}},
	"garbage": {accepted: true, attack: func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xff") //nolint:errcheck // See closed.
	}},
	"accepted, and never ends": {accepted: true, attack: func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\r\n") //nolint:errcheck // See until.
		until(c, strings.Repeat("a", 1<<16))
	}},
	"accepted, and says more": {accepted: true, confuses: true, attack: func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 400 no such user: x\r\n\r\n") //nolint:errcheck // See untilClosed.
		untilClosed(c)
	}},
}

func serveHTTP1(attack func(net.Conn)) func(*attacker, net.Conn) {
	return func(a *attacker, conn net.Conn) {
		reader := bufio.NewReader(conn)
		for {
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if a.next(body) {
				attack(conn)
				return
			}
			if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
				return
			}
		}
	}
}

// h2 is one request by HTTP/2, to be answered by hand.
type h2 struct {
	*http2.Framer
	conn   net.Conn
	stream uint32
}

// headers sends headers, the last of the stream or not, given as name and value
// in turn.
func (h h2) headers(last bool, fields ...string) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) //nolint:errcheck // A buffer takes everything.
	}
	const frame = 16 << 10
	rest := block.Bytes()
	first := rest[:min(frame, len(rest))]
	rest = rest[len(first):]
	err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: h.stream, BlockFragment: first, EndStream: last, EndHeaders: len(rest) == 0})
	for err == nil && len(rest) > 0 {
		next := rest[:min(frame, len(rest))]
		rest = rest[len(next):]
		err = h.WriteContinuation(h.stream, len(rest) == 0, next)
	}
	return err
}

// message answers with bytes as a gRPC message, and a status.
func (h h2) message(prefix, status string, text []byte) {
	err := h.headers(false, ":status", "200", "content-type", "application/grpc")
	if err == nil {
		err = h.WriteData(h.stream, false, append([]byte(prefix), text...))
	}
	if err == nil {
		h.headers(true, "grpc-status", status) //nolint:errcheck // The client may have had enough.
	}
}

var grpcAttacks = map[string]struct {
	attack   func(h2)
	accepted bool
}{
	"nothing":      {attack: func(h2) {}},
	"closed":       {attack: func(h h2) { h.conn.Close() }}, // it only has to end
	"reset":        {attack: func(h h2) { reset(h.conn) }},
	"reset stream": {attack: func(h h2) { h.WriteRSTStream(h.stream, http2.ErrCodeRefusedStream) }}, //nolint:errcheck // The client may be gone.
	"go away": {attack: func(h h2) {
		h.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte(strings.Repeat(secret, 500))) //nolint:errcheck // The client may be gone.
	}},
	"no HTTP/2": {attack: func(h h2) { until(h.conn, "HTTP/1.1 400 Bad Request: "+secret+"\r\n\r\n") }},
	"web page": {attack: func(h h2) {
		h.headers(true, ":status", "503", "content-type", "text/html", "x", secret) //nolint:errcheck // The client may be gone.
	}},
	"megabytes of headers": {attack: func(h h2) {
		h.headers(true, ":status", "200", "content-type", "application/grpc", "grpc-status", "3", "x", strings.Repeat("x", 8<<20)) //nolint:errcheck // The client may have had enough.
	}},
	"megabytes of words": {attack: func(h h2) {
		h.headers(true, ":status", "200", "content-type", "application/grpc", "grpc-status", "14", "grpc-message", strings.Repeat(secret, 20_000)) //nolint:errcheck // The client may have had enough.
	}},
	"a message that never comes": {attack: func(h h2) {
		h.headers(false, ":status", "200", "content-type", "application/grpc") //nolint:errcheck // The client may be gone.
		h.WriteData(h.stream, false, []byte("\x00\x00\x00\x00\x09abc"))        //nolint:errcheck // The client may be gone.
	}},
	"a huge message": {accepted: true, attack: func(h h2) { h.message("\x00\xff\xff\xff\xff", "0", nil) }},
	"garbage":        {accepted: true, attack: func(h h2) { h.message("\x00\x00\x00\x00\x04", "0", []byte("\xff\xff\xff\xff")) }},
}

func serveHTTP2(attack func(h2)) func(*attacker, net.Conn) {
	return func(a *attacker, conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		framer := http2.NewFramer(conn, conn)
		// Room for any request at once.
		err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		bodies := map[uint32][]byte{}
		for err == nil {
			var frame http2.Frame
			if frame, err = framer.ReadFrame(); err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					err = framer.WriteSettingsAck()
				}
			case *http2.PingFrame:
				if !frame.IsAck() {
					err = framer.WritePing(true, frame.Data)
				}
			case *http2.DataFrame:
				id := frame.StreamID
				bodies[id] = append(bodies[id], frame.Data()...)
				if !frame.StreamEnded() {
					continue
				}
				h := h2{framer, conn, id}
				if len(bodies[id]) >= 5 && a.next(bodies[id][5:]) {
					attack(h)
				} else {
					h.message("\x00\x00\x00\x00\x00", "0", nil)
				}
				delete(bodies, id)
			}
		}
	}
}

// Whatever a collector does costs time only: no span is lost, nothing long and no
// secret is logged, and when it behaves it has everything.
func TestAttacks(t *testing.T) {
	type attacked struct {
		protocol string
		serve    func(*attacker, net.Conn)
		accepted bool
		confuses bool
		attacks  int
	}
	cases := map[string]attacked{}
	for name, c := range httpAttacks {
		attacks := 2
		if c.once {
			attacks = 1
		}
		cases["http/"+name] = attacked{ProtocolHTTP, serveHTTP1(c.attack), c.accepted, c.confuses, attacks}
	}
	for name, c := range grpcAttacks {
		cases["grpc/"+name] = attacked{ProtocolGRPC, serveHTTP2(c.attack), c.accepted, false, 2}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttacker(t, c.attacks, c.serve)
			config := Config{
				Endpoint: "http://" + a.address, Protocol: c.protocol, Headers: "authorization=" + secret,
				// What never answers is to be given up soon.
				Timeout: 2 * time.Second, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond, BatchSpans: 5,
			}
			if c.accepted && !c.confuses {
				config.Timeout = forever // It does answer.
			}
			e, l := startExporter(t, config)
			traces := numbered(0, 20)
			e.Enqueue(traces)
			stats := finish(t, e)
			if stats.Dropped.Total() != 0 || stats.Sent != 20 {
				t.Errorf("%+v\n%s", stats, l)
			}
			want := ids(traces)
			if c.accepted {
				want = want[c.attacks*config.BatchSpans:] // The first ones are taken for accepted.
			}
			a.mu.Lock()
			got := withoutRepeats(a.got)
			a.mu.Unlock()
			if c.confuses {
				got = slices.DeleteFunc(got, func(id string) bool { return !slices.Contains(want, id) })
			}
			wantSpans(t, got, want)
			for _, text := range append(strings.Split(l.String(), "\n"), stats.LastError) {
				if len(text) > 4*maxWords || strings.Contains(text, "s3cr3t") {
					t.Errorf("%d bytes were logged: %.600s", len(text), text)
				}
			}
		})
	}
}

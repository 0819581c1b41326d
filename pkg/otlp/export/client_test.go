package export

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// certificates starts nothing: it returns a certificate for 127.0.0.1, and the
// files that hold it and its key.
func certificates(t *testing.T) (pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	pair = server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return pair, write("cert.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "PRIVATE KEY", key)
}

// Both clients, with mutual TLS and compression, told by variables only.
func TestTLS(t *testing.T) {
	pair, certFile, keyFile := certificates(t)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
	both(t, func(t *testing.T, c *collector) {
		l := c.listen()
		if c.protocol == ProtocolGRPC {
			server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
			coltracepb.RegisterTraceServiceServer(server, grpcReceiver{collector: c})
			go server.Serve(l) //nolint:errcheck // It ends with the test.
			defer server.Stop()
		} else {
			server := httptest.NewUnstartedServer(http.HandlerFunc(c.serveHTTP))
			server.Listener.Close() // ours takes its place
			server.Listener, server.TLS = l, config
			server.EnableHTTP2 = true
			server.StartTLS()
			defer server.Close()
		}
		setEnv(t, "ENDPOINT=https://"+c.address, "PROTOCOL="+c.protocol, "HEADERS=authorization=x",
			"CERTIFICATE="+certFile, "CLIENT_CERTIFICATE="+certFile, "CLIENT_KEY="+keyFile)
		e, _ := startExporter(t, Config{})
		traces := numbered(0, 3)
		e.Enqueue(traces)
		finish(t, e)
		wantSpans(t, c.got(), ids(traces))
	})
}

func TestCompression(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		// A flag that says none must win over a variable.
		setEnv(t, "COMPRESSION=gzip")
		for flag, want := range map[string]string{"": "gzip", "gzip": "gzip", "none": ""} {
			c.on(func(r request) reply {
				if r.compression != want {
					t.Errorf("flag %q: the request came as %q, want %q", flag, r.compression, want)
				}
				return reply{}
			})
			config := testConfig(c)
			config.Compression = flag
			e, _ := startExporter(t, config)
			e.Enqueue(numbered(0, 3))
			if stats := finish(t, e); stats.Sent != 3 {
				t.Errorf("flag %q: %+v", flag, stats)
			}
		}
	})
}

// What people get wrong first, with the advice they get for it.
func TestAdvice(t *testing.T) {
	pair, _, _ := certificates(t)
	for name, c := range map[string]struct {
		scheme   string
		protocol string
		serve    func(t *testing.T, c *collector)
		want     string
	}{
		"grpc, TLS to plain text":  {"https", ProtocolGRPC, servePlain, "plain text"},
		"http, TLS to plain text":  {"https", ProtocolHTTP, servePlain, "plain text"},
		"grpc, nobody listens":     {"http", ProtocolGRPC, serveNot, "nothing listens on that port"},
		"http, nobody listens":     {"http", ProtocolHTTP, serveNot, "nothing listens on that port"},
		"grpc, unknown CA":         {"https", ProtocolGRPC, serveTLS(pair), "--otlp-certificate"},
		"http, unknown CA":         {"https", ProtocolHTTP, serveTLS(pair), "--otlp-certificate"},
		"grpc to an HTTP receiver": {"http", ProtocolGRPC, serveOther(ProtocolHTTP), "--otlp-protocol"},
		"http to a gRPC receiver":  {"http", ProtocolHTTP, serveOther(ProtocolGRPC), "--otlp-protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			collector := newCollector(t, c.protocol)
			c.serve(t, collector)
			config := testConfig(collector)
			config.Endpoint = c.scheme + "://" + collector.address
			e, l := startExporter(t, config)
			e.Enqueue(numbered(0, 1))
			l.await(t, "keeps trying")
			if l.count(c.want) == 0 {
				t.Errorf("no advice with %q:\n%s", c.want, l)
			}
		})
	}
}

// What cannot be had on one machine, in the words of gRPC and of net/http.
func TestAdviceInWords(t *testing.T) {
	for words, want := range map[string]string{
		"name resolver error: produced zero addresses":                                                                                               "host name is unknown",
		"dial tcp: lookup otel-collector on 10.96.0.10:53: no such host":                                                                             "host name is unknown",
		"DeadlineExceeded received context error while waiting for new LB policy update: context deadline exceeded":                                  "port 53",
		"name resolver error: dns: A record lookup error: lookup otel-collector on 10.96.0.10:53: read udp 10.244.0.5:4->10.96.0.10:53: i/o timeout": "port 53",
		"Post \"http://otel-collector:4318/v1/traces\": dial tcp: lookup otel-collector on 10.96.0.10:53: i/o timeout":                               "port 53",
		"DeadlineExceeded latest balancer error: received context error while waiting for connections to become ready: context deadline exceeded":    "NetworkPolicy or firewall",
		"dial tcp 10.0.0.7:4318: i/o timeout":                                                  "NetworkPolicy or firewall",
		"dial tcp 10.0.0.7:4318: connect: connection refused":                                  "its Service has endpoints",
		"dial tcp 10.0.0.7:4318: connect: no route to host":                                    "no way leads",
		"DeadlineExceeded context deadline exceeded":                                           "takes long to answer",
		"remote error: tls: certificate required":                                              "--otlp-client-certificate",
		"tls: failed to verify certificate: x509: certificate has expired or is not yet valid": "renew it",
		"tls: failed to verify certificate: x509: certificate is valid for a, not b":           "host name",
		"tls: failed to verify certificate: x509: certificate signed by unknown authority":     "--otlp-certificate",
	} {
		if got := advice(unreachable, ProtocolGRPC, words); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
	}
}

func serveNot(*testing.T, *collector) {}

func servePlain(_ *testing.T, c *collector) { c.up() }

func serveOther(protocol string) func(*testing.T, *collector) {
	return func(_ *testing.T, c *collector) {
		expected := c.protocol
		c.protocol = protocol
		c.up()
		c.protocol = expected
	}
}

func serveTLS(pair tls.Certificate) func(*testing.T, *collector) {
	return func(t *testing.T, c *collector) {
		l := tls.NewListener(c.listen(), &tls.Config{Certificates: []tls.Certificate{pair}})
		t.Cleanup(func() { l.Close() }) // it only has to end
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func(conn net.Conn) {
					conn.(*tls.Conn).HandshakeContext(t.Context()) //nolint:errcheck // The client will not like it.
					conn.Close()                                   // it only has to end
				}(conn)
			}
		}()
	}
}

func TestVerdicts(t *testing.T) {
	for code, want := range map[codes.Code]verdict{
		codes.Unavailable: unreachable, codes.DeadlineExceeded: unreachable, codes.Aborted: unreachable,
		codes.ResourceExhausted: throttled, codes.Unauthenticated: denied, codes.PermissionDenied: denied,
		codes.Unimplemented: misdirected, codes.NotFound: misdirected,
		codes.InvalidArgument: refused, codes.FailedPrecondition: refused,
		codes.Internal: unsure, codes.Unknown: unsure,
	} {
		if got := answerOfGRPC(status.Error(code, "x"), nil); got.verdict != want || got.status != code.String() || got.said != "x" {
			t.Errorf("%v: %+v, want verdict %d", code, got, want)
		}
	}
	if got := answerOfGRPC(errors.Join(status.Error(codes.Aborted, "x")), nil); got.verdict != unreachable {
		t.Errorf("a wrapped status: %+v", got)
	}
	for _, words := range []string{
		"grpc: received message larger than max (5 vs. 4)", "gRPC message exceeds maximum size 4: 5", "request message too large: exceeded 4 bytes",
	} {
		if got := answerOfGRPC(status.Error(codes.ResourceExhausted, words), nil); got.verdict != tooLarge {
			t.Errorf("%q: %+v", words, got)
		}
	}
	for code, want := range map[int]verdict{
		200: accepted, 202: accepted, 301: misdirected, 400: refused, 401: denied, 403: denied, 404: misdirected,
		405: misdirected, 408: unreachable, 413: tooLarge, 415: misdirected, 422: refused, 429: throttled,
		500: unsure, 502: unreachable, 503: unreachable, 504: unreachable,
	} {
		response := &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{"Retry-After": {"7"}}}
		got := answerOfHTTP(response, []byte("x"))
		if got.verdict != want || want != accepted && want != misdirected && got.after != 7*time.Second {
			t.Errorf("%d: %+v, want verdict %d", code, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for in, want := range map[string]time.Duration{"": 0, "x": 0, "-3": 0, "3": 3 * time.Second, "Mon, 02 Jan 2006 15:04:05 GMT": 0} {
		if got := retryAfter(in); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
	if got := retryAfter(time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)); got <= 0 || got > time.Hour {
		t.Errorf("in an hour: %v", got)
	}
}

func TestQuotable(t *testing.T) {
	got := quotable("line 1\n\tof\x00 2 \xff "+strings.Repeat("é", maxWords), newSecrets(nil))
	if !strings.HasPrefix(got, "line 1 of 2 éé") || len(got) > maxWords+len(ellipsis) {
		t.Errorf("%q", got)
	}
}

// What a server answers is bytes from outside: nothing in it may panic, and
// what is logged of it stays one short line.
func FuzzAnswerOfHTTP(f *testing.F) {
	f.Add(200, "application/x-protobuf", "", []byte{10, 2, 8, 1})
	f.Add(400, "application/x-protobuf", "3", []byte{18, 1, 'x'})
	f.Add(503, "text/plain; charset=utf-8", "Mon, 02 Jan 2006 15:04:05 GMT", []byte("later\n"))
	f.Fuzz(func(t *testing.T, code int, contentType, after string, body []byte) {
		a := answerOfHTTP(&http.Response{
			StatusCode: code, Header: http.Header{"Content-Type": {contentType}, "Retry-After": {after}},
		}, body)
		if a.verdict == unanswered || a.after < 0 {
			t.Errorf("%+v", a)
		}
		if words := quotable(a.said, newSecrets(nil)); strings.ContainsAny(words, "\n\r\x00") || len(words) > maxWords+len(ellipsis) {
			t.Errorf("%q", words)
		}
	})
}

// Compression is the default, but to this machine, and a collector that does not take it gets
// its spans all the same: by an answer that says so, or by one that refuses what it cannot read.
func TestCompressionByDefault(t *testing.T) {
	for name, c := range map[string]struct {
		host   string
		refuse reply
		want   []string // how requests come
	}{
		"this machine":     {host: "127.0.0.1", want: []string{"", ""}},
		"another":          {host: "0.0.0.0", want: []string{"gzip", "gzip"}},
		"one without":      {host: "0.0.0.0", refuse: reply{grpc: codes.Unimplemented, http: http.StatusUnsupportedMediaType, message: `grpc: Decompressor is not installed for grpc-encoding "gzip"`}, want: []string{"gzip", "", ""}},
		"one that is lost": {host: "0.0.0.0", refuse: reply{grpc: codes.InvalidArgument, http: http.StatusBadRequest, message: "not protobuf"}, want: []string{"gzip", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, collector *collector) {
				collector.up()
				got := make(chan string, 100)
				collector.on(func(r request) reply {
					got <- strings.TrimPrefix(r.compression, "identity")
					if r.compression == "gzip" {
						return c.refuse
					}
					return reply{}
				})
				config := testConfig(collector)
				// Who connects to 0.0.0.0 comes to this machine, too.
				config.Endpoint = strings.Replace(config.Endpoint, "127.0.0.1", c.host, 1)
				e, l := startExporter(t, config)
				traces := numbered(0, 2)
				e.Enqueue(traces[:1])
				for i, want := range c.want {
					if compression := <-got; compression != want {
						t.Errorf("request %d is compressed by %q, want %q", i, compression, want)
					}
					if i == len(c.want)-2 {
						e.Enqueue(traces[1:])
					}
				}
				stats := finish(t, e)
				wantSpans(t, collector.got(), ids(traces))
				if want := len(c.want) - 2; l.count("--otlp-compression") != want || stats.Dropped.Total() != 0 {
					t.Errorf("%+v\n%s", stats, l)
				}
			})
		})
	}
}

package export

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/credentials"
)

// tlsFiles are the certificates of a connection, which are in files and are
// renewed there. They are read again for each request, and for each connection.
// What cannot be read, because it is being written, or has been broken, changes
// nothing: what was read before stays in use.
type tlsFiles struct {
	// ca is the file that the collector's certificate is verified against;
	// without a value it is the system's. cert and key are rollspan's own, or
	// both are without a value.
	ca, cert, key source

	renewed
	// caText, certText and keyText are what the files held when they could be
	// used last, and roots and own what was in them.
	caText, certText, keyText []byte
	roots                     *x509.CertPool
	own                       *tls.Certificate
	// version counts how often they have changed.
	version int
}

// read reads the files for the first time; its errors are about them.
func (f *tlsFiles) read() error {
	if _, err := f.readRoots(); err != nil {
		return err
	}
	_, err := f.readOwn()
	return err
}

// config is what a connection is made with now.
func (f *tlsFiles) config() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.currentRoots()}
	if f.cert.value != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			changed, err := f.readOwn()
			f.report(f.cert, changed, err)
			return f.own, nil
		}
	}
	return config
}

// current reads the files again, and counts how often what is in them has changed.
func (f *tlsFiles) current() (version int) {
	f.currentRoots()
	f.mu.Lock()
	defer f.mu.Unlock()
	changed, err := f.readOwn()
	f.report(f.cert, changed, err)
	return f.version
}

// currentRoots are what the collector's certificate is verified against now; nil
// for the system's.
func (f *tlsFiles) currentRoots() *x509.CertPool {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed, err := f.readRoots()
	f.report(f.ca, changed, err)
	return f.roots
}

func (f *tlsFiles) readRoots() (changed bool, err error) {
	if f.ca.value == "" {
		return false, nil
	}
	text, err := f.ca.read()
	switch {
	case err != nil:
		return false, err
	case bytes.Equal(text, f.caText):
		return false, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return false, fmt.Errorf("%s: %s holds no certificate in PEM format; it must have that of the authority that has signed the collector's", f.ca.name, f.ca.value)
	}
	f.caText, f.roots = text, roots
	f.version++
	return true, nil
}

func (f *tlsFiles) readOwn() (changed bool, err error) {
	if f.cert.value == "" {
		return false, nil
	}
	certText, err := f.cert.read()
	if err != nil {
		return false, err
	}
	keyText, err := f.key.read()
	if err != nil {
		return false, err
	}
	if bytes.Equal(certText, f.certText) && bytes.Equal(keyText, f.keyText) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return false, fmt.Errorf("%s, %s: %s and %s are no certificate and its key, both in PEM format: %w", f.cert.name, f.key.name, f.cert.value, f.key.value, err)
	}
	f.certText, f.keyText, f.own = certText, keyText, &pair
	f.version++
	return true, nil
}

// renewingCredentials are gRPC's credentials of the files as they are when a
// connection is made.
type renewingCredentials struct{ files *tlsFiles }

func (c renewingCredentials) now() credentials.TransportCredentials {
	return credentials.NewTLS(c.files.config())
}

// ClientHandshake makes a connection secure.
func (c renewingCredentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.now().ClientHandshake(ctx, authority, conn)
}

// ServerHandshake is for servers, which this is none.
func (renewingCredentials) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these are a client's credentials")
}

// Info describes the protocol.
func (renewingCredentials) Info() credentials.ProtocolInfo {
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}).Info()
}

// Clone returns c, which has no state of its own.
func (c renewingCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName is deprecated, and not called.
func (renewingCredentials) OverrideServerName(string) error {
	return errors.New("the server's name is the endpoint's")
}

// renewingClient is a gRPC client that begins anew, with a new connection, when certificates
// have changed. It makes one request at a time.
type renewingClient struct {
	settings *settings
	version  int
	client   otlptrace.Client
}

// Start starts the client, which connects when there is something to send.
func (c *renewingClient) Start(ctx context.Context) error { return c.client.Start(ctx) }

// Stop stops it.
func (c *renewingClient) Stop(ctx context.Context) error { return c.client.Stop(ctx) }

// UploadTraces makes one request.
func (c *renewingClient) UploadTraces(ctx context.Context, list []*tracepb.ResourceSpans) error {
	if version := c.settings.tls.current(); version != c.version {
		next := newGRPCClient(c.settings)
		if err := next.Start(ctx); err != nil {
			return err
		}
		_ = c.client.Stop(ctx) // nothing waits in there
		c.client, c.version = next, version
	}
	return c.client.UploadTraces(ctx, list)
}

// renewingTransport is an HTTP transport that begins anew, with new connections, when
// certificates have changed. (Its TLS configuration cannot say so for one connection:
// where that has no host name, but an address, a check of our own would not learn which.)
type renewingTransport struct {
	settings *settings

	mu      sync.Mutex
	version int
	last    *http.Transport
}

// RoundTrip makes one request.
func (t *renewingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.now().RoundTrip(r)
}

func (t *renewingTransport) now() *http.Transport {
	version := t.settings.tls.current()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || version != t.version {
		if t.last != nil {
			t.last.CloseIdleConnections()
		}
		t.version, t.last = version, newTransport(t.settings)
	}
	return t.last
}

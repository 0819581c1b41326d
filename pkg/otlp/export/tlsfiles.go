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
	"os"
	"sync"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/credentials"
)

// tlsFiles are the certificates of a connection, which are in files and are
// renewed there. They are read again for each connection. What cannot be read,
// because it is being written, or has been broken, changes nothing: what was
// read before stays in use.
type tlsFiles struct {
	// ca is the file that the collector's certificate is verified against;
	// without a value it is the system's. cert and key are rollspan's own, or
	// both are without a value.
	ca, cert, key source

	mu  sync.Mutex
	log logr.Logger
	// caText, certText and keyText are what the files held when they could be
	// used last, and roots and own what was in them.
	caText, certText, keyText []byte
	roots                     *x509.CertPool
	own                       *tls.Certificate
	// said holds what was logged about a file that cannot be read.
	said map[string]string
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

// currentRoots are what the collector's certificate is verified against now; nil
// for the system's. They are another pool only if the file has changed.
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
	text, err := os.ReadFile(f.ca.value)
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: %w", f.ca.name, err)
	case bytes.Equal(text, f.caText):
		return false, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return false, fmt.Errorf("%s: %s holds no certificate in PEM format", f.ca.name, f.ca.value)
	}
	f.caText, f.roots = text, roots
	return true, nil
}

func (f *tlsFiles) readOwn() (changed bool, err error) {
	if f.cert.value == "" {
		return false, nil
	}
	certText, err := os.ReadFile(f.cert.value)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.cert.name, err)
	}
	keyText, err := os.ReadFile(f.key.value)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.key.name, err)
	}
	if bytes.Equal(certText, f.certText) && bytes.Equal(keyText, f.keyText) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return false, fmt.Errorf("%s, %s: %w", f.cert.name, f.key.name, err)
	}
	f.certText, f.keyText, f.own = certText, keyText, &pair
	return true, nil
}

// report logs what became of reading a file again: each error once, until it is
// another or there is none.
func (f *tlsFiles) report(file source, changed bool, err error) {
	switch {
	case err == nil:
		delete(f.said, file.name)
		if changed {
			f.log.Info("Read renewed certificates", "file", file.value, "setting", file.name)
		}
	case f.said[file.name] != err.Error():
		if f.said == nil {
			f.said = map[string]string{}
		}
		f.said[file.name] = err.Error()
		f.log.Error(err, "The certificates cannot be read again; those that were read before stay in use", "file", file.value)
	}
}

func (f *tlsFiles) logTo(log logr.Logger) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = log
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

// renewingTransport is an HTTP transport that begins anew, with new connections,
// when the file with the collector's authority has changed. (Its TLS
// configuration cannot say so for one connection: where that has no host name,
// but an address, a check of our own would not learn which.)
type renewingTransport struct {
	settings *settings

	mu      sync.Mutex
	roots   *x509.CertPool
	current *http.Transport
}

// RoundTrip makes one request.
func (t *renewingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.now().RoundTrip(r)
}

func (t *renewingTransport) now() *http.Transport {
	roots := t.settings.tls.currentRoots()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil || roots != t.roots {
		if t.current != nil {
			t.current.CloseIdleConnections()
		}
		t.roots, t.current = roots, newTransport(t.settings)
	}
	return t.current
}

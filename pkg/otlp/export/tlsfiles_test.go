package export

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// authority makes a certificate for 127.0.0.1 that is its own authority, with its
// and its key's text for files.
func authority(t *testing.T, serial int64) (pair tls.Certificate, cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	if pair, err = tls.X509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return pair, cert, key
}

// All certificates are renewed while rollspan runs, and for a while the files are
// not what they should be.
func TestCertificatesAreRenewed(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		dir := t.TempDir()
		write := func(name string, text []byte) string {
			file := filepath.Join(dir, name)
			err := os.WriteFile(file+".new", text, 0o600)
			if err = errors.Join(err, os.Rename(file+".new", file)); err != nil {
				t.Fatal(err)
			}
			return file
		}
		oldServer, oldCA, _ := authority(t, 1)
		newServer, newCA, _ := authority(t, 2)
		_, oldCert, oldKey := authority(t, 3)
		_, newCert, newKey := authority(t, 4)

		clients := make(chan int64, 1000)
		serve := func(with tls.Certificate) {
			c.down()
			c.tls = &tls.Config{Certificates: []tls.Certificate{with}, ClientAuth: tls.RequireAnyClientCert,
				VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
					cert, err := x509.ParseCertificate(raw[0])
					if err != nil {
						return errors.New("no certificate")
					}
					clients <- cert.SerialNumber.Int64()
					return nil
				}}
			c.up()
		}
		config := testConfig(c)
		config.Endpoint = "https://" + c.address
		config.Certificate = write("ca.pem", oldCA)
		config.ClientCertificate, config.ClientKey = write("cert.pem", oldCert), write("key.pem", oldKey)

		serve(oldServer)
		accepted := make(chan struct{}, 1000)
		c.on(func(request) reply {
			accepted <- struct{}{}
			return reply{}
		})
		e, l := startExporter(t, config)
		traces := numbered(0, 3)
		e.Enqueue(traces[:1])
		<-accepted

		// Half of the files is written, or something else.
		write("ca.pem", []byte("-----BEGIN"))
		write("cert.pem", newCert)
		serve(oldServer)
		e.Enqueue(traces[1:2])
		<-accepted
		for len(clients) > 0 {
			if serial := <-clients; serial != 3 {
				t.Errorf("with half of a new pair the client uses certificate %d, not the one it had", serial)
			}
		}

		// The collector is renewed first, and fails until the files follow.
		serve(newServer)
		e.Enqueue(traces[2:])
		l.await(t, "cannot be reached")
		write("key.pem", newKey)
		write("ca.pem", newCA)
		<-accepted
		finish(t, e)
		wantSpans(t, withoutRepeats(c.got()), ids(traces))
		last := int64(0)
		for len(clients) > 0 {
			last = <-clients
		}
		if last != 4 {
			t.Errorf("the client uses certificate %d, not the renewed one", last)
		}
		if n := l.count("cannot be read again"); n != 2 || l.count("ca.pem holds no certificate") != 1 || l.count("Read renewed certificates") != 2 {
			t.Errorf("want one error for each broken file, and news for each renewed:\n%s", l)
		}
	})
}

// Headers that anybody on the way can read are warned of, once, without them.
func TestPlainHeadersAreWarnedOf(t *testing.T) {
	setEnv(t)
	for _, c := range []struct {
		endpoint, headers string
		want              int
	}{
		{"http://collector.monitoring.svc:4317", "x-honeycomb-team=s3cr3t-t0ken", 1},
		{"http://10.0.0.1:4318", "authorization=Bearer s3cr3t-t0ken", 1},
		{"http://localhost.example:4317", "a=s3cr3t-t0ken", 1},
		{"http://collector:4317", "", 0},
		{"https://collector:4317", "a=s3cr3t-t0ken", 0},
		{"collector:4317", "a=s3cr3t-t0ken", 0},
		{"http://LOCALHOST:4317", "a=s3cr3t-t0ken", 0},
		{"http://127.8.8.8:4318", "a=s3cr3t-t0ken", 0},
		{"http://[::1]:4317", "a=s3cr3t-t0ken", 0},
		{"unix:///run/collector.sock", "a=s3cr3t-t0ken", 0},
	} {
		var logged bytes.Buffer
		config := Config{Endpoint: c.endpoint, Headers: Headers(c.headers)}
		e, err := New(config, testEncoder(t), logr.FromSlogHandler(slog.NewTextHandler(&logged, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if left, err := e.Shutdown(t.Context()); left != 0 || err != nil {
			t.Error(left, err)
		}
		got := logged.String()
		if strings.Count(got, "level=WARN") != c.want || strings.Count(got, "plain text") != c.want || strings.Contains(got, "s3cr3t") {
			t.Errorf("%s with headers %q logs\n%s", c.endpoint, c.headers, got)
		}
	}
}

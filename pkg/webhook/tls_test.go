package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPrivateCA has a receiver whose certificate only a private authority vouches for. What waits is
// sent as soon as the file has that authority, and is no less secret before.
func TestPrivateCA(t *testing.T) {
	r := newReceiver(t, status(http.StatusAccepted))
	secure := httptest.NewUnstartedServer(r.Config.Handler)
	refused := make(signal, 1)
	secure.Config.ErrorLog = log.New(refused, "", 0) // it complains of who does not trust it
	secure.StartTLS()
	t.Cleanup(secure.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	trust := func(der []byte) {
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	another, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	trust(another)
	s, said := start(t, Config{URL: secure.URL + "/url-secret", Certificate: file}, time.Now)
	s.Begin(alarm("shop", 0))
	<-refused
	trust(secure.Certificate().Raw)
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if st := balanced(t, s, 1); st.Sent != 1 || len(r.subjects()) != 1 {
		t.Errorf("%+v, it took %v", st, r.subjects())
	}
	if said.count("certificate signed by unknown authority") != 1 || said.count("takes events again") != 1 || said.count("url-secret") > 0 {
		t.Errorf("it logs:\n%s", said)
	}
}

// signal is a log that says that something was written to it.
type signal chan struct{}

func (s signal) Write(p []byte) (int, error) {
	select {
	case s <- struct{}{}:
	default:
	}
	return len(p), nil
}

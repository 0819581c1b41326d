package export

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
)

// secretFile writes a file as Kubernetes does: the new one is there at once.
func secretFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	return path
}

// Tokens and headers in files are renewed while rollspan runs, without a restart. One that is
// gone for a moment, or broken, changes nothing, and none is ever logged.
func TestHeadersInFilesAreRenewed(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		dir := t.TempDir()
		got := make(chan string, 100)
		var refuse atomic.Bool
		c.on(func(r request) reply {
			got <- r.authorization
			if refuse.Load() {
				return reply{grpc: codes.Internal, http: http.StatusInternalServerError, message: "I dislike " + r.authorization}
			}
			return reply{}
		})
		config := testConfig(c) // whose --otlp-headers have another authorization, which loses
		token := secretFile(t, filepath.Join(dir, "token"), "s3cr3t-first\n")
		config.BearerTokenFile = token
		e, l := startExporter(t, config)
		traces := numbered(0, 5)
		send := func(i int, want string) {
			t.Helper()
			e.Enqueue(traces[i : i+1])
			if authorization := <-got; authorization != want {
				t.Errorf("request %d has %q, want %q", i, authorization, want)
			}
		}
		send(0, "Bearer s3cr3t-first")
		secretFile(t, token, "s3cr3t-second")
		send(1, "Bearer s3cr3t-second")
		secretFile(t, token, "s3cr3t-two\ns3cr3t-lines")
		send(2, "Bearer s3cr3t-second")
		if err := os.Remove(token); err != nil {
			t.Fatal(err)
		}
		refuse.Store(true)
		send(3, "Bearer s3cr3t-second")
		l.await(t, "(what was said is not shown")
		refuse.Store(false)
		secretFile(t, token, "s3cr3t-third")
		e.Enqueue(traces[4:])
		finish(t, e)
		last := ""
		for len(got) > 0 {
			last = <-got
		}
		if last != "Bearer s3cr3t-third" {
			t.Errorf("the last request has %q", last)
		}
		wantSpans(t, c.got(), ids(traces))
		if l.count("cannot be read again") != 2 || l.count("Read renewed headers") != 2 {
			t.Errorf("want a line for each change:\n%s", l)
		}
	})
}

// A file of headers is written like the flag, or one a line, and wins over it.
func TestHeadersFile(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		c.up()
		for _, text := range []string{"authorization=Basic s3cr3t-a%2Cb", "x-scope=1\nAuthorization=Basic s3cr3t-a%2Cb\n", "x-scope=1,authorization=Basic s3cr3t-a%2Cb\r\n\r\n"} {
			got := make(chan string, 1)
			c.on(func(r request) reply { got <- r.authorization; return reply{} })
			config := testConfig(c)
			config.HeadersFile = secretFile(t, filepath.Join(t.TempDir(), "headers"), text)
			e, _ := startExporter(t, config)
			e.Enqueue(numbered(0, 1))
			if authorization := <-got; authorization != "Basic s3cr3t-a,b" {
				t.Errorf("%q gives %q", text, authorization)
			}
			finish(t, e)
		}
	})
}

// What is wrong with a file is said with the flag, the file, and what to do, and without what is
// in it.
func TestHeaderFilesThatAreWrong(t *testing.T) {
	setEnv(t)
	dir := t.TempDir()
	file := func(name, text string) string { return secretFile(t, filepath.Join(dir, name), text) }
	for _, c := range []struct {
		config Config
		want   []string
	}{
		{Config{HeadersFile: filepath.Join(dir, "none")}, []string{"--otlp-headers-file", "none", "check the path"}},
		{Config{BearerTokenFile: dir}, []string{"--otlp-bearer-token-file", dir, "check the path"}},
		{Config{HeadersFile: file("a", "s3cr3t")}, []string{"--otlp-headers-file", filepath.Join(dir, "a"), "write name=value"}},
		{Config{HeadersFile: file("b", "\n")}, []string{"--otlp-headers-file", filepath.Join(dir, "b"), "no header", "write name=value"}},
		{Config{BearerTokenFile: file("c", " \n")}, []string{"--otlp-bearer-token-file", filepath.Join(dir, "c"), "no token"}},
		{Config{BearerTokenFile: file("d", "s3cr3t\ns3cr3t")}, []string{"--otlp-bearer-token-file", filepath.Join(dir, "d"), "one line"}},
		{Config{HeadersFile: file("e", "Authorization=s3cr3t"), BearerTokenFile: file("f", "s3cr3t")}, []string{"--otlp-headers-file", "--otlp-bearer-token-file", "leave one of them out"}},
		{Config{HeadersFile: file("g", strings.Repeat("a=s3cr3t\n", 200_000))}, []string{"--otlp-headers-file", "bytes"}},
	} {
		err := c.config.Validate()
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%+v: %v", c.config, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

// A renewed certificate, of either side, has the connection made anew at the next request: the
// collector is not restarted for that, and no request fails.
func TestConnectionIsMadeAnewForCertificates(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		dir := t.TempDir()
		write := func(name string, text []byte) string { return secretFile(t, filepath.Join(dir, name), string(text)) }
		oldServer, oldCA, _ := authority(t, 1)
		newServer, newCA, _ := authority(t, 2)
		_, oldCert, oldKey := authority(t, 3)
		_, newCert, newKey := authority(t, 4)
		var serving atomic.Pointer[tls.Certificate]
		serving.Store(&oldServer)
		handshakes := make(chan string, 100)
		c.tls = &tls.Config{ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2", "http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return serving.Load(), nil },
			VerifyConnection: func(state tls.ConnectionState) error {
				handshakes <- fmt.Sprint(state.PeerCertificates[0].SerialNumber)
				return nil
			}}
		if c.protocol == ProtocolHTTP {
			c.tls.NextProtos = []string{"http/1.1"} // which the test's server speaks over its own listener
		}
		c.up()
		accepted := make(chan struct{}, 100)
		c.on(func(request) reply { accepted <- struct{}{}; return reply{} })
		config := testConfig(c)
		config.Endpoint, config.Certificate = "https://"+c.address, write("ca.pem", oldCA)
		config.ClientCertificate, config.ClientKey = write("cert.pem", oldCert), write("key.pem", oldKey)
		e, l := startExporter(t, config)
		traces := numbered(0, 4)
		send := func(i int, handshake string) {
			t.Helper()
			e.Enqueue(traces[i : i+1])
			<-accepted
			select {
			case serial := <-handshakes:
				if serial != handshake {
					t.Errorf("request %d has the certificate %s, want %s", i, serial, handshake)
				}
			default:
				if handshake != "" {
					t.Errorf("request %d comes by the connection that was there", i)
				}
			}
		}
		send(0, "3")
		send(1, "")
		write("cert.pem", newCert)
		write("key.pem", newKey)
		send(2, "4")
		serving.Store(&newServer)
		write("ca.pem", newCA)
		send(3, "4")
		finish(t, e)
		wantSpans(t, c.got(), ids(traces))
		if l.count("cannot be reached") > 0 || l.count("Read renewed certificates") != 2 {
			t.Errorf("%s", l)
		}
	})
}

package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// rootsEnv has the test's own program say whether it knows any authority.
const rootsEnv = "ROLLSPAN_TEST_ROOTS"

// TestPublicAuthoritiesAreCompiledIn looks at them where the system has none, as in the
// image.
func TestPublicAuthoritiesAreCompiledIn(t *testing.T) {
	if os.Getenv(rootsEnv) != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			t.Fatal(err)
		}
		if pool.Equal(x509.NewCertPool()) {
			t.Fatal("it trusts nobody")
		}
		return
	}
	nowhere := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	// The variables say where Linux and other systems with files have them; GODEBUG is for
	// those that ask the system.
	cmd.Env = append(os.Environ(), rootsEnv+"=1", "SSL_CERT_FILE="+nowhere+"/none", "SSL_CERT_DIR="+nowhere, "GODEBUG=x509usefallbackroots=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

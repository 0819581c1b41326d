//go:build unix

package cli

import (
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// TestPortInUse names the flag to change. What controller-runtime leaves behind
// still logs a while, hence the process of its own.
func TestPortInUse(t *testing.T) {
	other, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }() // the test is over
	for flag, says := range map[string]string{
		"--health-address": "listen tcp ", "--metrics-address": "listen tcp ", "--pprof-address": "listen tcp ",
		"--ui-address": "something else listens on ",
	} {
		t.Run(flag, func(t *testing.T) {
			run := start(t, "run", "--kubeconfig", "testdata/kubeconfig", flag, other.Addr().String())
			var exit *exec.ExitError
			if err := run.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != ExitError {
				t.Errorf("it ends with %v", err)
			}
			if want := "rollspan: " + flag + ": " + says + other.Addr().String(); !strings.Contains(run.errs.String(), want) {
				t.Errorf("no %q:\n%s", want, run.errs.String())
			}
		})
	}
}

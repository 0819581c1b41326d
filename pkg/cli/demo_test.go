package cli

import (
	"os"
	"strings"
	"testing"
)

// TestDemo is what somebody sees who has just built rollspan. That the trees are those of
// the recordings is tested in package demo.
func TestDemo(t *testing.T) {
	program := start(t, "demo", "--speed", "100") // and no terminal, so that it ends
	program.ends(t, ExitOK)
	out, errs := program.out.String(), program.errs.String()
	for _, want := range []string{
		"10.685s | Deployment rollout  deployment/big",
		"ERROR: 1 of 1 new pods: ImagePullBackOff: 127.0.0.1:5000/app:nope: not found",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("stdout lacks %q:\n%s", want, out)
		}
	}
	if want := "rollspan run "; !strings.Contains(errs, want) {
		t.Errorf("nothing says how to go on (%q):\n%s", want, errs)
	}
	_, errs, code := rollspan(t, "", "demo", "--speed", "0")
	if want := "--speed: 0 is not a speed to play at"; code != ExitUsage || !strings.Contains(errs, want) {
		t.Errorf("exit code %d, stderr %q, want %d and %q", code, errs, ExitUsage, want)
	}
}

// TestDemoCannotPrint says what is wrong, and not that the demonstration was stopped for it.
func TestDemoCannotPrint(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("this system has no disk that is always full: %v", err)
	}
	defer func() { _ = full.Close() }() // nothing is in there
	program := startAs(t, "rollspan", full, "demo", "--ui-address=", "--speed", "100")
	program.ends(t, ExitError)
	if errs := program.errs.String(); !strings.Contains(errs, errFull.Error()) || strings.Contains(errs, "canceled") {
		t.Errorf("it says %s", errs)
	}
}

package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestDoctor has a report for people and one for programs, and an exit code that tells.
func TestDoctor(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	out, errs, code := rollspan(t, "", "doctor")
	if code != ExitError || !strings.Contains(out, "failed   server       no cluster to talk to") || !strings.Contains(errs, "see what failed in the report") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	out, _, code = rollspan(t, "", "doctor", "-o", "json")
	var report struct {
		Status   string
		Findings []struct{ Check, Reason string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != ExitError || report.Status != "failed" || report.Findings[0].Reason != "kubeconfig" {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
}

// TestDoctorTakesTheFlagsOfRun has the command line of a run be one for the doctor, and the
// help show those flags that it looks at.
func TestDoctorTakesTheFlagsOfRun(t *testing.T) {
	a := &app{}
	doctor := a.doctorCommand().Flags()
	a.runCommand().Flags().VisitAll(func(f *pflag.Flag) {
		if own := doctor.Lookup(f.Name); own == nil || own.Shorthand != f.Shorthand {
			t.Errorf("doctor does not take --%s", f.Name)
		}
	})
	for _, name := range examined {
		if f := doctor.Lookup(name); f == nil || f.Hidden {
			t.Errorf("--%s is examined, and is no flag that the help shows", name)
		}
	}
}

package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

// fullDisk is an output that takes nothing.
type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// TestOutputThatIsLost checks that no command claims to have printed what nobody
// got: nothing at all, or its end.
func TestOutputThatIsLost(t *testing.T) {
	for name, args := range map[string][]string{
		"version":       {"version"},
		"help":          {"help"},
		"help of one":   {"help", "replay"},
		"--help":        {"--help"},
		"--help of one": {"replay", "--help"},
		"trees":         {"replay", recordings + "unowned-pod.jsonl"},
		"JSON":          {"replay", "-o", "otlp-json", recordings + "unowned-pod.jsonl"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: fullDisk{}, Err: &stderr})
			if code != ExitError || !strings.Contains(stderr.String(), errFull.Error()) {
				t.Errorf("exit %d, stderr: %s", code, stderr.String())
			}
			var some bytes.Buffer
			code = Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: iotest.TruncateWriter(&some, 1<<20), Err: &stderr})
			if code != ExitOK || some.Len() == 0 {
				t.Errorf("exit %d with room for all of it", code)
			}
		})
	}
}

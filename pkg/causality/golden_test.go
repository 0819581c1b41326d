package causality_test

import (
	"path/filepath"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/rollspan/rollspan/pkg/causality"
)

// TestGoldenRecordings holds what the engine makes of every recording against
// a tree that was checked by eye. After a change that is meant to show:
//
//	go test ./pkg/causality -run Golden -rewrite
//
// and read the diff.
func TestGoldenRecordings(t *testing.T) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			datadriven.RunTest(t, filepath.Join("testdata", "recordings", name+".txt"), func(t *testing.T, d *datadriven.TestData) string {
				if d.Cmd != "replay" {
					d.Fatalf(t, "unknown command %q", d.Cmd)
				}
				var recording string
				d.ScanArgs(t, "recording", &recording)
				var options causality.Options
				if d.HasArg("trace-context") {
					d.ScanArgs(t, "trace-context", (*string)(&options.TraceContext))
				}
				return tree(t, replayWith(options, load(t, recording)))
			})
		})
	}
}

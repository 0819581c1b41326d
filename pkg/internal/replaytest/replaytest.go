// Package replaytest plays recordings to the engine, for the tests of those who take what it hands
// out.
package replaytest

import (
	"errors"
	"io"
	"iter"
	"os"
	"testing"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// Traces are those of the recording in a file, in the portions in which the engine hands them out.
// A recording that cannot be read ends the test.
func Traces(t testing.TB, file string, options causality.Options) iter.Seq[spans.Trace] {
	return func(yield func(spans.Trace) bool) {
		t.Helper()
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }() // it is only read
		engine := causality.New(options)
		for r, ended := watcher.NewRecordingReader(f, file), false; !ended; {
			var told []spans.Trace
			switch o, err := r.Next(); {
			case errors.Is(err, io.EOF):
				told, ended = engine.Flush(), true
			case err != nil:
				t.Fatal(err)
			default:
				told = engine.Observe(o)
			}
			for _, trace := range told {
				if !yield(trace) {
					return
				}
			}
		}
	}
}

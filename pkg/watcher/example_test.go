package watcher_test

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// A recording is read and fed to an engine. A damaged line is reported, and costs no
// more than itself.
func ExampleRecordingReader() {
	file, err := os.Open("../../test/recordings/paused-and-resumed.jsonl")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = file.Close() }() // it is only read

	deliver := func(finished []spans.Trace) {
		for _, t := range finished {
			root := t.Root()
			fmt.Printf("%s of %s took %.1fs, in %d spans\n", root.Name, root.Subject, root.End.Sub(root.Start).Seconds(), len(t.Spans))
		}
	}
	engine := causality.New(causality.Options{})
	for recording := watcher.NewRecordingReader(file, file.Name()); ; {
		observation, err := recording.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var damaged *watcher.LineError
		switch {
		case errors.As(err, &damaged):
			fmt.Println(err)
			if observation.Object == nil {
				continue // Nothing of the line could be saved.
			}
		case err != nil:
			fmt.Println(err)
			return
		}
		deliver(engine.Observe(observation))
	}
	deliver(engine.Flush()) // There will be no more.

	// Output:
	// Deployment rollout of deployment/pz took 4.9s, in 14 spans
	// Deployment rollout of deployment/pz took 11.5s, in 22 spans
}

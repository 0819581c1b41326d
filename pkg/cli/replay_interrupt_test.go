package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
)

// unfinished is an input that brings something and then nothing more, without
// ending. It says so when somebody waits for more.
type unfinished struct {
	content *strings.Reader
	waiting func()
	closed  chan struct{}
}

func (u unfinished) Read(p []byte) (int, error) {
	if u.content.Len() > 0 {
		return u.content.Read(p)
	}
	u.waiting()
	<-u.closed
	return 0, io.EOF
}

// TestInterruptedWhileWaiting interrupts a replay that waits for standard input.
// Without an end to that wait, this test has none.
func TestInterruptedWhileWaiting(t *testing.T) {
	recording, err := os.ReadFile(recordings + "crash-loop.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(recording), "\n")
	const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"shop","uid":"p1"}}`
	for name, c := range map[string]struct {
		content string
		want    string // on stderr
		trees   bool
	}{
		"nothing":             {"", "stdin: 0 observations, 0 changes, 0 broken lines\n", false},
		"recording":           {string(recording), " observations, ", true},
		"half a line":         {lines[0] + lines[1][:40], "stdin: 1 observation, 0 changes, 0 broken lines\n", false},
		"dump":                {`{"apiVersion":"v1","kind":"List","items":[` + pod + `,{"apiVersion"`, "stdin: 1 Pod in 1 file, 0 files passed over, 0 broken objects\n", false},
		"dump, between files": {pod + "\n", "stdin: 1 Pod in 1 file, 0 files passed over, 0 broken objects\n", false},
		"YAML":                {"apiVersion: v1\nkind: List\nitems:\n- " + pod + "\n- apiVersion: v1\n", "stdin: 1 Pod in 1 file, 0 files passed over, 0 broken objects\n", false},
		"archive":             {"\x1f\x8b", "stdin: ", false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			in := unfinished{strings.NewReader(c.content), cancel, make(chan struct{})}
			defer close(in.closed)
			var stdout, stderr bytes.Buffer
			code := Main(ctx, []string{"replay", "-"}, Streams{In: in, Out: &stdout, Err: &stderr})
			errs := stderr.String()
			if code != ExitError || !strings.Contains(errs, c.want) || !strings.HasSuffix(errs, "context canceled\n") || strings.Contains(errs, "item") {
				t.Errorf("exit %d, stderr:\n%s\nwant %q", code, errs, c.want)
			}
			if (stdout.Len() > 0) != c.trees {
				t.Errorf("stdout:\n%s", stdout.String())
			}
		})
	}
}

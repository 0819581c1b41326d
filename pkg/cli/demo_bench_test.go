package cli

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// BenchmarkFirstTree is how long it is from the start of `rollspan demo` to the first tree.
func BenchmarkFirstTree(b *testing.B) {
	var took time.Duration
	for b.Loop() {
		took += firstTree(b)
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/first-tree")
	b.ReportMetric(0, "ns/op")
}

func firstTree(b *testing.B) time.Duration {
	b.Helper()
	demo := exec.CommandContext(b.Context(), os.Args[0], "demo", "--ui-address=")
	demo.Env = append(os.Environ(), asProgram+"=rollspan")
	stdout, err := demo.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := demo.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = demo.Process.Kill()
		_ = demo.Wait() // it was killed
	}()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if strings.Contains(lines.Text(), "  trace ") {
			return time.Since(began)
		}
	}
	b.Fatal("the demo has ended without a tree")
	return 0
}

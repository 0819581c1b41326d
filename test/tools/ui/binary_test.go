package ui

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// program is rollspan, built for all tests.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(os.TempDir(), fmt.Sprintf("rollspan-ui-test-%d", os.Getpid()))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "grpcnotrace", "-o", path, ".")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("rollspan does not build: %v\n%s", err, out)
	}
	built = append(built, path)
	return path
}

// built are files to remove at the end.
var built []string

// serve starts a command of rollspan that has a page, and returns where that is.
func serve(t *testing.T, args ...string) (url string, until func(text string)) {
	t.Helper()
	c := exec.CommandContext(t.Context(), program(t), args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt) // it may have ended
		_ = c.Wait()                       // what it ends with is tested elsewhere
	})
	lines := bufio.NewScanner(errs)
	var said []string
	next := func(has func(line string) bool) {
		for lines.Scan() {
			said = append(said, lines.Text())
			if has(lines.Text()) {
				return
			}
		}
		t.Fatalf("rollspan %v does not say what it should:\n%s", args, strings.Join(said, "\n"))
	}
	address := regexp.MustCompile(`The page: (http://\S+)/`)
	next(func(line string) bool {
		if m := address.FindStringSubmatch(line); m != nil {
			url = m[1]
		}
		return url != ""
	})
	return url, func(text string) { next(func(line string) bool { return strings.Contains(line, text) }) }
}

// replayed is what `rollspan replay` prints of a recording.
func replayed(t *testing.T, recording string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program(t), "replay", recording).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// pathOf are the pieces of the critical path in a tree.
func pathOf(tree string) (pieces []string) {
	_, path, _ := strings.Cut(tree, "critical path")
	for _, line := range strings.Split(path, "\n")[1:] {
		took, what, ok := strings.Cut(line, " | ")
		if !ok {
			break
		}
		pieces = append(pieces, strings.TrimSpace(took)+" "+what)
	}
	return pieces
}

const recordings = "../../recordings/"

// What the demonstration shows on its page is what a replay prints: the same rollout, with the
// same critical path.
func TestDemo(t *testing.T) {
	url, until := serve(t, "demo", "--speed", "100", "--ui-address", "127.0.0.1:0")
	until("Press Ctrl-C to end.")
	want := pathOf(replayed(t, recordings+"slow-image-pull.jsonl"))
	b := visit(t, url)
	b.goTo("/")
	b.click("tr a", "big")
	b.waitPath("/change/")
	b.waterfall()
	b.waitText(".strip rect title", "pull image")
	if got := strings.Split(b.ask(`[...document.querySelectorAll(".strip rect title")].map(t => t.textContent).join("\n")`), "\n"); len(want) < 5 || !slices.Equal(got, want) {
		t.Errorf("the page has the path\n%q\nand the tree\n%q", got, want)
	}
	b.press("j")
	b.waitText(".wf-row.selected", "Deployment rollout")
	b.shot("big")
}

// What was recorded has pages on which waterfalls are drawn, and nothing is amiss.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob(recordings + "*.jsonl")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	url, until := serve(t, append([]string{"ui", "--ui-address", "127.0.0.1:0"}, files...)...)
	until("Press Ctrl-C to end.")
	b := visit(t, url)
	b.goTo("/")
	addresses := map[string]string{} // one of each object: the laws of package ui see to the others
	for {
		b.wait(`document.querySelectorAll("#done tbody tr").length > 0`)
		for _, a := range ask[[][2]string](b, `[...document.querySelectorAll("table.changes a")].map(a => [a.textContent, a.getAttribute("href")])`) {
			addresses[a[0]] = "/" + a[1]
		}
		next := b.ask(`document.querySelector("a[rel=next]")?.getAttribute("href") ?? ""`)
		if next == "" {
			break
		}
		b.goTo("/" + next)
	}
	if len(addresses) < 20 {
		t.Errorf("only %d objects are listed", len(addresses))
	}
	for _, a := range addresses {
		b.goTo(a)
		b.waterfall()
		if over := ask[int](b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
			t.Errorf("%s: %d pixels are beyond the edge", a, over)
		}
	}
	// The picture in README.md: a rollout whose image is not there, beside the one before.
	b.size(1280, 930)
	b.goTo("/?q=nope+failed")
	b.click("tr a", "api")
	b.waitPath("/change/")
	b.waterfall()
	b.waitText("caption", "rollout of revision 1")
	b.shot("readme")
}

// A dump, which shows the last states only, has a page as well.
func TestDump(t *testing.T) {
	url, until := serve(t, "ui", "--ui-address", "127.0.0.1:0", "../../../pkg/cli/testdata/bundle")
	until("Press Ctrl-C to end.")
	b := visit(t, url)
	b.goTo("/")
	b.click("tr a", "api")
	b.waitPath("/change/")
	b.waterfall()
	b.waitText(".wf-row", "Pod start")
	for _, width := range []int64{1280, 360} {
		b.size(width, 1000)
		b.wait("innerWidth === " + strconv.FormatInt(width, 10))
		if got := b.ask(misplaced); got != "" {
			t.Errorf("%d wide, not in its place: %s", width, got)
		}
	}
}

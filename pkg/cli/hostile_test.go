package cli

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/internal/terminal"
)

// hostile is what a text can hold to take a terminal over: a title and a color, C1
// controls, turned direction, what has no width, and a line that says it is
// rollspan's.
const hostile = "pwned\x1b]0;t\a\x1b[2J\u009b31m\u202egnp\u2066\u200f\b\x7f\u200b\ufeff\U000e0041\u2028FORGED\r\nFORGED\t"

// hostileBytes is hostile where text need not be UTF-8.
const hostileBytes = hostile + "\x9b31m\xe2\x80"

// inert says what is wrong with a text that was printed, if anything is.
func inert(text string) error {
	for i, r := range text {
		switch {
		case r == '\n' || r == '\t':
		case !unicode.IsGraphic(r), unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return fmt.Errorf("%U is printed after %q", r, text[max(0, i-80):i])
		case r == unicode.ReplacementChar && !strings.HasPrefix(text[i:], "\ufffd"):
			return fmt.Errorf("a byte that is no UTF-8 is printed after %q", text[max(0, i-80):i])
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "FORGED") {
			return fmt.Errorf("somebody else's line is printed as one of rollspan's: %q", line)
		}
	}
	return nil
}

// harmless runs a command line and looks at all that it printed, which must not
// leave the hostile text out.
func harmless(t *testing.T, in string, args ...string) (out, errs string, code int) {
	t.Helper()
	out, errs, code = rollspan(t, in, args...)
	for name, text := range map[string]string{"stdout": out, "stderr": errs} {
		if err := inert(text); err != nil {
			t.Errorf("%.60q: %s: %v", args, name, err)
		}
	}
	return out, errs, code
}

// structure are the keys whose values a recording cannot do without.
var structure = []string{"time", "type", "kind", "apiVersion", "uid", "resourceVersion", "fieldPath", "controller-revision-hash", "pod-template-hash"}

// spoil puts the hostile text behind each string of which spoils, given its key,
// says so, unless that would not be what it was any more: a time or a quantity.
func spoil(v any, key string, spoils func(key string) bool) any {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = spoil(inner, k, spoils)
		}
		if image, ok := v["image"]; ok && v["imageID"] == nil && spoils("env") {
			v["env"] = []any{map[string]any{"name": hostile, "value": image}} // which changes with the image
		}
	case []any:
		for i, inner := range v {
			v[i] = spoil(inner, key, spoils)
		}
	case string:
		if !spoils(key) || v == "" {
			return v
		}
		return v + hostile
	}
	return v
}

func spoiled(t *testing.T, recording string, spoils func(key string) bool) string {
	t.Helper()
	content, err := os.ReadFile(recordings + recording)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(content)) {
		var document any
		if err := json.Unmarshal([]byte(line), &document); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(spoil(document, "", spoils))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(b, '\n'))
	}
	return out.String()
}

// TestHostileObjects puts the hostile text into every string of recordings: into
// all at once but for what a recording is held together by, and into those of each
// single key. It looks at trees and at OTLP JSON, which must still mean the same.
func TestHostileObjects(t *testing.T) {
	all := func(key string) bool { return !slices.Contains(structure, key) }
	one := func(key string) func(string) bool { return func(k string) bool { return k == key } }
	for recording, keys := range map[string][]string{
		"image-pull-backoff-deadline-then-fixed.jsonl": {"name", "namespace", "message", "reason", "kind", "component", "manager", "host", "image", "nodeName", "env", "reportingComponent", "containerID", "fieldPath"},
		"jobs-and-cronjob.jsonl":                       {"name", "message", "reason", "kind", "uid", "apiVersion"},
		"statefulset-rolling-update.jsonl":             {"name", "reason", "currentRevision", "updateRevision", "type"},
		"crash-loop.jsonl":                             {"reason", "message", "name", "restartPolicy", "finalizers"},
		"pod-deleted-and-evicted.jsonl":                {"name", "reason", "message", "phase"},
	} {
		variants := map[string]func(string) bool{"everything": all}
		for _, key := range keys {
			variants[key] = one(key)
		}
		for name, spoils := range variants {
			t.Run(recording+"/"+name, func(t *testing.T) {
				in := spoiled(t, recording, spoils)
				tree, said, _ := harmless(t, in, "replay", "--lenient", "--in-progress-after=10s", "-")
				lines, _, _ := harmless(t, in, "replay", "--lenient", "-o", "otlp-json", "-")
				if name == "name" && strings.Count(tree, `pwned\u001b]0;t\u0007`) < 10 {
					t.Errorf("the names are not printed:\n%s\n%s", tree, said)
				}
				if name == "name" && !strings.Contains(lines, `pwned\u001b]0;t\u0007`) {
					t.Errorf("the names are not printed:\n%s", lines)
				}
				meant := false
				for line := range strings.Lines(lines) {
					var document any
					if err := json.Unmarshal([]byte(line), &document); err != nil {
						t.Fatalf("%v: %.200q", err, line)
					}
					meant = meant || holds(document, hostile)
				}
				if name == "name" && !meant {
					t.Error("the names of OTLP JSON do not mean what they were")
				}
				for line := range strings.Lines(tree) {
					if strings.HasPrefix(strings.TrimLeft(line, " "), "FORGED") {
						t.Errorf("a message has lines of its own in the tree: %q", line)
					}
				}
			})
		}
	}
}

// holds reports whether a text is within a JSON document's strings.
func holds(v any, text string) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			if holds(inner, text) {
				return true
			}
		}
	case []any:
		for _, inner := range v {
			if holds(inner, text) {
				return true
			}
		}
	case string:
		return strings.Contains(v, text)
	}
	return false
}

// TestHostileChange has the hostile text in the name of a variable that a rollout
// changes.
func TestHostileChange(t *testing.T) {
	in := spoiled(t, "image-pull-backoff-deadline-then-fixed.jsonl", func(key string) bool { return key == "env" })
	if out, errs, _ := harmless(t, in, "replay", "-"); !strings.Contains(out, `env pwned\u001b`) {
		t.Errorf("no changed variable is told:\n%s%s", out, errs)
	}
}

// TestHostileLines has what is wrong with lines said in their own words.
func TestHostileLines(t *testing.T) {
	quoted := func(s string) string {
		b, _ := json.Marshal(s)
		return string(b)
	}
	h := quoted(hostile)
	object := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","uid":"u","labels":{` + h + `:5}},"spec":{"nodeSelector":{` + h + `:[1]}}}`
	in := strings.Join([]string{
		`{"time":"2026-11-21T08:00:01Z","type":` + h + `,"object":{}}`,
		`{"time":` + h + `,"type":"ADDED","object":` + object + `}`,
		`{"time":{"` + strings.Trim(h, `"`) + `":1},"type":"ADDED","object":` + object + `}`,
		`{"time":"2026-11-21T08:00:01Z","type":"ERROR","object":{"kind":"Status","message":` + h + `}}`,
		`{"time":"2026-11-21T08:00:01Z","type":["\u202e` + "\u202e\u009b" + `"],"object":{}}`,
		"{\"time\":\u202e\u009b\x7f}",
		hostileBytes,
	}, "\n")
	_, errs, _ := harmless(t, in, "replay", "-")
	if n := strings.Count(errs, "stdin:"); n < 7 || strings.Count(errs, "pwned") < 3 {
		t.Errorf("%d complaints:\n%s", n, errs)
	}
	for line := range strings.Lines(errs) {
		if !strings.HasPrefix(line, "stdin:") && !strings.HasPrefix(line, "rollspan: ") {
			t.Errorf("a complaint has more than one line: %q", line)
		}
	}
	if _, errs, _ := harmless(t, in, "replay", "--log-format=json", "-"); !strings.Contains(errs, `"msg":"rollspan failed"`) {
		t.Errorf("%s", errs)
	}
}

// TestHostileDump names the members of an archive as no terminal should see them.
func TestHostileDump(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","uid":"u","namespace":"n"}}`
	for name, content := range map[string]string{
		"../" + hostileBytes + ".json":     `{"apiVersion":"v1","kind":"List","items":[5,` + pod + `]}`,
		"a/" + hostileBytes + "/pods.yaml": "apiVersion: v1\nkind: " + hostileBytes + "\n\x9b: [",
		hostileBytes + ".gz":               "\x1f\x8bno gzip",
		"b.json":                           `{"apiVersion":"v1","kind":"Pod\u202e\u001b[2J","metadata":{"name":"a","uid":"u2","labels":{"\u009b\u202epwned":5}}}`,
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bundle\x1b[2J\u202e.tar")
	if err := os.WriteFile(file, archive.Bytes(), 0o600); err != nil {
		t.Skipf("this file system does not take such names: %v", err)
	}
	_, errs, _ := harmless(t, "", "replay", file)
	if strings.Count(errs, "pwned") < 3 || !strings.Contains(errs, `bundle\u001b[2J\u202e.tar`) {
		t.Errorf("the names are not printed:\n%s", errs)
	}
	broken := filepath.Join(filepath.Dir(file), "broken"+hostileBytes+".json")
	if err := os.WriteFile(broken, []byte(`{"kind":"List","apiVersion":"v1","items":[{]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, _ := harmless(t, "", "replay", filepath.Dir(file)); strings.Count(errs, "pwned") < 4 {
		t.Errorf("the names are not printed:\n%s", errs)
	}
	if _, errs, _ := harmless(t, "", "replay", broken); !strings.Contains(errs, "brokenpwned") {
		t.Errorf("the name is not printed:\n%s", errs)
	}
}

// TestHostileArguments gives the hostile text to every flag and every place on the
// command line.
func TestHostileArguments(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"+hostileBytes))
	command := (&app{}).rootCommand()
	commands := append([]*cobra.Command{command}, command.Commands()...)
	tried := 0
	for _, c := range commands {
		path := strings.Fields(c.CommandPath())[1:]
		tries := [][]string{{hostileBytes}, {"--" + hostileBytes}, {"-" + hostileBytes}, {"--" + hostileBytes + "=1"}}
		add := func(f *pflag.Flag) {
			if f.Name != "help" {
				tries = append(tries, []string{"--" + f.Name + "=" + hostileBytes, "nothing"}, []string{"--" + f.Name + "=" + hostileBytes})
			}
		}
		c.Flags().VisitAll(add)
		command.PersistentFlags().VisitAll(add)
		for _, args := range tries {
			// A kubeconfig that leads nowhere, and never a file to write.
			if c.Name() == "record" && strings.HasPrefix(args[0], "--output") {
				args = append(args, "--kinds=Foo")
			}
			if c.Name() == "demo" { // which needs no cluster that is not there to fail at
				args = append(args, "--speed=0")
			}
			_, errs, code := harmless(t, "", append(path, args...)...)
			if code == ExitOK && c.Name() != "rollspan" && c.Name() != "version" && c.Name() != "help" {
				t.Errorf("%q succeeds: %s", args, errs)
			}
			tried++
		}
	}
	if tried < 100 {
		t.Errorf("only %d command lines were tried", tried)
	}
}

// TestHostileFlagsInEnvironment has them in what the OTLP variables say.
func TestHostileFlagsInEnvironment(t *testing.T) {
	for _, name := range []string{"ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT", "COMPRESSION", "CERTIFICATE"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_"+name, hostileBytes)
			for _, format := range []string{"text", "json"} {
				harmless(t, "", "replay", "-o", "otlp", "--log-format", format, "--drain-timeout=1ms", recordings+"unowned-pod.jsonl")
			}
		})
	}
}

// TestHostileCollector answers as no collector should.
func TestHostileCollector(t *testing.T) {
	for _, code := range []int{http.StatusOK, http.StatusBadRequest, http.StatusServiceUnavailable, http.StatusFound} {
		collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", "http://127.0.0.1:1/\u202e\u009b")
			w.WriteHeader(code)
			text, _ := json.Marshal(hostile)
			_, _ = fmt.Fprintf(w, `{"message":%s,"code":3,"partialSuccess":{"rejectedSpans":"1","errorMessage":%s}}`, text, text)
			_, _ = io.WriteString(w, hostileBytes)
		}))
		for _, format := range []string{"text", "json"} {
			_, errs, _ := harmless(t, "", "replay", "--otlp-endpoint", collector.URL, "--otlp-protocol=http/protobuf",
				"--log-format", format, "--log-level=debug", "--drain-timeout=100ms", recordings+"unowned-pod.jsonl")
			if code == http.StatusBadRequest && !strings.Contains(errs, "400") {
				t.Errorf("nothing is said of the answer:\n%s", errs)
			}
		}
		collector.Close()
	}
}

// said is a text that a type says of itself.
type said string

func (s said) String() string { return string(s) }

// Error makes it an error.
func (s said) Error() string { return string(s) }

// LogValue makes it what it is when it is logged.
func (s said) LogValue() slog.Value { return slog.GroupValue(slog.String(string(s), string(s))) }

// TestHostileLog has every part of a record hostile. Each stays one line, and JSON
// means what was logged.
func TestHostileLog(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		log := (&logOptions{level: "debug", format: format}).logger(terminal.NewWriter(&b))
		records := 0
		for _, l := range []*slog.Logger{
			log, log.With(hostileBytes, hostileBytes), log.WithGroup(hostileBytes), log.WithGroup(hostileBytes).With(hostile, said(hostile)),
			slog.New(libraryHandler{log.Handler()}).WithGroup(hostile),
		} {
			for _, value := range []any{
				hostile, hostileBytes, errors.New(hostileBytes), errors.Join(errors.New(hostile), errors.New(hostile)), said(hostileBytes),
				[]string{hostileBytes}, []byte(hostileBytes), map[string]string{hostileBytes: hostileBytes}, struct{ A any }{said(hostile)},
				slog.GroupValue(slog.String(hostile, hostile)), fmt.Stringer(said(hostile)), json.RawMessage(`"` + "\u202e\u009b\x7f" + `"`),
			} {
				l.Error(hostileBytes, hostileBytes, value)
				records++
			}
		}
		if err := inert(b.String()); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if n := strings.Count(b.String(), "\n"); n != records || !strings.Contains(b.String(), "pwned") {
			t.Errorf("%s: %d records are %d lines:\n%s", format, records, n, b.String())
		}
		if format != "json" {
			continue
		}
		for line := range strings.Lines(b.String()) {
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil || !strings.HasPrefix(fmt.Sprint(record["msg"]), hostile) {
				t.Errorf("%v: %q", err, line)
			}
		}
	}
}

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func configured(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rollspan.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is wrong with a file is told with its name, the line and the field, all at once.
func TestConfigThatIsWrong(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	for name, test := range map[string]struct {
		content string
		want    []string
	}{
		"unknown":          {"otlp-endpont: http://x:4317", []string{"rollspan.yaml:1: otlp-endpont is not a flag of rollspan run; did you mean otlp-endpoint?"}},
		"another's":        {"log-level: info\nmax-memory: 2Gi", []string{"rollspan.yaml:2: max-memory is not a flag of rollspan run"}},
		"of one letter":    {"n: shop", []string{"n is not a flag of rollspan run"}},
		"itself":           {"config: other.yaml", []string{"config is not a flag"}},
		"not a duration":   {"settle: soon", []string{`rollspan.yaml:1: --settle: "soon" is not a duration`}},
		"not a bool":       {"leader-elect: perhaps", []string{`--leader-elect: "perhaps" is not true or false`}},
		"not allowed":      {"settle: -1s", []string{"--settle: -1s is not a time to wait"}},
		"log level":        {"log-level: loud", []string{`--log-level: "loud" is not one of`}},
		"no value":         {"settle:", []string{"settle has no value"}},
		"a list":           {"settle: [1s, 2s]", []string{"settle is a list, and takes one value"}},
		"a mapping":        {"namespace: {a: b}", []string{"namespace is neither a value nor a list of values"}},
		"a list of lists":  {"namespace: [a, [b]]", []string{"an item of the list is no value"}},
		"twice":            {"settle: 1s\nsettle: 2s", []string{"rollspan.yaml:2: settle is there twice"}},
		"no mapping":       {"- settle", []string{"rollspan.yaml:1: it does not begin with a flag's name and a colon"}},
		"two documents":    {"settle: 1s\n---\nsettle: 2s", []string{"more than one YAML document"}},
		"no YAML":          {"settle: '1s", []string{"rollspan.yaml: yaml: "}},
		"huge":             {"# " + strings.Repeat("x", maxConfigBytes), []string{"is no configuration"}},
		"several at once":  {"setle: 1s\nsettle: x", []string{"rollspan.yaml:1: setle", "rollspan.yaml:2: --settle: "}},
		"a list for names": {"namespace: [Shop]", []string{`--namespace: "Shop" is not the name of a namespace`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs, code := rollspan(t, "", "run", "--config", configured(t, test.content))
			for _, want := range test.want {
				if code != ExitUsage || !strings.Contains(errs, want) {
					t.Errorf("exit %d, stderr:\n%s\nwant exit %d and %s", code, errs, ExitUsage, want)
				}
			}
		})
	}
	_, errs, code := rollspan(t, "", "run", "--config", "nope.yaml")
	if code != ExitUsage || !strings.Contains(errs, "--config: open nope.yaml: no such file") {
		t.Errorf("exit %d, stderr:\n%s", code, errs)
	}
}

// The file stands for flags; what the command line says wins.
func TestConfigStandsForFlags(t *testing.T) {
	recording := recordings + "unowned-pod.jsonl"
	flags := func(args ...string) string {
		out, errs, code := rollspan(t, "", append(append([]string{"replay"}, args...), recording)...)
		if code != ExitOK {
			t.Fatalf("%v: exit %d, stderr:\n%s", args, code, errs)
		}
		return out
	}
	asked := configured(t, "# how it is sent\noutput: otlp-json\nservice-name: mine\nworkload-labels:\n- run\n- app\n")
	want := flags("-o", "otlp-json", "--service-name=mine", "--workload-labels=run,app")
	if got := flags("--config", asked); got != want {
		t.Errorf("with a file it prints\n%s, want\n%s", got, want)
	}
	if got, want := flags("--config", asked, "-o", "tree"), flags("-o", "tree"); got != want {
		t.Errorf("with a file and -o it prints\n%s, want\n%s", got, want)
	}
	for _, nothing := range []string{"", "# settle: 1s\n", "---\n", "{}"} {
		if got, want := flags("--config", configured(t, nothing)), flags(); got != want {
			t.Errorf("with %q it prints\n%s, want\n%s", nothing, got, want)
		}
	}
}

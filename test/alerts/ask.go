// Package alerts tests the rules for Prometheus and the dashboards for Grafana, with Prometheus'
// own parser and engine.
package alerts

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rollspan/rollspan/test/controlplane"
)

// Question is what is asked of the engine: see test/tools/alerts.
type Question struct {
	// Rules is a file of rules, which are evaluated on Scrapes.
	Rules   string
	Scrapes []Scrape
	// Exprs are expressions of which it is to be told what they name.
	Exprs []string
}

// Scrape is what /metrics gave at a time.
type Scrape struct {
	At   time.Time
	Text string
}

// Answer is what the engine says.
type Answer struct {
	Alerts []Alert
	// Exprs are the metrics that each expression names.
	Exprs [][]Name
	Rules []Rule
}

// Alert is a time in which an alert was pending, or fired: then Fired is set. Resolved is zero
// where it still does in the end.
type Alert struct {
	Name                   string
	Labels                 map[string]string
	Since, Fired, Resolved time.Time
}

// Rule is one of a file's.
type Rule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

// Name is a metric in an expression, and the labels that it goes by.
type Name struct {
	Metric string
	Labels []string
}

// Ask has Prometheus' engine answer a question.
func Ask(t *testing.T, q Question) (a Answer) {
	t.Helper()
	bin, err := controlplane.Alerts.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "alerts"))
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

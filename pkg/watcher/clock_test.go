package watcher

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollspan/rollspan/pkg/causality"
)

func TestClocksThatAreOffAreLogged(t *testing.T) {
	var out bytes.Buffer
	report := LogClocks(slog.New(slog.NewTextHandler(&out, nil)))
	report(causality.Clock{Node: "node-a", Offset: 5 * time.Second})
	report(causality.Clock{Component: "job-controller", Namespace: "shop", Offset: -time.Minute})
	report(causality.Clock{Node: "node-a"})
	for i, want := range [][]string{
		{"level=WARN", "offset=5s", "node=node-a"},
		{"level=WARN", "offset=-1m0s", "component=job-controller", "namespace=shop"},
		{"level=INFO", "right again", "node=node-a"},
	} {
		line := strings.Split(out.String(), "\n")[i]
		for _, part := range want {
			if !strings.Contains(line, part) {
				t.Errorf("%q lacks %s", line, part)
			}
		}
	}
	for range 1000 {
		report(causality.Clock{Node: "node-a", Offset: time.Hour})
	}
	if n := strings.Count(out.String(), "\n"); n > 30 {
		t.Errorf("a storm of clocks makes %d lines", n)
	}
}

func TestClocksThatAreOffAreMeasured(t *testing.T) {
	stats := causality.Stats{Clocks: []causality.Clock{{Offset: -time.Second}, {Node: "node-a", Offset: 5 * time.Second}}}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newClockMetrics(func() *causality.Stats { return &stats }))
	series := func() map[string]float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				found[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
		return found
	}
	if got := series(); len(got) != 2 || got[""] != -1 || got["node-a"] != 5 {
		t.Errorf("there are %v", got)
	}
	for range 2 * mostClocks {
		stats.Clocks = append(stats.Clocks, causality.Clock{Node: strings.Repeat("n", len(stats.Clocks)), Offset: time.Second})
	}
	if n := len(series()); n != mostClocks {
		t.Errorf("there are %d series", n)
	}
}

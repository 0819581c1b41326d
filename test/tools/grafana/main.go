// Command grafana reads dashboards, whose files are its arguments, as strictly as the types do that
// Grafana generates from its own schema, and writes what is wrong with them, a line each: fields
// that nobody knows, and values of another type.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func main() {
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(bargauge.VariantConfig())
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(table.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	for _, path := range os.Args[1:] {
		content, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, wrong := range check(content) {
			fmt.Printf("%s: %s\n", filepath.Base(path), wrong)
		}
	}
}

func check(content []byte) (wrong []string) {
	var d dashboard.Dashboard
	err := d.UnmarshalJSONStrict(content)
	var all cog.BuildErrors
	if err != nil && !errors.As(err, &all) {
		wrong = append(wrong, err.Error())
	}
	for _, e := range all {
		// Grafana fills in what a panel's options leave out.
		if !strings.Contains(e.Path, ".options.") || e.Message != "required field is missing from input" {
			wrong = append(wrong, e.Error())
		}
	}
	// The options of a panel whose type is not known are not read.
	var shape struct {
		Panels []struct{ Type string }
	}
	if err := json.Unmarshal(content, &shape); err != nil {
		return append(wrong, err.Error())
	}
	for i, p := range shape.Panels {
		if _, ok := cog.ConfigForPanelcfgVariant(p.Type); !ok && p.Type != "row" {
			wrong = append(wrong, fmt.Sprintf("panels[%d]: the type %q is not checked", i, p.Type))
		}
	}
	return wrong
}

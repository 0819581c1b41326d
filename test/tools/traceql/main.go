// Command traceql reads TraceQL queries, a JSON array of strings, from its standard input, and
// writes where each of them is wrong: an array for each, of offsets at which Grafana's grammar,
// which goes on after an error, does not know what to do.
//
// Tempo's own parser would be the better judge. It cannot be built where the tests run, and the
// grammar is the one that Grafana's editor goes by. It is written in JavaScript, which goja runs.
package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/dop251/goja"
)

//go:embed grammar/*.cjs
var files embed.FS

// packages has the file of each package by the name that require is given.
var packages = map[string]string{
	"@grafana/lezer-traceql": "grammar/lezer-traceql.cjs",
	"@lezer/lr":              "grammar/lezer-lr.cjs",
	"@lezer/common":          "grammar/lezer-common.cjs",
}

// check returns where a query is wrong.
const check = `(query => {
  const offsets = [];
  require('@grafana/lezer-traceql').parser.parse(query).iterate({
    enter: node => {
      if (node.type.isError) {
        offsets.push(node.from);
      }
    },
  });
  return offsets;
})`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "traceql:", err)
		os.Exit(1)
	}
}

func run() error {
	var queries []string
	if err := json.NewDecoder(os.Stdin).Decode(&queries); err != nil {
		return err
	}
	vm := goja.New()
	loaded := map[string]goja.Value{}
	if err := vm.Set("require", func(name string) (goja.Value, error) { return load(vm, loaded, name) }); err != nil {
		return err
	}
	value, err := vm.RunScript("check", check)
	if err != nil {
		return err
	}
	offsetsOf, ok := goja.AssertFunction(value)
	if !ok {
		return errors.New("check is no function")
	}
	answers := make([]any, len(queries))
	for i, query := range queries {
		offsets, err := offsetsOf(goja.Undefined(), vm.ToValue(query))
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		answers[i] = offsets.Export()
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

// load is what CommonJS calls require.
func load(vm *goja.Runtime, loaded map[string]goja.Value, name string) (goja.Value, error) {
	if exports := loaded[name]; exports != nil {
		return exports, nil
	}
	source, err := files.ReadFile(packages[name])
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", name, err)
	}
	value, err := vm.RunScript(packages[name], "(function (exports) {"+string(source)+"\n})")
	if err != nil {
		return nil, err
	}
	body, ok := goja.AssertFunction(value)
	if !ok {
		return nil, fmt.Errorf("package %s: it is no function", name)
	}
	exports := vm.NewObject()
	loaded[name] = exports
	_, err = body(goja.Undefined(), exports)
	return exports, err
}

package chart

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedInstalls runs each `helm install` and `helm upgrade` that the documentation shows,
// as far as helm goes without a cluster: what an upgrade sets has to be something to install with.
func TestDocumentedInstalls(t *testing.T) {
	ran := 0
	for _, file := range guides(t) {
		for _, verb := range []string{"install", "upgrade"} {
			for _, command := range commands(t, file, "helm "+verb+" ") {
				ran++
				args := append([]string{"install", "--dry-run=client"}, strings.Fields(command)...)
				args = slices.DeleteFunc(args, func(arg string) bool { return arg == "--reset-then-reuse-values" || arg == "--install" })
				for i, arg := range args {
					if strings.HasPrefix(arg, "deploy/") {
						args[i] = filepath.Join("../..", arg)
					}
				}
				if _, errs, err := helm(t, args...); err != nil {
					t.Errorf("%s: helm %s %s: %v\n%s", file, verb, command, err, errs)
				}
			}
		}
	}
	if ran < 8 {
		t.Errorf("the documentation shows %d installs", ran)
	}
}

// TestDocumentedValues has each value that the table of the chart's README says to set be one.
func TestDocumentedValues(t *testing.T) {
	known := documented(t)
	for _, row := range choices(t) {
		for i, part := range strings.Split(row.set, "`") {
			key, _, _ := strings.Cut(part, "=")
			if i%2 == 0 || !strings.Contains(row.set, key) || key == "headers" || strings.HasPrefix(key, "authorization") {
				continue
			}
			if !isValue(known, key) {
				t.Errorf("%q is no value: %s", key, row.set)
			}
		}
	}
}

func isValue(known []value, key string) bool {
	for _, v := range known {
		if v.key == key || strings.HasPrefix(key, v.key+".") {
			return true
		}
	}
	return false
}

package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentedInstalls runs each `helm install` that the documentation shows, as far as
// helm goes without a cluster.
func TestDocumentedInstalls(t *testing.T) {
	ran := 0
	for _, file := range []string{"README.md", "deploy/helm/rollspan/README.md"} {
		content, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.ReplaceAll(string(content), "\\\n", "")) {
			command, ok := strings.CutPrefix(line, "    helm install ")
			if !ok {
				continue
			}
			ran++
			args := append([]string{"install", "--dry-run=client"}, strings.Fields(command)...)
			for i, arg := range args {
				if strings.HasPrefix(arg, "deploy/") {
					args[i] = filepath.Join("../..", arg)
				}
			}
			if _, errs, err := helm(t, args...); err != nil {
				t.Errorf("%s: helm install %s: %v\n%s", file, command, err, errs)
			}
		}
	}
	if ran < 3 {
		t.Errorf("the documentation shows %d installs", ran)
	}
}

// TestDocumentedValues has each value that the table of the chart's README says to set be one.
func TestDocumentedValues(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(content), "| to | set |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	known := documented(t)
	for row := range strings.Lines(table) {
		_, set, _ := strings.Cut(strings.Trim(row, "| \n"), " | ")
		for i, part := range strings.Split(set, "`") {
			key, _, _ := strings.Cut(part, "=")
			if i%2 == 0 || !strings.Contains(set, key) || key == "headers" || strings.HasPrefix(key, "authorization") {
				continue
			}
			if !isValue(known, key) {
				t.Errorf("%q is no value: %s", key, row)
			}
		}
	}
	if !strings.Contains(table, "`") {
		t.Error("the table is not there")
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

package chart

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rollspan/rollspan/test/controlplane"
)

// asPlain are the values with which the chart is what config/default is.
var asPlain = []string{"--set", "otlp.endpoint=http://otel-collector:4317,service.enabled=false"}

// kustomized is what the real kustomize makes of a folder of config; kubectl, which has a
// kustomize of its own, has to make the same.
func kustomized(t *testing.T, folder string) map[string]*unstructured.Unstructured {
	t.Helper()
	dir := filepath.Join("../../config", folder)
	made := kustomize(t, dir)
	if kubectls := printed(t, controlplane.Kubernetes, "kubectl", "kustomize", dir); made != kubectls {
		t.Errorf("of %s kustomize makes\n%s\nand kubectl\n%s", folder, made, kubectls)
	}
	return objects(t, documents(made))
}

// TestKustomizeIsTheChart compares config/default and the overlays on it with what the chart
// makes of the same wishes, object by object.
func TestKustomizeIsTheChart(t *testing.T) {
	overlays := map[string]string{
		"namespaced":        "namespaces={shop}",
		"high-availability": "replicaCount=2,podDisruptionBudget.enabled=true",
		"data-volume":       "dataDir.enabled=true,dataDir.claim.enabled=true",
	}
	folders, err := os.ReadDir("../../config/overlays")
	if err != nil || len(folders) != len(overlays) {
		t.Errorf("there are %d overlays, and %d are compared: %v", len(folders), len(overlays), err)
	}
	same(t, objects(t, rendered(t, asPlain...)), kustomized(t, "default"))
	for name, values := range overlays {
		t.Run(name, func(t *testing.T) {
			chart := objects(t, rendered(t, append(slices.Clone(asPlain), "--set", values)...))
			if claim := chart["PersistentVolumeClaim rollspan/rollspan-data"]; claim != nil {
				claim.SetAnnotations(nil) // how helm keeps it on uninstall
			}
			same(t, chart, kustomized(t, "overlays/"+name))
		})
	}
}

// TestPlainManifestsAreTheChart compares deploy/00-rollspan.yaml and its Jaeger, but for
// Jaeger's names.
func TestPlainManifestsAreTheChart(t *testing.T) {
	var plain []string
	for _, file := range []string{"../../deploy/00-rollspan.yaml", "../../deploy/jaeger.yaml"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		plain = append(plain, documents(string(content))...)
	}
	charts := rendered(t, "--set", "jaeger.enabled=true,service.enabled=false")
	for i := range charts {
		charts[i] = strings.ReplaceAll(charts[i], "rollspan-jaeger", "jaeger")
	}
	same(t, objects(t, charts), objects(t, plain))
}

// same compares objects, but for what only the chart can have: labels of the release, and
// what is the default of the API.
func same(t *testing.T, chart, plain map[string]*unstructured.Unstructured) {
	t.Helper()
	// Helm makes a namespace if it is asked to.
	delete(plain, "Namespace rollspan")
	if a, b := slices.Sorted(maps.Keys(chart)), slices.Sorted(maps.Keys(plain)); !slices.Equal(a, b) {
		t.Errorf("the chart has\n%v\nand the plain manifests\n%v", a, b)
	}
	for key, a := range chart {
		b := plain[key]
		if b == nil {
			continue
		}
		for _, o := range []*unstructured.Unstructured{a, b} {
			strip(o.Object)
			if rules, ok := o.Object["rules"].([]any); ok {
				slices.SortFunc(rules, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
		}
		if !reflect.DeepEqual(a.Object, b.Object) {
			t.Errorf("%s is in the chart\n%v\nand in the plain manifests\n%v", key, a.Object, b.Object)
		}
	}
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, label := range []string{"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"} {
			delete(v, label)
		}
		if v["imagePullPolicy"] == "IfNotPresent" {
			delete(v, "imagePullPolicy")
		}
		if limit, ok := v["revisionHistoryLimit"]; ok && fmt.Sprint(limit) == "10" {
			delete(v, "revisionHistoryLimit")
		}
		for _, child := range v {
			strip(child)
		}
	case []any:
		for _, child := range v {
			strip(child)
		}
	}
}

// TestJaegerUI has the chart's copy, which must be in the chart's folder, be the example.
func TestJaegerUI(t *testing.T) {
	example, err := os.ReadFile("../../deploy/examples/jaeger/ui-config.json")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(filepath.Join(dir, "files", "jaeger-ui-config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(example) != string(own) {
		t.Error("copy deploy/examples/jaeger/ui-config.json to deploy/helm/rollspan/files/jaeger-ui-config.json")
	}
}

// TestEachKindCanBeLeftOut has each switch in rbac.kinds take one rule away, of which it
// says what config/rbac says.
func TestEachKindCanBeLeftOut(t *testing.T) {
	role, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	comments := strings.ReplaceAll(strings.ReplaceAll(string(role), "\n# ", " "), "Without this rule ", "Without: ")
	rules := func(args ...string) []string {
		all := objects(t, rendered(t, args...))
		rules, _, err := unstructured.NestedSlice(all["ClusterRole rollspan"].Object, "rules")
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, rule := range rules {
			texts = append(texts, fmt.Sprint(rule))
		}
		return texts
	}
	all := rules()
	left := len(all)
	for _, v := range documented(t) {
		kind, ok := strings.CutPrefix(v.key, "rbac.kinds.")
		if !ok {
			continue
		}
		left--
		less := rules("--set", v.key+"=false")
		gone := slices.DeleteFunc(slices.Clone(all), func(rule string) bool { return slices.Contains(less, rule) })
		resource := kind
		if kind == "clusterUID" {
			resource = "namespaces"
		} else if !strings.Contains(comments, v.text) {
			t.Errorf("config/rbac does not say %q", v.text)
		}
		if len(gone) != 1 || !strings.Contains(gone[0], "["+resource+"]") {
			t.Errorf("%s takes away %v", v.key, gone)
		}
	}
	// Deployments with ReplicaSets, and Pods.
	if left != 2 {
		t.Errorf("%d rules have no switch, want 2", left)
	}
}

// TestMemory has GOMEMLIMIT follow the limit as docs/memory.md has it.
func TestMemory(t *testing.T) {
	doc, err := os.ReadFile("../../docs/memory.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| [0-9,]+ \| (\w+) \| (\w+) \|$`).FindAllStringSubmatch(string(doc), -1)
	if len(rows) < 3 {
		t.Fatalf("docs/memory.md has %d rows", len(rows))
	}
	limits := map[string]string{"2G": "1710MiB", "536870912": "460MiB", "1.5Gi": "1380MiB", "100Ki": "", "": ""}
	for _, row := range rows {
		limits[row[1]] = row[2]
	}
	for limit, want := range limits {
		got := ""
		set := []string{"--set-string", "resources.limits.memory=" + limit}
		if limit == "" {
			set = []string{"--set", "resources.limits=null"}
		}
		env, _ := deployment(t, objects(t, rendered(t, set...)), "rollspan/rollspan")["env"].([]any)
		for _, e := range env {
			if e := e.(map[string]any); e["name"] == "GOMEMLIMIT" {
				got = fmt.Sprint(e["value"])
			}
		}
		if got != want {
			t.Errorf("of %q GOMEMLIMIT is %q, want %q", limit, got, want)
		}
	}
}

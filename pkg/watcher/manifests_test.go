package watcher

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// manifests decodes every object below a directory strictly, by kind/name.
func manifests(t *testing.T, dir string) map[string]runtime.Object {
	t.Helper()
	objects := map[string]runtime.Object{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && slices.Contains([]string{"helm", "overlays", "examples"}, d.Name()) {
			return fs.SkipDir // templates and patches are no manifests: test/chart renders them
		}
		if err != nil || d.IsDir() || d.Name() == "kustomization.yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			object, kind, err := scheme.Codecs.UniversalDeserializer().Decode(document, nil, nil)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			// Once more, for fields that the type does not have.
			if err := yaml.UnmarshalStrict(document, object.DeepCopyObject()); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			name := kind.Kind + "/" + object.(interface{ GetName() string }).GetName()
			if objects[name] != nil {
				t.Errorf("%s: %s is there twice", path, name)
			}
			objects[name] = object
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestManifests(t *testing.T) {
	config, deploy := manifests(t, "../../config"), manifests(t, "../../deploy")

	// Both ways to install grant the same. The roles for owners are for who
	// wants them.
	owners := manifests(t, "../../config/owners")
	for name, object := range config {
		if _, ok := owners[name]; ok {
			if deploy[name] != nil {
				t.Errorf("%s is not optional in deploy", name)
			}
			continue
		}
		if name != "Deployment/rollspan" && !reflect.DeepEqual(object, deploy[name]) {
			t.Errorf("%s differs between config and deploy", name)
		}
	}
	endpoint := func(o runtime.Object) string {
		for _, e := range o.(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Env {
			if e.Name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
				return e.Value
			}
		}
		return ""
	}
	if got := endpoint(deploy["Deployment/rollspan"]); got != "http://jaeger:4317" {
		t.Errorf("deploy sends to %q", got)
	}
	ports := deploy["Service/jaeger"].(*corev1.Service).Spec.Ports
	if !slices.ContainsFunc(ports, func(p corev1.ServicePort) bool { return p.Port == 4317 }) {
		t.Errorf("the service jaeger has ports %v", ports)
	}

	example, err := os.ReadFile("../../deploy/examples/jaeger/ui-config.json")
	if err != nil {
		t.Fatal(err)
	}
	if ui := deploy["ConfigMap/jaeger-ui-config"].(*corev1.ConfigMap).Data["ui-config.json"]; ui != string(example) {
		t.Errorf("Jaeger's UI in deploy is set up as\n%s\nand in examples as\n%s", ui, example)
	}

	for _, file := range []string{"default", "manager", "rbac"} {
		dir := filepath.Join("../../config", file)
		content, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var k struct {
			APIVersion, Kind, Namespace string
			Resources                   []string
			Images                      []struct{ Name, NewTag string }
		}
		if err := yaml.UnmarshalStrict(content, &k); err != nil {
			t.Error(err)
		}
		for _, r := range k.Resources {
			if _, err := os.Stat(filepath.Join(dir, r)); err != nil {
				t.Error(err)
			}
		}
	}
}

// What is stuck is restarted, and what is asked to end has the time it may take.
func TestManifestsOfTheEnd(t *testing.T) {
	for _, dir := range []string{"../../config", "../../deploy"} {
		pod := manifests(t, dir)["Deployment/rollspan"].(*appsv1.Deployment).Spec.Template.Spec
		// --drain-timeout is ten seconds by default; what is stuck then takes some more.
		if grace := pod.TerminationGracePeriodSeconds; grace == nil || *grace < 20 {
			t.Errorf("%s: no time to end", dir)
		}
		c := pod.Containers[0]
		if slices.ContainsFunc(c.Args, func(arg string) bool { return strings.HasPrefix(arg, "--drain-timeout") }) {
			t.Errorf("%s: it has another drain timeout: look at the grace period", dir)
		}
		probe := c.LivenessProbe
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != "/healthz" {
			t.Fatalf("%s: nothing looks whether it is stuck", dir)
		}
		if after := probe.PeriodSeconds * probe.FailureThreshold; after < 20 || after > 60 || probe.TimeoutSeconds < 5 {
			t.Errorf("%s: it is restarted %d seconds after it was found stuck, and answers in %d", dir, after, probe.TimeoutSeconds)
		}
	}
}

// A probe for readiness may take longer than rollspan holds it.
func TestManifestsOfTheStart(t *testing.T) {
	for _, dir := range []string{"../../config", "../../deploy"} {
		probe := manifests(t, dir)["Deployment/rollspan"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0].ReadinessProbe
		if time.Duration(probe.TimeoutSeconds)*time.Second <= readyPatience || probe.InitialDelaySeconds == 0 {
			t.Errorf("%s: %+v fails at a normal start", dir, probe)
		}
	}
}

// GOMEMLIMIT is some nine tenths of the memory limit, as docs/memory.md has them.
func TestManifestsLimitMemory(t *testing.T) {
	doc, err := os.ReadFile("../../docs/memory.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"../../config", "../../deploy"} {
		container := manifests(t, dir)["Deployment/rollspan"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0]
		limit := container.Resources.Limits.Memory()
		i := slices.IndexFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
		if i < 0 {
			t.Errorf("%s: no GOMEMLIMIT", dir)
			continue
		}
		soft, err := resource.ParseQuantity(strings.TrimSuffix(container.Env[i].Value, "B"))
		if err != nil {
			t.Fatal(err)
		}
		if part := soft.AsApproximateFloat64() / limit.AsApproximateFloat64(); part < 0.85 || part > 0.92 {
			t.Errorf("%s: GOMEMLIMIT is %s, the limit %s", dir, container.Env[i].Value, limit)
		}
		if row := fmt.Sprintf("| %s | %s |", limit, container.Env[i].Value); !strings.Contains(string(doc), row) {
			t.Errorf("%s: docs/memory.md does not have %q", dir, row)
		}
	}
}

// The example of a role for owners is bound to rollspan, grants no more than
// rollspan does, and nothing that it never asks for.
func TestOwnersRole(t *testing.T) {
	owners := manifests(t, "../../config/owners")
	binding := owners["ClusterRoleBinding/rollspan-owners"].(*rbacv1.ClusterRoleBinding)
	own := manifests(t, "../../config/rbac")["ClusterRoleBinding/rollspan"].(*rbacv1.ClusterRoleBinding)
	if binding.RoleRef.Name != "rollspan-owners" || !reflect.DeepEqual(binding.Subjects, own.Subjects) {
		t.Errorf("binds %+v to %+v", binding.RoleRef, binding.Subjects)
	}
	role := owners["ClusterRole/rollspan-owners"].(*rbacv1.ClusterRole)
	if len(role.Rules) == 0 {
		t.Error("no rules")
	}
	for _, rule := range role.Rules {
		if !slices.Equal(rule.Verbs, watchVerbs) || slices.Contains(rule.APIGroups, "") || slices.Contains(rule.APIGroups, "*") ||
			slices.Contains(rule.Resources, "*") {
			t.Errorf("grants %+v", rule)
		}
	}
}

// The role holds what the live run lists and watches, and nothing else but the
// cluster's UID.
func TestRoleIsWhatIsWatched(t *testing.T) {
	role := manifests(t, "../../config")["ClusterRole/rollspan"].(*rbacv1.ClusterRole)
	granted := map[string][]string{}
	for _, rule := range role.Rules {
		if len(rule.ResourceNames) > 0 {
			if !reflect.DeepEqual(rule, rbacv1.PolicyRule{
				APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"kube-system"}, Verbs: []string{"get"},
			}) {
				t.Errorf("unexpected rule %v", rule)
			}
			continue
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				granted[group+"/"+resource] = rule.Verbs
			}
		}
	}
	content, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	comments := strings.ReplaceAll(string(content), "\n# ", " ")
	for _, k := range slices.Concat(liveKinds, customKinds) {
		if k.without != "" && !strings.Contains(comments, "Without this rule "+k.without+".") {
			t.Errorf("the role does not say that without %s %s", k.resource, k.without)
		}
		key := k.Group + "/" + k.resource
		if !slices.Equal(granted[key], watchVerbs) {
			t.Errorf("%s: granted %v, needed %v", key, granted[key], watchVerbs)
		}
		delete(granted, key)
	}
	if len(granted) > 0 {
		t.Errorf("granted, and not needed: %v", granted)
	}
}

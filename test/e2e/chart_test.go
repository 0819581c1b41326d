package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// helm runs the real helm as the administrator.
func (s *space) helm(args ...string) (string, error) {
	s.t.Helper()
	out, errs, err := controlplane.HelmForTest(s.t, s.cluster.Kubeconfig(), args...)
	if err != nil {
		return "", fmt.Errorf("helm %s: %w\n%s", strings.Join(args, " "), err, errs)
	}
	return out, nil
}

// chart is the chart's folder.
func (s *space) chart() string {
	s.t.Helper()
	root, err := harness.Checkout(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return filepath.Join(root, "deploy", "helm", "rollspan")
}

// release installs the chart in a namespace that helm makes, and uninstalls it at the end.
// It returns the Deployment, and what helm says.
func (s *space) release(name string, args ...string) (*appsv1.Deployment, string) {
	s.t.Helper()
	namespace := s.name + "-" + name
	out, err := s.helm(append([]string{"install", name, s.chart(), "--namespace", namespace, "--create-namespace"}, args...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := s.client.AppsV1().Deployments(namespace).List(s.t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + name})
	if err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(list.Items, func(d appsv1.Deployment) bool { return d.Spec.Template.Spec.Containers[0].Name == "rollspan" })
	if i < 0 {
		s.t.Fatalf("no Deployment of rollspan among %d", len(list.Items))
	}
	return &list.Items[i], out
}

// runAs starts rollspan as a Deployment has it run: with its arguments, its environment and
// the rights of its service account. Only where it listens is another place, and where the
// lease is, which a pod knows by itself.
func (s *space) runAs(d *appsv1.Deployment, stdout io.Writer, rights ...authorizationv1.ResourceAttributes) (p *harness.Program, metrics string) {
	s.t.Helper()
	kubeconfig, err := s.cluster.KubeconfigFor(s.t.Context(), d.Namespace, d.Spec.Template.Spec.ServiceAccountName, rights...)
	if err != nil {
		s.t.Fatal(err)
	}
	env, args, metrics := s.asDeployed(d, kubeconfig)
	p, err = harness.Start("env", stdout, slices.Concat(env, []string{s.binary}, args)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	s.program = p
	return p, metrics
}

// asDeployed is the environment and the arguments of runAs, and where it shows its metrics.
func (s *space) asDeployed(d *appsv1.Deployment, kubeconfig string) (env, args []string, metrics string) {
	s.t.Helper()
	addresses, err := harness.FreeAddresses(2)
	if err != nil {
		s.t.Fatal(err)
	}
	container := d.Spec.Template.Spec.Containers[0]
	for _, e := range container.Env {
		env = append(env, e.Name+"="+e.Value)
	}
	for _, arg := range container.Args {
		switch arg {
		case "--health-address=:8081":
			arg = "--health-address=" + addresses[0]
		case "--metrics-address=:8080":
			arg = "--metrics-address=" + addresses[1]
		}
		args = append(args, arg)
	}
	args = append(args, "--kubeconfig", kubeconfig, "--leader-elect-namespace", d.Namespace, "--settle", settle)
	return env, args, "http://" + addresses[1] + "/metrics"
}

// TestChart has helm install rollspan for one namespace. As the chart has it run, and with
// what the chart grants, it sends a rollout, and nothing is refused. Then helm upgrades it,
// and takes all of it away.
func TestChart(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.collector = s.apart
	values := []string{
		"--set", "namespaces={" + s.name + "},rbac.clusterScoped=true,otlp.endpoint=" + s.apart.OTLPGRPC(),
		"--set", "log.level=debug,log.format=text,clusterName=" + clusterName,
	}
	d, said := s.release("team", values...)
	program, metrics := s.runAs(d, nil, inNamespace(s.name), authorizationv1.ResourceAttributes{
		Verb: "get", Resource: "namespaces", Name: metav1.NamespaceSystem, Namespace: metav1.NamespaceSystem,
	}, authorizationv1.ResourceAttributes{Verb: "watch", Resource: "nodes"}, authorizationv1.ResourceAttributes{
		Verb: "create", Group: "coordination.k8s.io", Resource: "leases", Namespace: d.Namespace,
	})
	s.watches(program, liveKinds...)
	s.says(program, `"first list is through" of=nodes`)
	s.create(app{replicas: 2})
	s.complete(1)
	s.hasItsPods(s.rollout(1).ID, s.pods("1"))

	s.isHeld(d.Namespace, d.Name)
	requests := s.get(metrics)
	if !strings.Contains(requests, `rest_client_requests_total{code="200"`) || strings.Contains(requests, `rest_client_requests_total{code="403"`) {
		t.Errorf("the API server answered:\n%s", requests)
	}
	if strings.Contains(program.Stderr(), "cannot read") {
		t.Errorf("something is refused:\n%s", program.Stderr())
	}
	stopped(t, program)

	// What helm advises is true.
	advised := regexp.MustCompile(`(?m)^ +kubectl (.* rollout status .*)$`).FindStringSubmatch(said)
	if advised == nil {
		t.Fatalf("helm does not say how to see that it works:\n%s", said)
	}
	if err := s.kubectl(t.Context(), strings.Fields(advised[1])...); err != nil {
		t.Error(err)
	}
	if _, err := s.helm("upgrade", "team", s.chart(), "--namespace", d.Namespace, "--reuse-values", "--set", "replicaCount=2,podDisruptionBudget.enabled=true"); err != nil {
		t.Error(err)
	}
	if err := s.kubectl(t.Context(), strings.Fields(advised[1])...); err != nil {
		t.Error(err)
	}
	s.uninstall(d)
}

// inNamespace is what rollspan ends without where it watches one namespace.
func inNamespace(namespace string) authorizationv1.ResourceAttributes {
	one := reads
	one.Namespace = namespace
	return one
}

// TestChartForTheWholeCluster has nothing set: rollspan watches everything, and prints it.
func TestChartForTheWholeCluster(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	d, _ := s.release("whole", "--set", "log.level=debug,log.format=text,rbac.kinds.events=true")
	printed := s.dataFile("stdout")
	stdout, err := os.Create(printed)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdout.Close() }() // it is read by its name
	program, _ := s.runAs(d, stdout, reads)
	for _, kind := range []string{"deployments", "replicasets", "pods", "events", "nodes", "persistentvolumeclaims", "horizontalpodautoscalers", "controllerrevisions"} {
		s.says(program, fmt.Sprintf(`"first list is through" of=%s`, kind))
	}
	s.create(app{})
	s.complete(1)
	id := s.rolloutID(1) // that the common rollspan sent
	s.eventually("the rollout is printed", func() error {
		content, err := os.ReadFile(printed)
		if err == nil && !strings.Contains(string(content), "trace "+id) {
			err = fmt.Errorf("there is no trace %s", id)
		}
		return err
	})
	// Owners and Events of other tests name what it may not read; all else it may.
	role, err := s.client.RbacV1().ClusterRoles().Get(t.Context(), d.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			if refused := regexp.MustCompile(`cannot read ` + resource + `\b.*`).FindString(program.Stderr()); refused != "" && rule.APIGroups[0] != "argoproj.io" {
				t.Errorf("something is refused: %s", refused)
			}
		}
	}
	stopped(t, program)
	s.uninstall(d)
}

// TestChartIsAccepted installs each combination of values that the chart documents. The real
// API server takes all of it.
func TestChartIsAccepted(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.monitoring()
	files, err := filepath.Glob(filepath.Join(s.chart(), "ci", "*-values.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no values: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), "-values.yaml")
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"-f", file}
		if strings.Contains(string(content), "\nnamespaces:") {
			args = append(args, "--set", "namespaces={"+s.name+"}")
		}
		d, _ := s.release(name, args...)
		s.uninstall(d)
	}
	d, _ := s.release("pods", "--set", "podMonitor.enabled=true,podMonitor.interval=30s,podMonitor.labels.release=prometheus")
	s.uninstall(d)
}

// TestChartMovesIntoAClaim has a release's strategy become Recreate, and a rolling update again. What
// helm applies on the server takes away only what helm has set before.
func TestChartMovesIntoAClaim(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	d, _ := s.release("journal", "--set", "dataDir.enabled=true")
	for _, step := range []struct {
		claim string
		want  appsv1.DeploymentStrategyType
	}{{"true", appsv1.RecreateDeploymentStrategyType}, {"false", appsv1.RollingUpdateDeploymentStrategyType}} {
		if _, err := s.helm("upgrade", "journal", s.chart(), "--namespace", d.Namespace, "--reset-then-reuse-values", "--set", "dataDir.claim.enabled="+step.claim); err != nil {
			t.Fatal(err)
		}
		now, err := s.client.AppsV1().Deployments(d.Namespace).Get(t.Context(), d.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := now.Spec.Strategy.Type; got != step.want {
			t.Errorf("with claim.enabled=%s the strategy is %s, want %s", step.claim, got, step.want)
		}
	}
	s.uninstall(d)
}

// monitoring has the cluster know what Prometheus' operator would read.
func (s *space) monitoring() {
	s.t.Helper()
	dir := controlplane.MonitoringForTest(s.t)
	for _, plural := range []string{"servicemonitors", "podmonitors", "prometheusrules"} {
		s.kubectlRun("apply", "--server-side", "-f", filepath.Join(dir, "monitoring.coreos.com_"+plural+".yaml"))
		s.waits("crd/"+plural+".monitoring.coreos.com", "condition=Established")
	}
}

// TestManifestsAreAccepted has the real API server take what kustomize makes of the overlays and
// of the examples, in namespaces that enforce what theirs do.
func TestManifestsAreAccepted(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	root, err := harness.Checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"shop", "observability"} {
		s.apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + namespace + ", labels: {pod-security.kubernetes.io/enforce: restricted}}}")
	}
	var folders []string
	for _, pattern := range []string{"config/overlays/*", "deploy/examples/*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern, "kustomization.yaml"))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d, %v", pattern, len(found), err)
		}
		folders = append(folders, found...)
	}
	for _, folder := range folders {
		// Without a namespace of the test's own, as they have theirs.
		said, err := s.kubectlSays(t.Context(), "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-k", filepath.Dir(folder))
		if err != nil {
			t.Errorf("%s: %v", folder, err)
		}
		if !strings.Contains(said, "deployment.apps/") {
			t.Errorf("%s: no Deployment among\n%s", folder, said)
		}
	}
}

// uninstall takes a release away, and sees that nothing of it is left but what is meant to
// stay.
func (s *space) uninstall(d *appsv1.Deployment) {
	s.t.Helper()
	name := d.Labels["app.kubernetes.io/instance"]
	if _, err := s.helm("uninstall", name, "--namespace", d.Namespace, "--wait"); err != nil {
		s.t.Error(err)
	}
	for _, namespace := range []string{d.Namespace, s.name} {
		left, err := s.kubectlSays(s.t.Context(), "-n", namespace,
			"get", "deployments,services,ingresses,serviceaccounts,configmaps,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies,poddisruptionbudgets",
			"-l", "app.kubernetes.io/managed-by=Helm,app.kubernetes.io/instance="+name, "-o", "name")
		if err != nil {
			s.t.Error(err)
		}
		// Another test may have a release of this name.
		for line := range strings.Lines(left) {
			s.t.Errorf("of the release %s is left: %s", name, line)
		}
	}
}

func (s *space) get(url string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body)
}

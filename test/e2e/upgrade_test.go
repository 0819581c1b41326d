package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// former is the chart as it could have been before: of another version, and without one value.
func (s *space) former(value string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.chart())); err != nil {
		s.t.Fatal(err)
	}
	for file, line := range map[string]string{"values.yaml": value + `: ""`, filepath.Join("files", "values.txt"): value, "Chart.yaml": "version: 0.1.0"} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			s.t.Fatal(err)
		}
		before, after, found := strings.Cut(string(content), "\n"+line+"\n")
		if !found {
			s.t.Fatalf("%s has no line %q", file, line)
		}
		if file == "Chart.yaml" {
			before += "\nversion: 0.0.1"
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(before+"\n"+after), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

// TestChartUpgraded comes from a former chart, with a journal in a claim and with values of the
// user's. The journal and the values stay, what helm would have done wrong is refused, there is a
// way back, and after the end the claim is left alone.
func TestChartUpgraded(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	const value = "schedulerName"
	former := s.former(value)
	if _, err := s.helm("install", "upgraded", former, "--namespace", s.name,
		"--set", "namespaces={"+s.name+"},otlp.endpoint=http://collector:4317,dataDir.enabled=true,dataDir.claim.enabled=true,image.tag=v1"); err != nil {
		t.Fatal(err)
	}
	before, claim := s.deployed("upgraded-rollspan"), s.journal()

	_, err := s.helm("upgrade", "upgraded", s.chart(), "--namespace", s.name, "--reuse-values", "--set", "image.tag=v2")
	if err == nil || !strings.Contains(err.Error(), "values that are missing: "+value) || !strings.Contains(err.Error(), "use --reset-then-reuse-values") {
		t.Errorf("of the former chart's defaults helm says %v", err)
	}
	if d := s.deployed("upgraded-rollspan"); d.Generation != before.Generation {
		t.Error("what was refused has changed the Deployment")
	}
	if _, err := s.helm("upgrade", "upgraded", s.chart(), "--namespace", s.name, "--reset-then-reuse-values", "--set", "image.tag=v2"); err != nil {
		t.Fatal(err)
	}
	after := s.deployed("upgraded-rollspan")
	was, is := before.Spec.Template.Spec.Containers[0], after.Spec.Template.Spec.Containers[0]
	if was.Image != "rollspan/rollspan:v1" || is.Image != "rollspan/rollspan:v2" || strings.Join(was.Args, " ") != strings.Join(is.Args, " ") || was.Env[0] != is.Env[0] {
		t.Errorf("it was %+v and is %+v", was, is)
	}
	if after.UID != before.UID || after.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || s.journal().UID != claim.UID {
		t.Errorf("not the same is upgraded: %+v", after.Spec.Strategy)
	}
	if _, err := s.helm("rollback", "upgraded", "--namespace", s.name); err != nil {
		t.Fatal(err)
	}
	if d := s.deployed("upgraded-rollspan"); d.Spec.Template.Spec.Containers[0].Image != was.Image || s.journal().UID != claim.UID {
		t.Error("the way back leads elsewhere")
	}
	s.uninstall(after)
	if s.journal().UID != claim.UID {
		t.Error("the journal is gone")
	}
}

// TestTwoReleases are in one namespace, and one of them goes.
func TestTwoReleases(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	long := strings.Repeat("a-long-name-", 4)[:46]
	for _, name := range []string{long + "-one", long + "-two"} {
		if _, err := s.helm("install", name, s.chart(), "--namespace", s.name, "--set", "namespaces={"+s.name+"},jaeger.enabled=true,podDisruptionBudget.enabled=true,networkPolicy.enabled=true"); err != nil {
			t.Fatal(err)
		}
	}
	two := s.deployed(long + "-two-rollspan")
	s.uninstall(s.deployed(long + "-one-rollspan"))
	left, err := s.kubectlSays(t.Context(), "-n", s.name, "get", "deployments,services,serviceaccounts,configmaps,roles,rolebindings,networkpolicies,poddisruptionbudgets",
		"-l", "app.kubernetes.io/instance="+long+"-two", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	// Two Deployments and Services, an account, Jaeger's ConfigMap, two Roles with their bindings,
	// a policy and a budget.
	if n := strings.Count(left, "\n"); n != 12 {
		t.Errorf("of the other release there are %d objects, want 12:\n%s", n, left)
	}
	if d := s.deployed(long + "-two-rollspan"); d.UID != two.UID {
		t.Error("the other release is another")
	}
	s.uninstall(two)
}

func (s *space) deployed(name string) *appsv1.Deployment {
	s.t.Helper()
	d, err := s.client.AppsV1().Deployments(s.name).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// journal is the claim that the release has its journal in.
func (s *space) journal() *corev1.PersistentVolumeClaim {
	s.t.Helper()
	c, err := s.client.CoreV1().PersistentVolumeClaims(s.name).Get(s.t.Context(), "upgraded-rollspan-data", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

package controlplane

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// TB is the part of testing.TB that the helpers need; taking it as an interface
// keeps package testing, and its flags, out of other programs.
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	TempDir() string
	Failed() bool
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// StartForTest starts a cluster that ends with the test. If the test fails, its
// logs stay, and the test's output says where.
func StartForTest(t TB, o Options) *ControlPlane {
	t.Helper()
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.KeepDir()
			t.Logf("the cluster's logs are in %s", c.Dir())
		}
		c.Stop()
	})
	return c
}

// StartJaegerForTest starts a Jaeger that ends with the test, as StartForTest
// does a cluster.
func StartJaegerForTest(t TB, o Options, configs ...string) *Jaeger {
	t.Helper()
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	j, err := StartJaeger(t.Context(), o, configs...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			j.KeepDir()
			t.Logf("Jaeger's log is in %s", j.Dir())
		}
		j.Stop()
	})
	return j
}

// StartCollectorForTest starts a Collector that ends with the test, as StartForTest
// does a cluster.
func StartCollectorForTest(t TB, o Options, kubeconfig string, configs ...string) *OpenTelemetryCollector {
	t.Helper()
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	c, err := StartCollector(t.Context(), o, kubeconfig, configs...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.KeepDir()
			t.Logf("the Collector's log is in %s", c.Dir())
		}
		c.Stop()
	})
	return c
}

// HelmForTest runs the real helm, which finds nothing of this machine's: no settings, and no
// cluster but that of the kubeconfig.
func HelmForTest(t TB, kubeconfig string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return Helm.HelmForTest(t, kubeconfig, args...)
}

// HelmForTest runs helm of one release: Helm, or Helm3.
func (tool Tool) HelmForTest(t TB, kubeconfig string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	bin, err := tool.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatalf("%v", err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "helm"), args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+kubeconfig)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// MonitoringForTest makes the resource definitions of Prometheus' operator from its Go types, as
// the operator's own release does, and returns the folder of them: a file each, named
// monitoring.coreos.com_<plural>.yaml.
func MonitoringForTest(t TB) string {
	t.Helper()
	bin, err := Monitoring.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatalf("%v", err)
	}
	module, err := moduleDir(t.Context(), Monitoring)
	if err != nil {
		t.Fatalf("%v", err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "controller-gen"), "crd",
		"paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1", "output:crd:dir="+dir)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("controller-gen: %v\n%s", err, out)
	}
	return dir
}

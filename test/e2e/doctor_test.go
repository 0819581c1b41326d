package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/pkg/doctor"
	"github.com/rollspan/rollspan/test/controlplane"
)

// doctor is what `rollspan doctor` reports. Its exit code has to be that of its report.
func (s *space) doctor(args ...string) doctor.Report {
	s.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), s.binary, append([]string{"doctor", "-o", "json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var report doctor.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		s.t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	var exit *exec.ExitError
	if failed := errors.As(err, &exit) && exit.ExitCode() == 1; failed != (report.Status == doctor.Failed) || err != nil && !failed {
		s.t.Errorf("%v, and the report says %s", err, report.Status)
	}
	return report
}

func found(r *doctor.Report, check string, status doctor.Status) []doctor.Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f doctor.Finding) bool { return f.Check != check || f.Status != status })
}

// TestDoctor asks with what the manifests grant, then with nothing; and what the doctor says to
// do then helps.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	report := s.doctor("--kubeconfig", s.kubeconfig, "--leader-elect-namespace", "rollspan", "--otlp-endpoint", s.jaeger.OTLPGRPC(), "--data-dir", t.TempDir())
	for _, check := range []string{"server", "clock", "permissions", "events", "memory", "leases", "collector", "data-dir"} {
		if len(found(&report, check, doctor.OK)) != 1 {
			t.Errorf("%s is not as it should be: %+v", check, report.Findings)
		}
	}
	if tried := os.Getenv(controlplane.KubernetesEnv); tried != "" && len(found(&report, "version", doctor.Warning)) == 1 {
		t.Logf("the doctor does not know %s yet", tried)
	} else if report.Status != doctor.OK || len(found(&report, "version", doctor.OK)) != 1 {
		t.Errorf("%+v", report)
	}
	if report.Grant != "" || !strings.Contains(report.Findings[0].Found, "system:serviceaccount:rollspan:rollspan") {
		t.Errorf("%+v", report)
	}

	// Somebody who may do nothing, as which the administrator asks.
	ask := []string{"--kubeconfig", s.cluster.Kubeconfig(), "--as", "system:serviceaccount:" + s.name + ":default",
		"--leader-elect", "--leader-elect-namespace", s.name, "--otlp-endpoint", "http://127.0.0.1:1"}
	report = s.doctor(ask...)
	// Deployments, ReplicaSets, Pods, and Leases for the election.
	if n := len(found(&report, "permissions", doctor.Failed)); n != 4 {
		t.Errorf("%d of the permissions that are missing are said to matter: %+v", n, report.Findings)
	}
	if f := found(&report, "collector", doctor.Failed); len(f) != 1 || f[0].Reason != "refused" {
		t.Errorf("the collector: %+v", f)
	}
	s.apply(strings.ReplaceAll(report.Grant, "{name: rollspan", "{name: "+s.name))
	s.apply(fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}
subjects: [{kind: ServiceAccount, name: default, namespace: %[1]s}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %[1]s}
subjects: [{kind: ServiceAccount, name: default, namespace: %[1]s}]
`, s.name))
	defer s.kubectlRun("delete", "clusterrole/"+s.name, "clusterrolebinding/"+s.name)
	s.eventually("what the doctor said is granted", func() error {
		report = s.doctor(append(ask, "-n", s.name)...)
		if report.Grant != "" {
			return errors.New(report.Grant)
		}
		return nil
	})
	if n := len(found(&report, "permissions", doctor.OK)); n != 1 || len(found(&report, "namespaces", doctor.Failed)) > 0 {
		t.Errorf("%+v", report.Findings)
	}
}

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// TestRestoredFromABackup has etcd restored from a backup: its revisions are counted anew, and what
// was written since the backup is none any more. rollspan says so and ends, as Kubernetes asks of all
// that watch. Started again with its data directory it goes on with what there is: a Deployment that is made
// now is told, though its resource versions are such as were passed.
func TestRestoredFromABackup(t *testing.T) {
	t.Parallel()
	w := theWorldFor(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cluster := controlplane.StartForTest(t, controlplane.Options{Progress: os.Stderr, BootTimeout: patience, NoNodes: true})
	config := cluster.RESTConfig()
	config.QPS = -1 // for what is written to count up versions
	client := kubernetes.NewForConfigOrDie(config)
	if err := cluster.Backup(ctx); err != nil {
		t.Fatal(err)
	}
	run := func(dir string) *harness.Program {
		addresses, err := harness.FreeAddresses(2)
		if err != nil {
			t.Fatal(err)
		}
		p, err := harness.Start(w.binary, nil, "run", "--kubeconfig", cluster.Kubeconfig(), "--otlp-endpoint", w.apart.OTLPGRPC(),
			"--health-address", addresses[0], "--metrics-address", addresses[1], "--cluster-name", t.Name(), "--data-dir", dir, "--settle", "1s")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		if err := p.WaitReady(ctx, addresses[0]); err != nil {
			t.Fatal(err)
		}
		return p
	}
	dir := t.TempDir()
	first := run(dir)
	deploy := func(name string) {
		t.Helper()
		labels := map[string]string{"app": name}
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](0), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "app:1"}}}},
		}}
		if _, err := client.AppsV1().Deployments(metav1.NamespaceDefault).Create(ctx, d, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	told := func(name string) {
		t.Helper()
		err := poll(ctx, patience, func() error {
			services, err := w.apart.Services(ctx)
			for _, service := range services {
				found, err := w.apart.FindTraces(ctx, service, "", map[string]string{"k8s.deployment.name": name, "k8s.cluster.name": t.Name()}, time.Hour)
				if err != nil || len(found) > 0 {
					return err
				}
			}
			return cmp.Or(err, fmt.Errorf("no trace of the Deployment %s", name))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	deploy("before")
	told("before")
	// An API server that has passed these versions by when rollspan reaches it would not be noticed. It
	// begins with some hundred writes.
	for i := range 1500 {
		_, err := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(ctx,
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("filler-", i)}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	deploy("last")
	told("last")
	if err := cluster.Restore(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.Exited():
	case <-time.After(time.Minute):
		t.Fatalf("rollspan goes on:\n%s", first.Stderr())
	}
	if code := first.ExitCode(); code != 1 || !strings.Contains(first.Stderr(), "the API server was restored from a backup: ") {
		t.Errorf("it ended with code %d:\n%s", code, first.Stderr())
	}
	second := run(dir)
	deploy("after")
	told("after")
	if said := second.Stderr(); strings.Contains(said, "level=ERROR") || strings.Contains(said, "restored") {
		t.Errorf("the next one complains:\n%s", said)
	}
}

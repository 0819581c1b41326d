package soak

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// world is what all rows share.
type world struct {
	t      testing.TB
	plane  *controlplane.ControlPlane
	client kubernetes.Interface
	jaeger *controlplane.Jaeger
	binary string
	rows   []string
}

const own = "rollspan" // the namespace of rollspan, and its ServiceAccount

func newWorld(t testing.TB, nodes int, table []row) *world {
	t.Helper()
	ctx := t.Context()
	root, err := harness.Checkout(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	for _, r := range table {
		w.rows = append(w.rows, r.name)
	}
	unlimited := []string{"--kube-api-qps=1000", "--kube-api-burst=2000"}
	w.plane = controlplane.StartForTest(t, controlplane.Options{
		NoNodes: true,
		// What is measured is not who waits for whom.
		APIServerArgs: []string{"--max-requests-inflight=0", "--max-mutating-requests-inflight=0", "--enable-priority-and-fairness=false"},
		// kwok's nodes are silent while the machine is busy.
		ControllerManagerArgs: append([]string{"--node-monitor-grace-period=2h"}, unlimited...), SchedulerArgs: unlimited,
	})
	err = w.plane.StartKwok(ctx, os.Stderr, nodes, filepath.Join(root, "test", "bench", "cost", "stages.yaml"), filepath.Join(root, "test", "soak", "stages.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.jaeger = controlplane.StartJaegerForTest(t, controlplane.Options{})
	if w.binary, err = harness.Build(ctx, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if w.client, err = kubernetes.NewForConfig(w.plane.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	w.bindRoles(root)
	return w
}

// number tells rows apart where a name has to be short.
func (w *world) number(name string) int { return slices.Index(w.rows, name) }

// bindRoles gives rollspan what its manifests do, and Leases wherever a row has its own.
func (w *world) bindRoles(root string) {
	w.t.Helper()
	ctx := w.t.Context()
	out, err := exec.CommandContext(ctx, w.plane.Kubectl(), "--kubeconfig", w.plane.Kubeconfig(), "--cache-dir", filepath.Join(w.plane.Dir(), "kubectl"),
		"apply", "-f", filepath.Join(root, "config", "rbac", "role.yaml")).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	w.namespace(own)
	roles, accounts := w.client.RbacV1(), w.client.CoreV1().ServiceAccounts(own)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: own}}, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	_, err = roles.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "leases"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "list", "create", "update"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, role := range []string{"rollspan", "leases"} {
		_, err := roles.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "soak-" + role},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: own, Name: own}}}, metav1.CreateOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) namespace(name string) {
	w.t.Helper()
	_, err := w.client.CoreV1().Namespaces().Create(w.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// newToken is a token of rollspan's ServiceAccount that is refused as soon as it is revoked.
func (w *world) newToken(ctx context.Context, row string, number int) string {
	name := fmt.Sprintf("%s-token-%d", row, number)
	secret, err := w.client.CoreV1().Secrets(own).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		w.t.Error(err)
		return ""
	}
	seconds := int64(6 * time.Hour / time.Second)
	request, err := w.client.CoreV1().ServiceAccounts(own).CreateToken(ctx, own, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds, BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: name, UID: secret.UID},
	}}, metav1.CreateOptions{})
	if err != nil {
		w.t.Error(err)
		return ""
	}
	return request.Status.Token
}

// revoke has the API server refuse a token.
func (w *world) revoke(ctx context.Context, row string, number int) {
	if err := w.client.CoreV1().Secrets(own).Delete(ctx, fmt.Sprintf("%s-token-%d", row, number), metav1.DeleteOptions{}); err != nil {
		w.t.Error(err)
	}
}

// begin starts what a row has, up to its rollspans.
func (w *world) begin(r row, seed uint64) *running {
	w.t.Helper()
	out := &running{row: r, t: w.t, world: w, dir: w.t.TempDir(), random: newRandom(seed, uint64(w.number(r.name)))} //nolint:gosec // It is not negative.
	out.collector = newCollector(w.t, r.byHTTP, toJaeger(w.t, strings.TrimPrefix(w.jaeger.OTLPGRPC(), "http://")))
	if r.tells {
		out.listener = newListener(w.t)
		out.collector.listener = out.listener
	}
	out.collector.up()
	out.api = newAPIServer(w.t, w.plane.RESTConfig())
	out.api.up()
	token := filepath.Join(out.dir, "token")
	if err := os.WriteFile(token, []byte(w.newToken(w.t.Context(), out.cluster(), 0)), 0o600); err != nil {
		w.t.Fatal(err)
	}
	out.api.kubeconfig(out.dir, token)
	if r.lease {
		w.namespace(out.leases())
	}
	if r.small != "" {
		w.mount(filepath.Join(out.dir, "data"), r.small)
	}
	if r.before != nil {
		r.before(out)
	}
	for range max(1, r.replicas) {
		out.start()
	}
	return out
}

// canMount says whether a small disk can be made here.
func canMount(t testing.TB) bool {
	dir := t.TempDir()
	if exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=64k", "none", dir).Run() != nil {
		return false
	}
	return exec.CommandContext(context.WithoutCancel(t.Context()), "umount", dir).Run() == nil
}

// mount makes a small disk, which goes with the test.
func (w *world) mount(dir, size string) {
	w.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if out, err := exec.CommandContext(w.t.Context(), "mount", "-t", "tmpfs", "-o", "size="+size, "none", dir).CombinedOutput(); err != nil {
		w.t.Fatalf("mount: %v\n%s", err, out)
	}
	ctx := context.WithoutCancel(w.t.Context())
	w.t.Cleanup(func() {
		if out, err := exec.CommandContext(ctx, "umount", "-l", dir).CombinedOutput(); err != nil {
			w.t.Errorf("umount: %v\n%s", err, out)
		}
	})
}

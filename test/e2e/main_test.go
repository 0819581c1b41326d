// Package e2e holds rollspan to its trace contract from the outside: the real
// program, built from this checkout, watches a real control plane with exactly
// the permissions that config/rbac grants, and the tests ask a real Jaeger
// what it got.
//
// All tests share one cluster, and one rollspan that watches all of it as the
// manifests in config/manager have it run. Each test has a namespace of its
// own. Tests that start, stop or starve a rollspan give it their namespace only
// and send to a second Jaeger, so that nothing is sent twice.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for a cluster most of the time, so more of them fit beside
	// each other than there are processors.
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if theWorld.ready {
		theWorld.stop(code != 0)
	}
	os.Exit(code)
}

// world is what all tests share.
type world struct {
	dir        string
	cluster    *controlplane.ControlPlane
	client     kubernetes.Interface
	clusterUID string
	// binary is rollspan; kubeconfig acts as its ServiceAccount.
	binary     string
	kubeconfig string
	// watching is the rollspan that watches everything, and sends to jaeger.
	watching *harness.Program
	metrics  string
	jaeger   *controlplane.Jaeger
	// apart is where the rollspans of single tests send.
	apart *controlplane.Jaeger
	// spaces counts the namespaces that tests had.
	spaces atomic.Int64

	once  sync.Once
	ready bool
}

var theWorld world

// theWorldFor starts what the tests share, the first time.
func theWorldFor(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a cluster")
	}
	theWorld.once.Do(func() {
		ctx := context.WithoutCancel(t.Context()) // it outlives the test that needs it first
		if err := theWorld.start(ctx); err != nil {
			theWorld.stop(true)
			t.Fatal(err)
		}
		theWorld.ready = true
	})
	if !theWorld.ready {
		t.Fatal("the cluster did not come up; see the first test that failed")
	}
	return &theWorld
}

func (w *world) start(ctx context.Context) (err error) {
	// One after the other: each build takes all processors.
	for _, tool := range controlplane.Tools() {
		if _, err := tool.Build(ctx, os.Stderr); err != nil {
			return err
		}
	}
	if w.dir, err = os.MkdirTemp("", "rollspan-e2e-"); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	shared := controlplane.Options{Progress: os.Stderr, BootTimeout: patience}
	wg.Go(func() {
		o := shared
		o.Nodes = []string{"node-a", "node-b"}
		// Tests wait for the loss of a node. The others' nodes must not be taken for
		// lost when the machine is busy.
		o.ControllerManagerArgs = []string{"--node-monitor-grace-period=40s"}
		w.cluster, errs[0] = controlplane.Start(ctx, o)
	})
	wg.Go(func() { w.jaeger, errs[1] = controlplane.StartJaeger(ctx, shared) })
	wg.Go(func() { w.apart, errs[2] = controlplane.StartJaeger(ctx, shared) })
	wg.Go(func() { w.binary, errs[3] = harness.Build(ctx, w.dir) })
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if w.client, err = kubernetes.NewForConfig(w.cluster.RESTConfig()); err != nil {
		return err
	}
	kubeSystem, err := w.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return err
	}
	w.clusterUID = string(kubeSystem.UID)

	root, err := harness.Checkout(ctx)
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"apply", "-f", filepath.Join(root, "config", "default", "namespace.yaml")},
		{"apply", "-k", filepath.Join(root, "config", "rbac")},
	} {
		if err := w.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	if w.kubeconfig, err = w.cluster.KubeconfigFor(ctx, "rollspan", "rollspan", reads); err != nil {
		return err
	}
	return w.watch(ctx)
}

// reads is what a rollspan ends without. One that starts before the API server has
// heard of its role would.
var reads = authorizationv1.ResourceAttributes{Verb: "list", Group: appsv1.GroupName, Resource: "deployments"}

// watch starts the rollspan that watches everything, with the arguments of
// config/manager, and waits until it says that it is ready. But for one: who is to be
// elected ends when the API server does not answer for ten seconds, and nobody would
// start it again here: that is TestLeaderElected.
func (w *world) watch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// An address that was free can be taken before rollspan listens there.
	const attempts = 5
	for attempt := 1; ; attempt++ {
		addresses, err := harness.FreeAddresses(2)
		if err != nil {
			return err
		}
		health := addresses[0]
		w.metrics = "http://" + addresses[1] + "/metrics"
		w.watching, err = harness.Start(w.binary, nil, "run",
			"--kubeconfig", w.kubeconfig, "--otlp-endpoint", w.jaeger.OTLPGRPC(),
			"--health-address", health, "--metrics-address", addresses[1],
			"--cluster-name", clusterName, "--settle", settle)
		if err != nil {
			return err
		}
		err = w.watching.WaitReady(ctx, health)
		if err == nil || attempt == attempts || !strings.Contains(w.watching.Stderr(), "address already in use") {
			return err
		}
	}
}

// settle is how long the rollspans wait for Events and for streams that lag: longer
// than by default, as the tests hold them to all that is told of a change, on a
// machine that may have other things to do.
const settle = "10s"

const clusterName = "e2e"

func (w *world) stop(failed bool) {
	if w.watching != nil {
		w.watching.Kill()
	}
	for _, j := range []*controlplane.Jaeger{w.jaeger, w.apart} {
		if j != nil {
			j.Stop()
		}
	}
	if w.cluster != nil {
		if failed {
			w.cluster.KeepDir()
			fmt.Fprintf(os.Stderr, "the cluster's logs are in %s\n", w.cluster.Dir())
		}
		w.cluster.Stop()
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}

// kubectl runs the real kubectl as the administrator.
func (w *world) kubectl(ctx context.Context, args ...string) error {
	_, err := w.kubectlSays(ctx, args...)
	return err
}

// kubectlSays is kubectl, and what it prints.
func (w *world) kubectlSays(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.cluster.Kubectl(), append([]string{
		"--kubeconfig", w.cluster.Kubeconfig(), "--cache-dir", filepath.Join(w.dir, "kubectl"),
	}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return out.String(), nil
}

// final is an error that no waiting will mend.
type final struct{ error }

// poll calls check until it returns nil or a final error, or the limit is
// reached; then it returns check's last error.
func poll(ctx context.Context, limit time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check()
		var over final
		if err == nil || errors.As(err, &over) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", limit, err)
		case <-ticker.C:
		}
	}
}

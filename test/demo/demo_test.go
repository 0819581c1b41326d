package main

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rollspan/rollspan/test/controlplane"
)

// told is what the demonstration shows, in this order. Of an image that is missing a
// kubelet says one thing when it has tried to pull it, and another until it tries
// again; which it is at the deadline depends on the machine.
var told = regexp.MustCompile(`(?s)` +
	`==> Starting rollspan.*` +
	`==> 1\..*Deployment rollout  deployment/shop  revision 1  complete  cause create.*Pod start.*` +
	`==> 2\..*Deployment rollout  deployment/shop  revision 2  failed  .*ERROR: 1 of 1 new pods: (?:ErrImagePull|ImagePullBackOff): registry\.k8s\.io/pause:nope: not found.*` +
	`==> 3\..*Deployment rollout  deployment/shop  revision 3  complete  .*Pod stop.*` +
	`==> More.*` +
	`==> Cleaning up`)

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a cluster")
	}
	build(t)
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	if err := run(t.Context(), &out, options{}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if !told.Match(out.Bytes()) {
		t.Errorf("the demonstration does not tell its story:\n%s", &out)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// TestDemoOnCurrentCluster takes a control plane for the cluster of a
// kubeconfig, and keeps at first what the demonstration made.
func TestDemoOnCurrentCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a cluster")
	}
	build(t)
	cluster := controlplane.StartForTest(t, controlplane.Options{})
	t.Setenv("KUBECONFIG", cluster.Kubeconfig())
	client := kubernetes.NewForConfigOrDie(cluster.RESTConfig())

	ctx, interrupt := context.WithTimeout(t.Context(), 15*time.Minute)
	defer interrupt()
	out := &watched{until: []byte("Ctrl-C ends it."), then: interrupt}
	if err := run(ctx, out, options{currentCluster: true, keep: true}); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !told.Match(out.Bytes()) || !bytes.Contains(out.Bytes(), []byte(`context "rollspan-test"`)) || !bytes.Contains(out.Bytes(), []byte("min ready wait")) {
		t.Errorf("the demonstration does not tell its story:\n%s", out)
	}
	ns, err := client.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) && ns.DeletionTimestamp == nil {
		t.Errorf("the namespace is left behind: %v", err)
	}
}

// TestDemoInterrupted presses Ctrl-C in the middle of a rollout.
func TestDemoInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a cluster")
	}
	build(t)
	t.Setenv("TMPDIR", t.TempDir())
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := &watched{until: []byte("==> 1."), then: interrupt}
	if err := run(ctx, out, options{}); err == nil {
		t.Errorf("an interrupted demonstration is no error:\n%s", out)
	}
	if !bytes.HasSuffix(out.Bytes(), []byte("==> Cleaning up\n")) {
		t.Errorf("it does not end with the end:\n%s", out)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// build has the tools there, with progress on the test's own output.
func build(t *testing.T) {
	t.Helper()
	for _, tool := range controlplane.Tools() {
		if _, err := tool.Build(t.Context(), os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
}

// watched is output that somebody watches, to do something when it says so.
type watched struct {
	bytes.Buffer
	until []byte
	then  func()
}

// Write appends, and does what there is to do.
func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if bytes.Contains(w.Bytes(), w.until) {
		w.then()
	}
	return n, err
}

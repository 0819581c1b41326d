package controlplane

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// StartKwok builds kwok if need be, has it play all nodes by the stages in these
// files, and adds n nodes, node-0 and on. It is for a cluster that was started with
// NoNodes, and ends with it.
//
// Package kubelet says more of a pod than kwok can, and costs more for it: each node
// has a client of its own, and each pod a goroutine that writes JSON. kwok is what
// others measure with, so figures can be compared.
func (c *ControlPlane) StartKwok(ctx context.Context, progress io.Writer, n int, stages ...string) error {
	bin, err := Kwok.Build(ctx, progress)
	if err != nil {
		return err
	}
	ctx, cancel := withBootTimeout(ctx, 0)
	defer cancel()
	started := time.Now()
	files, err := configArgs(stages)
	if err != nil {
		return err
	}
	p, _, err := server{
		name: "kwok", binary: filepath.Join(bin, "kwok"), dir: c.dir, ports: 1,
		args: func(port []int) []string {
			return append([]string{
				"--kubeconfig=" + c.kubeconfigPath(userKubelet),
				"--manage-all-nodes=true",
				// Room for the addresses of more pods than a benchmark has.
				"--cidr=10.128.0.0/9", "--node-ip=127.0.0.1",
				fmt.Sprintf("--server-address=127.0.0.1:%d", port[0]),
			}, files...)
		},
		ready: func(port []int) string { return loopback("http", port[0]) + "/healthz" },
	}.start(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.processes = append(c.processes, p)
	c.mu.Unlock()

	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	for i := range n {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name:   fmt.Sprintf("node-%d", i),
			Labels: map[string]string{corev1.LabelHostname: fmt.Sprintf("node-%d", i), corev1.LabelOSStable: "linux"},
		}}
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("controlplane: %w", err)
		}
	}
	for i := range n {
		if err := c.waitSchedulable(ctx, fmt.Sprintf("node-%d", i)); err != nil {
			return err
		}
	}
	newReporter(progress)("%d nodes of kwok ready after %s", n, time.Since(started).Round(10*time.Millisecond))
	return nil
}

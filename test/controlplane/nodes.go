package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// AddNode adds a ready node, which is large and takes every pod unless adjust
// has it otherwise.
func (c *ControlPlane) AddNode(ctx context.Context, name string, adjust ...func(*corev1.Node)) error {
	if err := c.nodes.AddNode(ctx, name, adjust...); err != nil {
		return err
	}
	return c.waitSchedulable(ctx, name)
}

// FailNode makes a node fall silent, as one does that lost its network: it renews
// its lease no more and its pods' status stays as it is. The controller manager
// notices after its --node-monitor-grace-period and evicts the pods when their
// tolerations end. Tests that wait for that shorten the tolerations; with a grace
// period that is much shorter than production's, live nodes on a busy machine are
// taken for dead ones too.
func (c *ControlPlane) FailNode(name string) { c.nodes.FailNode(name) }

// RecoverNode ends a node's silence. Its containers ran on all the time; pods
// that were to be deleted meanwhile now stop.
func (c *ControlPlane) RecoverNode(name string) { c.nodes.RecoverNode(name) }

// EvictPods has a node run short of memory for some seconds: it evicts the pods that
// it has, and is given no new ones meanwhile.
func (c *ControlPlane) EvictPods(node string) { c.nodes.EvictPods(node) }

func (c *ControlPlane) startNodes(ctx context.Context, names []string) error {
	if len(names) == 0 {
		names = []string{"node-a"}
	}
	for _, name := range names {
		if err := c.nodes.AddNode(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := c.waitSchedulable(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// waitSchedulable waits until the controller manager has seen that the node is
// ready and taken off the taint that every new node begins with.
func (c *ControlPlane) waitSchedulable(ctx context.Context, name string) error {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	err = poll(ctx, 50*time.Millisecond, func() (bool, error) {
		node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, err
		}
		return err == nil && !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key == corev1.TaintNodeNotReady
		}), nil
	})
	if err != nil {
		return fmt.Errorf("controlplane: node %s is not schedulable: %w", name, err)
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/test/controlplane"
)

// The ServiceAccounts of the two programs, by which the audit log tells them apart.
const (
	benchNamespace = "bench"
	rollspanUser   = "rollspan"
	floorUser      = "floor"
)

// auditPolicy has the requests of these two in the audit log, and no others, which would
// be most of the API server's work.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:bench:rollspan", "system:serviceaccount:bench:floor"]
- level: None
`

// A cluster is a control plane whose nodes kwok plays.
type cluster struct {
	plane      *controlplane.ControlPlane
	client     kubernetes.Interface
	metadata   metadata.Interface
	audit      string
	kubeconfig map[string]string // by user
}

func startCluster(ctx context.Context, p programs, dir string, nodes int) (_ *cluster, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	policy := filepath.Join(dir, "audit.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	c := &cluster{audit: filepath.Join(dir, "audit.log"), kubeconfig: map[string]string{}}
	// Nobody waits because of a limit on requests, so that what is measured is the most
	// that the machine can do.
	unlimited := []string{"--kube-api-qps=5000", "--kube-api-burst=10000"}
	c.plane, err = controlplane.Start(ctx, controlplane.Options{
		Dir: dir, NoNodes: true, Progress: os.Stderr,
		APIServerArgs: []string{
			"--audit-policy-file=" + policy, "--audit-log-path=" + c.audit,
			"--max-requests-inflight=0", "--max-mutating-requests-inflight=0", "--enable-priority-and-fairness=false",
		},
		// kwok's nodes are silent while the machine is busy. They must not be taken for
		// lost, or their pods are made anew.
		ControllerManagerArgs: append([]string{"--node-monitor-grace-period=2h"}, unlimited...),
		SchedulerArgs:         unlimited,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.plane.Stop()
		}
	}()
	if err := c.plane.StartKwok(ctx, os.Stderr, nodes, filepath.Join(p.checkout, "test", "bench", "cost", "stages.yaml")); err != nil {
		return nil, err
	}
	config := c.plane.RESTConfig()
	config.ContentType, config.WarningHandler = "application/vnd.kubernetes.protobuf", rest.NoWarnings{}
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, err
	}
	return c, c.addUsers(ctx, p.checkout)
}

// addUsers gives both programs the rights that rollspan's manifests give it.
func (c *cluster) addUsers(ctx context.Context, checkout string) error {
	role := filepath.Join(checkout, "config", "rbac", "role.yaml")
	apply := exec.CommandContext(ctx, c.plane.Kubectl(), "--kubeconfig", c.plane.Kubeconfig(), "--cache-dir", filepath.Join(c.plane.Dir(), "kubectl"), "apply", "-f", role)
	if out, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("apply %s: %w\n%s", role, err, out)
	}
	if err := c.addNamespace(ctx, benchNamespace); err != nil {
		return err
	}
	for _, user := range []string{rollspanUser, floorUser} {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: user}}
		if _, err := c.client.CoreV1().ServiceAccounts(benchNamespace).Create(ctx, account, metav1.CreateOptions{}); err != nil {
			return err
		}
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "bench-" + user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "rollspan"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: benchNamespace, Name: user}},
		}
		if _, err := c.client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
			return err
		}
		kubeconfig, err := c.plane.KubeconfigFor(ctx, benchNamespace, user, authorizationv1.ResourceAttributes{Verb: "list", Group: appsv1.GroupName, Resource: "deployments"})
		if err != nil {
			return err
		}
		c.kubeconfig[user] = kubeconfig
	}
	return nil
}

func (c *cluster) addNamespace(ctx context.Context, name string) error {
	_, err := c.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}

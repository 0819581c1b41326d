package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

const (
	namespace = "rollspan-demo"
	appName   = "shop"
	manager   = "rollspan-demo"

	// patience is how many seconds a rollout may take.
	patience = 300

	// deadline is that of the update that fails: time enough for a kubelet to try,
	// fail, and say so.
	deadline = 15

	// Tags of the app's image.
	good  = "3.9"
	bad   = "nope"
	fixed = "3.10"
)

// An app is what is rolled out: a program that does nothing, from an image that
// every cluster can pull.
type app struct {
	slowness    string
	annotations map[string]string
	probe       *corev1.Probe
	minReady    int32
}

func (a *app) image(tag string) string { return "registry.k8s.io/pause:" + tag }

func (d *demo) target(ctx context.Context) (*target, error) {
	if d.currentCluster {
		return d.current()
	}
	return d.local(ctx)
}

// local is a control plane of our own.
func (d *demo) local(ctx context.Context) (*target, error) {
	d.say("Starting a Kubernetes control plane and Jaeger, on this machine's 127.0.0.1 only")
	d.note("(the first time they are built from source, which takes about ten minutes)")
	cluster, err := controlplane.Start(ctx, controlplane.Options{Nodes: []string{"node-a", "node-b"}, Progress: buildsOnly{d.out}})
	if err != nil {
		return nil, err
	}
	d.later(func(context.Context) error { cluster.Stop(); return nil })
	client, err := kubernetes.NewForConfig(cluster.RESTConfig())
	if err != nil {
		return nil, err
	}
	d.note("etcd, kube-apiserver, kube-controller-manager and kube-scheduler are real; only the kubelets are played")

	d.say("Granting rollspan what its manifests grant it, and no more")
	root, err := harness.Checkout(ctx)
	if err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"apply", "-f", "config/default/namespace.yaml"},
		{"apply", "-k", "config/rbac"},
	} {
		d.note("kubectl %s %s %s", args[0], args[1], args[2])
		cmd := exec.CommandContext(ctx, cluster.Kubectl(), append(args, "--kubeconfig", cluster.Kubeconfig(), "--cache-dir", filepath.Join(cluster.Dir(), "kubectl"))...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("kubectl %s: %w\n%s", args[0], err, bytes.TrimSpace(out))
		}
	}
	kubeconfig, err := cluster.KubeconfigFor(ctx, "rollspan", "rollspan", authorizationv1.ResourceAttributes{Verb: "watch", Resource: "pods"})
	if err != nil {
		return nil, err
	}
	return &target{
		client: client,
		args:   []string{"--kubeconfig", kubeconfig},
		app: app{
			slowness:    "Its image takes 3 s to pull, and it takes 2 s more to be ready",
			annotations: map[string]string{"kubelet.test/pull": "3s", "kubelet.test/boot": "2s", "kubelet.test/stop": "500ms"},
			probe: &corev1.Probe{
				ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}},
				PeriodSeconds: 1,
			},
		},
		hints: []string{"The cluster:  " + cluster.Kubectl() + " --kubeconfig " + cluster.Kubeconfig() + " -n " + namespace + " get pods"},
	}, nil
}

// current is the cluster that kubectl would use.
func (d *demo) current() (*target, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: d.context})
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, err
	}
	name := d.context
	if name == "" {
		name = raw.CurrentContext
	}
	if raw.Contexts[name] == nil {
		return nil, fmt.Errorf("the kubeconfig has no context %q", name)
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	d.say("Using the cluster of context %q, %s", name, config.Host)
	d.note("rollspan runs here, with your own permissions. In the cluster, only the namespace %s is used.", namespace)
	d.note("Starting Jaeger on 127.0.0.1 (the first time it is built from source, which takes about four minutes)")
	return &target{
		client: client,
		args:   []string{"--context", name, "--namespace", namespace},
		app: app{
			slowness: "minReadySeconds has each pod wait for 5 s before it counts",
			minReady: 5,
		},
	}, nil
}

// createNamespace makes the demonstration's namespace, to be removed at the
// end. One that is there already is somebody's.
func (d *demo) createNamespace(ctx context.Context) error {
	namespaces := d.client.CoreV1().Namespaces()
	created, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{FieldManager: manager})
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("the cluster has a namespace %s already; if it is left from an earlier demonstration: kubectl delete namespace %[1]s", namespace)
	} else if err != nil {
		return err
	}
	if !d.currentCluster {
		return nil // the cluster goes as a whole
	}
	d.later(func(ctx context.Context) error {
		d.note("kubectl delete namespace %s", namespace)
		err := namespaces.Delete(ctx, namespace, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &created.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("the namespace %s is left behind: %w", namespace, err)
		}
		return nil
	})
	return nil
}

func (d *demo) create(ctx context.Context) error {
	replicas, labels := int32(2), map[string]string{"app": appName}
	grace := int64(2)
	_, err := d.client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: appName},
		Spec: appsv1.DeploymentSpec{
			Replicas:        &replicas,
			MinReadySeconds: d.app.minReady,
			Selector:        &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: d.app.annotations},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: &grace,
					SecurityContext:               unprivileged(),
					Containers: []corev1.Container{{
						Name: appName, Image: d.app.image(good), ReadinessProbe: d.app.probe,
						SecurityContext: &corev1.SecurityContext{
							AllowPrivilegeEscalation: new(bool),
							Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
						},
					}},
				},
			},
		},
	}, metav1.CreateOptions{FieldManager: manager})
	return err
}

// unprivileged is what clusters ask for that enforce the restricted Pod
// Security Standard.
func unprivileged() *corev1.PodSecurityContext {
	yes, nobody := true, int64(65535)
	return &corev1.PodSecurityContext{
		RunAsNonRoot: &yes, RunAsUser: &nobody,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

func (d *demo) update(ctx context.Context, tag string, deadline int32) error {
	deployments := d.client.AppsV1().Deployments(namespace)
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		deployment, err := deployments.Get(ctx, appName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(deployment.Spec.Template.Spec.Containers) != 1 {
			return errors.New("somebody else changed the Deployment")
		}
		deployment.Spec.ProgressDeadlineSeconds = &deadline
		deployment.Spec.Template.Spec.Containers[0].Image = d.app.image(tag)
		_, err = deployments.Update(ctx, deployment, metav1.UpdateOptions{FieldManager: manager})
		return err
	})
}

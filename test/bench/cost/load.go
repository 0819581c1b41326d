package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

const (
	podsPerDeployment = 100
	// loadPrefix and restPrefix begin the namespaces of the Deployments of the load, and
	// of those that are rolled out one by one, with nothing else going on.
	loadPrefix, restPrefix = "load-", "rest-"
	deploymentsPerSpace    = 10
	// atRest is how many rollouts of one pod there are at rest, one every restPause.
	atRest    = 25
	restPause = 500 * time.Millisecond
)

// A census counts the pods that there ever were, as the API server has them, and how late
// Events are.
type census struct {
	mu            sync.Mutex
	created, gone map[types.UID]bool
	// late is how many seconds after they happened Events of the load came. rollspan waits
	// for longer while they come later.
	late []float64
}

// take begins to count. It ends with ctx.
func (c *cluster) take(ctx context.Context) (*census, error) {
	n := &census{created: map[types.UID]bool{}, gone: map[types.UID]bool{}}
	factory := metadatainformer.NewSharedInformerFactory(c.metadata, 0)
	pods := factory.ForResource(corev1.SchemeGroupVersion.WithResource("pods")).Informer()
	note := func(object any, gone bool) {
		if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = unknown.Obj
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		uid := object.(metav1.Object).GetUID()
		n.created[uid] = true
		if gone {
			n.gone[uid] = true
		}
	}
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { note(object, false) },
		DeleteFunc: func(object any) { note(object, true) },
	})
	if err != nil {
		return nil, err
	}
	events := factory.ForResource(corev1.SchemeGroupVersion.WithResource("events")).Informer()
	_, err = events.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { n.noteEvent(object.(metav1.Object), time.Now()) },
	})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced, events.HasSynced) {
		return nil, context.Cause(ctx)
	}
	return n, nil
}

// noteEvent takes down how late an Event is. client-go's recorders put the time into its
// name.
func (n *census) noteEvent(event metav1.Object, now time.Time) {
	name := event.GetName()
	nanoseconds, err := strconv.ParseInt(name[strings.LastIndexByte(name, '.')+1:], 16, 64)
	if err != nil || !strings.HasPrefix(event.GetNamespace(), loadPrefix) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.late = append(n.late, now.Sub(time.Unix(0, nanoseconds)).Seconds())
}

// lateness is how late Events came.
func (n *census) lateness() Lag {
	n.mu.Lock()
	defer n.mu.Unlock()
	return newLag(slices.Sorted(slices.Values(n.late)))
}

// count is how many pods there were, and how many are gone.
func (n *census) count() (created, gone int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.created), len(n.gone)
}

// missing are how many pods are not among those that were told to start, and to stop.
func (n *census) missing(t *told) (starts, stops int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for uid := range n.created {
		if !t.starts[string(uid)] {
			starts++
		}
	}
	for uid := range n.gone {
		if !t.stops[string(uid)] {
			stops++
		}
	}
	return starts, stops
}

// deployment is one as people write them: what a pod has in its spec is what both
// programs have to decode.
func deployment(name string, pods int32) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop", "team": "checkout"}
	deadline, grace, quarter := int32(7200), int64(5), intstr.FromString("25%")
	container := corev1.Container{
		Name: "web", Image: "registry.example.com/shop/web:1",
		Args:  []string{"--listen=:8080", "--log-format=json"},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		Env: []corev1.EnvVar{
			{Name: "LOG_LEVEL", Value: "info"}, {Name: "REGION", Value: "eu-1"},
			{Name: "DATABASE_HOST", Value: "db.shop.svc.cluster.local"}, {Name: "CACHE_HOST", Value: "cache.shop.svc.cluster.local"},
			{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
		},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}}},
	}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &pods, Selector: &metav1.LabelSelector{MatchLabels: labels}, ProgressDeadlineSeconds: &deadline,
			Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &quarter, MaxUnavailable: &quarter}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{container}, TerminationGracePeriodSeconds: &grace},
			},
		},
	}
}

func (c *cluster) create(ctx context.Context, namespace, name string, pods int32) error {
	_, err := c.client.AppsV1().Deployments(namespace).Create(ctx, deployment(name, pods), metav1.CreateOptions{FieldManager: "bench"})
	return err
}

// A load is so many Deployments.
type load struct {
	*cluster
	n          int
	generation string // of their names
}

func (l load) namespace(i int) string {
	return fmt.Sprintf("%s%s%d", loadPrefix, l.generation, i/deploymentsPerSpace)
}

func (l load) name(i int) string { return fmt.Sprintf("web-%d", i) }

// each does something with all of them at once.
func (l load) each(do func(namespace, name string) error) error {
	errs := make([]error, l.n)
	var wg sync.WaitGroup
	for i := range l.n {
		wg.Go(func() { errs[i] = do(l.namespace(i), l.name(i)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// create makes them, and waits until all their pods are available.
func (l load) create(ctx context.Context) error {
	for i := 0; i < l.n; i += deploymentsPerSpace {
		if err := l.addNamespace(ctx, l.namespace(i)); err != nil {
			return err
		}
	}
	if err := l.each(func(namespace, name string) error { return l.cluster.create(ctx, namespace, name, podsPerDeployment) }); err != nil {
		return err
	}
	return l.rolledOut(ctx, 1)
}

// roll gives them another image, and waits until all is updated.
func (l load) roll(ctx context.Context) error {
	patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"registry.example.com/shop/web:2"}]}}}}`)
	err := l.each(func(namespace, name string) error {
		_, err := l.client.AppsV1().Deployments(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "bench"})
		return err
	})
	if err != nil {
		return err
	}
	return l.rolledOut(ctx, 2)
}

// delete deletes them, and waits until their pods are gone.
func (l load) delete(ctx context.Context, n *census) error {
	background := metav1.DeletePropagationBackground
	err := l.each(func(namespace, name string) error {
		return l.client.AppsV1().Deployments(namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background})
	})
	if err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		created, gone := n.count()
		return created == gone, nil
	})
}

// rolledOut waits until kubectl rollout status would call all of them that.
func (l load) rolledOut(ctx context.Context, generation int64) error {
	return poll(ctx, func() (bool, error) {
		list, err := l.client.AppsV1().Deployments("").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return false, err
		}
		done := 0
		for i := range list.Items {
			if d := &list.Items[i]; d.Generation >= generation && isRolledOut(d) && strings.HasPrefix(d.Namespace, loadPrefix+l.generation) {
				done++
			}
		}
		return done == l.n, nil
	})
}

func isRolledOut(d *appsv1.Deployment) bool {
	st := d.Status
	return st.ObservedGeneration >= d.Generation && st.UpdatedReplicas == *d.Spec.Replicas &&
		st.Replicas == st.UpdatedReplicas && st.AvailableReplicas == st.UpdatedReplicas
}

// rest rolls Deployments of one pod out, one by one, and deletes them again.
func (c *cluster) rest(ctx context.Context, n *census) error {
	namespace := restPrefix + "0"
	if err := c.addNamespace(ctx, namespace); err != nil {
		return err
	}
	for i := range atRest {
		if err := c.create(ctx, namespace, fmt.Sprintf("web-%d", i), 1); err != nil {
			return err
		}
		select {
		case <-time.After(restPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := poll(ctx, func() (bool, error) {
		list, err := c.client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for i := range list.Items {
			if !isRolledOut(&list.Items[i]) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	if err := c.client.AppsV1().Deployments(namespace).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{}); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		created, gone := n.count()
		return created >= atRest && created == gone, nil
	})
}

func poll(ctx context.Context, done func() (bool, error)) error {
	err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(context.Context) (bool, error) { return done() })
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// load are Deployments of which each rolls out, is scaled, and has a Job beside it, one after
// the other, again and again.
type load struct {
	t       testing.TB
	client  kubernetes.Interface
	n       int
	pods    int32 // of each
	atOnce  int   // how many of them change at a time
	pause   time.Duration
	changes atomic.Int64
}

const spaces = 4

func (l *load) namespace(i int) string { return fmt.Sprintf("soak-%d", i%spaces) }

func name(i int) string { return fmt.Sprintf("web-%d", i) }

func (l *load) spec(i int, revision int) corev1.PodSpec {
	grace := int64(1)
	return corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		Containers:                    []corev1.Container{{Name: "web", Image: fmt.Sprintf("registry.test/web:%d.%d", i, revision)}},
	}
}

// create makes all of them, and waits until they are rolled out.
func (l *load) create(ctx context.Context) error {
	for i := range spaces {
		_, err := l.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace(i)}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
	}
	quarter := intstr.FromString("25%")
	for i := range l.n {
		labels := map[string]string{"app": name(i)}
		replicas := l.pods
		d := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: name(i), Namespace: l.namespace(i)},
			Spec: appsv1.DeploymentSpec{
				Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
				Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &quarter, MaxUnavailable: &quarter}},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: l.spec(i, 1)},
			},
		}
		if i%4 == 3 {
			d.Spec.Template.Annotations = map[string]string{"soak.test/crash": "once"}
		}
		if _, err := l.client.AppsV1().Deployments(d.Namespace).Create(ctx, d, metav1.CreateOptions{FieldManager: "soak"}); err != nil {
			return err
		}
	}
	for i := range l.n {
		if err := l.rest(ctx, i); err != nil {
			return err
		}
	}
	return l.quiet(ctx)
}

// quiet waits until no Events are written any more: those that were there are told by nobody, and not
// all begin to watch at once.
func (l *load) quiet(ctx context.Context) error {
	last, since := "", time.Now()
	return wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		all := ""
		for i := range spaces {
			events, err := l.client.CoreV1().Events(l.namespace(i)).List(ctx, metav1.ListOptions{Limit: 1})
			if err != nil {
				return false, err
			}
			all += fmt.Sprintf("%d,", len(events.Items)+int(ptr.Deref(events.RemainingItemCount, 0)))
		}
		if all != last {
			last, since = all, time.Now()
		}
		return time.Since(since) > 5*time.Second, nil
	})
}

// rest waits until a Deployment is as it is to be.
func (l *load) rest(ctx context.Context, i int) error {
	return wait.PollUntilContextCancel(ctx, 300*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		d, err := l.client.AppsV1().Deployments(l.namespace(i)).Get(ctx, name(i), metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		st := d.Status
		return st.ObservedGeneration >= d.Generation && st.UpdatedReplicas == *d.Spec.Replicas && st.Replicas == st.UpdatedReplicas && st.AvailableReplicas == st.Replicas, nil
	})
}

// run changes all of them until stop is closed, and then waits until they are at rest.
func (l *load) run(ctx context.Context, stop <-chan struct{}, seed uint64) error {
	errs := make(chan error, l.n)
	turns := make(chan struct{}, l.atOnce)
	var running sync.WaitGroup
	for i := range l.n {
		running.Go(func() { errs <- l.change(ctx, i, turns, stop, rand.New(rand.NewPCG(seed, uint64(i)))) }) //nolint:gosec // Nothing secret.
	}
	running.Wait()
	for range l.n {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func (l *load) change(ctx context.Context, i int, turns chan struct{}, stop <-chan struct{}, random *rand.Rand) error {
	for revision := 2; ; revision++ {
		for step := range 3 {
			// Two changes are told apart by more than the second that the API states.
			pause := time.After(2*time.Second + time.Duration(random.Int64N(int64(l.pause))))
			select {
			case <-stop:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-pause:
			}
			select {
			case <-stop:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			case turns <- struct{}{}:
			}
			err := l.step(ctx, i, revision, step)
			l.changes.Add(1)
			if err == nil {
				err = l.rest(ctx, i)
			}
			<-turns
			if err != nil {
				return err
			}
		}
	}
}

func (l *load) step(ctx context.Context, i, revision, step int) error {
	patch := func(what string) error {
		_, err := l.client.AppsV1().Deployments(l.namespace(i)).Patch(ctx, name(i), types.StrategicMergePatchType, []byte(what), metav1.PatchOptions{FieldManager: "soak"})
		return err
	}
	switch step {
	case 0:
		return patch(fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":%q}]}}}}`, l.spec(i, revision).Containers[0].Image))
	case 1:
		return patch(fmt.Sprintf(`{"spec":{"replicas":%d}}`, l.pods+int32(revision%2))) //nolint:gosec // It is small.
	}
	if i%2 == 1 {
		return nil
	}
	job := fmt.Sprintf("job-%d-%d", i, revision)
	spec := l.spec(i, revision)
	spec.RestartPolicy = corev1.RestartPolicyNever
	jobs := l.client.BatchV1().Jobs(l.namespace(i))
	_, err := jobs.Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: job},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: spec}}}, metav1.CreateOptions{FieldManager: "soak"})
	if err != nil {
		return err
	}
	return wait.PollUntilContextCancel(ctx, 300*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		j, err := jobs.Get(ctx, job, metav1.GetOptions{})
		return err == nil && j.Status.CompletionTime != nil, err
	})
}

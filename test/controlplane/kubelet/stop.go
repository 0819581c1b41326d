package kubelet

import (
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shortestStop is what a kubelet gives each container, whatever is left of the
// grace period.
const shortestStop = 2 * time.Second

// evict does what a kubelet does to a pod when its node is short of memory. The
// pod stays, as one that has failed.
func (w *worker) evict() {
	const message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 61440Ki. "
	w.event("", corev1.EventTypeWarning, "Evicted", message)
	w.end(time.Second)
	w.update(func() { w.evicted = message })
	w.report()
}

// stop does what a deletion asks for, and tells the API server when it is done.
func (w *worker) stop() {
	w.mu.Lock()
	grace := 30 * time.Second
	if s := w.pod.DeletionGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	w.mu.Unlock()
	w.end(grace)
	w.report()
	now := int64(0)
	insist(w.ctx, fmt.Sprintf("delete %s/%s", w.namespace, w.name), func() error {
		return w.node.client.CoreV1().Pods(w.namespace).Delete(w.ctx, w.name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &w.uid},
		})
	})
}

// end tells all containers at once to stop, and returns when they have. A
// sidecar's turn comes when the main containers and the sidecars after it are
// gone.
func (w *worker) end(grace time.Duration) {
	var all, mains sync.WaitGroup
	atOnce, mainsGone := make(chan struct{}), make(chan struct{})
	close(atOnce)
	for _, c := range w.running(w.main) {
		mains.Go(func() { w.endContainer(c, grace, atOnce) })
	}
	all.Go(func() { mains.Wait(); close(mainsGone) })
	turn := mainsGone
	for _, c := range slices.Backward(w.running(w.init)) {
		after, gone := turn, make(chan struct{})
		all.Go(func() { defer close(gone); w.endContainer(c, grace, after) })
		turn = gone
	}
	all.Wait()
	w.update(func() {
		w.ending, w.sandbox = true, false
		for _, c := range slices.Concat(w.main, w.init) {
			switch last := c.status.LastTerminationState; {
			case c.status.State.Waiting == nil:
			case last.Terminated != nil:
				c.status.State, c.status.LastTerminationState = last, corev1.ContainerState{}
			default:
				c.status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					ExitCode: 137, Reason: "ContainerStatusUnknown",
					Message: "The container could not be located when the pod was terminated",
				}}
			}
		}
	})
}

// endContainer runs the preStop hook, waits for the container's turn, and stops
// it; the grace period is for all of that.
func (w *worker) endContainer(c *container, grace time.Duration, turn <-chan struct{}) {
	w.killing(c)
	asked := time.Now()
	left := func() time.Duration { return max(0, grace-time.Since(asked)) }
	if c.spec.Lifecycle != nil && c.spec.Lifecycle.PreStop != nil {
		hook := w.settings.duration(keyPreStop, c.spec.Name, 0)
		if sleep(w.ctx, min(hook, left())) != nil {
			return
		}
	}
	select {
	case <-turn:
	case <-time.After(left()):
	case <-w.ctx.Done():
		return
	}
	takes, patience := w.settings.duration(keyStop, c.spec.Name, 50*time.Millisecond), max(left(), shortestStop)
	if sleep(w.ctx, min(takes, patience)) != nil {
		return
	}
	e := exit{code: 137, reason: "Error"}
	if takes <= patience {
		e = w.exit(c, keyStopCode)
	}
	w.update(func() { c.terminate(e.code, e.reason) })
}

// removed follows a pod that is no longer there. If it was deleted by force, its
// containers are stopped now, and nobody can be told how that ends. That it is
// being stopped already is no sign that the containers were told: both may be
// seen before the pod's life goes on.
func (w *worker) removed() {
	for _, c := range w.running(slices.Concat(w.main, w.init)) {
		w.killing(c)
	}
	w.cancel()
}

// killing records that a container is being stopped, once for each of its runs.
func (w *worker) killing(c *container) {
	w.mu.Lock()
	told := c.killed == c.runs
	c.killed = c.runs
	w.mu.Unlock()
	if told {
		return
	}
	w.event(c.fieldPath, corev1.EventTypeNormal, "Killing", "Stopping container %s", c.spec.Name)
}

func (w *worker) running(of []*container) []*container {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(of), func(c *container) bool { return c.status.State.Running == nil })
}

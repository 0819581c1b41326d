package kubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A worker plays the life of one pod.
type worker struct {
	node            *node
	namespace, name string
	uid             types.UID
	settings        settings
	refused         error // why the pod cannot run here at all

	ctx     context.Context // ends when the pod or its node is gone
	cancel  context.CancelFunc
	deleted context.Context // ends already when the pod is to be deleted
	delete  context.CancelFunc
	life    context.Context // ends already when the containers are to stop
	die     context.CancelFunc
	told    chan struct{} // closed when it is told how the containers ended

	reporting sync.Mutex
	reported  []byte // the last status written
	recorded  bool   // Events that may not be written yet; guarded by mu

	mu          sync.Mutex
	pod         *corev1.Pod // as last seen
	started     metav1.Time
	sandbox     bool // sandbox and network are there
	ip          string
	initialized bool
	ending      bool            // nothing will be started any more
	evicted     string          // why, if it was
	phase       corev1.PodPhase // as last written
	transitions map[corev1.PodConditionType]podCondition
	init, main  []*container
}

// A container is one container of a pod; its worker's mu guards the status.
type container struct {
	spec      *corev1.Container
	fieldPath string
	initial   bool // an init container
	sidecar   bool // one that keeps running
	status    corev1.ContainerStatus
	runs      int
	killed    int // the last of its runs that was told to stop
}

func newWorker(n *node, pod *corev1.Pod) *worker {
	w := &worker{
		node: n, namespace: pod.Namespace, name: pod.Name, uid: pod.UID,
		pod: pod, started: metav1.Now(), phase: corev1.PodPending,
		transitions: map[corev1.PodConditionType]podCondition{}, told: make(chan struct{}),
	}
	w.ctx, w.cancel = context.WithCancel(n.ctx)
	w.deleted, w.delete = context.WithCancel(w.ctx)
	w.life, w.die = context.WithCancel(w.deleted)
	if pod.DeletionTimestamp != nil {
		w.delete()
	}
	w.settings, w.refused = parseSettings(pod.Annotations)

	waiting := "ContainerCreating"
	if len(pod.Spec.InitContainers) > 0 {
		waiting = "PodInitializing"
	}
	add := func(spec *corev1.Container, list, path string) *container {
		no := false
		return &container{
			spec: spec, fieldPath: fmt.Sprintf("spec.%s{%s}", path, spec.Name), initial: list == "init",
			status: corev1.ContainerStatus{
				Name: spec.Name, Image: spec.Image, Started: &no,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: waiting}},
			},
		}
	}
	for i := range pod.Spec.InitContainers {
		spec := &pod.Spec.InitContainers[i]
		c := add(spec, "init", "initContainers")
		c.sidecar = spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
		w.init = append(w.init, c)
	}
	for i := range pod.Spec.Containers {
		w.main = append(w.main, add(&pod.Spec.Containers[i], "main", "containers"))
	}
	return w
}

// observe takes in a newer version of the pod.
func (w *worker) observe(pod *corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pod = pod
	if pod.DeletionTimestamp != nil {
		w.delete()
	}
	// Readiness gates are met by others.
	if len(pod.Spec.ReadinessGates) > 0 && w.life.Err() == nil {
		go w.report()
	}
}

// run is the pod's life, from its arrival on the node to its end.
func (w *worker) run() {
	defer w.cancel()
	if w.refused != nil {
		w.event("", corev1.EventTypeWarning, "UnexpectedAdmissionError", "%s", w.refused)
		w.report()
	} else {
		w.live(w.life)
		if w.life.Err() != nil && w.deleted.Err() == nil {
			w.evict()
		}
	}
	close(w.told)
	// What is left of a pod that is over is there until somebody deletes it.
	<-w.deleted.Done()
	if w.ctx.Err() == nil {
		w.stop()
	}
}

// live plays the pod for as long as it is to live: a deletion ends that, or the
// node.
func (w *worker) live(ctx context.Context) {
	w.report()
	if sleep(ctx, w.settings.duration(keySandbox, "", 50*time.Millisecond)) != nil {
		return
	}
	w.update(func() { w.sandbox, w.ip = true, w.node.podIP() })
	w.report()

	var running sync.WaitGroup
	defer running.Wait()
	for _, c := range w.init {
		if err := w.bringUp(ctx, c, w.start(ctx, c)); err != nil {
			return
		}
		if c.sidecar {
			running.Go(func() { w.keep(ctx, c) })
		} else if !w.keep(ctx, c) {
			w.finish()
			return
		}
	}

	// One sync starts all containers, one after the other, and the status is
	// written after it: a kubelet does not report the first as running while
	// the second's image is being pulled.
	problems := make([]*problem, len(w.main))
	for i, c := range w.main {
		problems[i] = w.start(ctx, c)
	}
	if ctx.Err() != nil {
		return
	}
	w.report()
	var mains sync.WaitGroup
	for i, c := range w.main {
		mains.Go(func() {
			if w.bringUp(ctx, c, problems[i]) == nil {
				w.keep(ctx, c)
			}
		})
	}
	mains.Wait()
	if ctx.Err() == nil {
		w.finish()
	}
}

// finish follows the end of a pod by itself: sidecars go, then the sandbox.
func (w *worker) finish() {
	for _, c := range w.init {
		if c.sidecar {
			w.update(func() { c.terminate(0, "Completed") })
		}
	}
	w.update(func() { w.sandbox = false })
	w.report()
}

func (w *worker) update(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// event records an Event about a container of the pod, or about the pod itself
// where fieldPath is empty.
func (w *worker) event(fieldPath, eventType, reason, format string, args ...any) {
	w.mu.Lock()
	w.recorded = true
	ref := &corev1.ObjectReference{
		Kind: "Pod", APIVersion: "v1", Namespace: w.namespace, Name: w.name, UID: w.uid,
		ResourceVersion: w.pod.ResourceVersion, FieldPath: fieldPath,
	}
	w.mu.Unlock()
	w.node.recorder.Eventf(ref, eventType, reason, format, args...)
}

// over says that a container has ended and will not be started again.
func (w *worker) over(c *container) bool {
	terminated := c.status.State.Terminated
	return terminated != nil && (w.ending || !w.restarts(c, terminated.ExitCode))
}

// restarts says whether a container that exits so is started again.
func (w *worker) restarts(c *container, code int32) bool {
	policy := w.pod.Spec.RestartPolicy
	switch {
	case c.sidecar:
		return true
	case c.initial:
		return code != 0 && policy != corev1.RestartPolicyNever
	case policy == corev1.RestartPolicyAlways:
		return true
	default:
		return code != 0 && policy == corev1.RestartPolicyOnFailure
	}
}

func (c *container) neverStarted() bool {
	return c.status.State.Waiting != nil && c.status.LastTerminationState.Terminated == nil
}

// terminate ends a run of the container. The caller holds the worker's mu.
func (c *container) terminate(code int32, reason string) {
	running := c.status.State.Running
	if running == nil {
		return
	}
	no := false
	c.status.Ready, c.status.Started = false, &no
	c.status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason,
		StartedAt: running.StartedAt, FinishedAt: metav1.Now(), ContainerID: c.status.ContainerID,
	}}
}

// wait puts the container into a waiting state, and keeps how its last run
// ended. The caller holds the worker's mu.
func (c *container) wait(reason, message string) {
	if c.status.State.Terminated != nil {
		c.status.LastTerminationState = c.status.State
	}
	c.status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// Package kubelet plays the kubelets of a cluster that has no containers: it
// reports what real ones report while nothing runs.
//
// kwok, the usual stand-in, was tried first. Its stages move a pod's status
// well, but its Events have a fixed text and name only the pod, and a stage
// remembers nothing between steps; so it cannot say which container an Event is
// about (the fieldPath), how long a pull took, or how often a container has
// failed, and those are what rollspan reads. Here a pod's life is therefore a
// plain sequential program, and its Events go through client-go's own recorder,
// as the kubelet's do: their names, their counts and what its spam filter drops
// are the real thing. Conditions, waiting reasons and texts follow what a
// kubelet 1.36 with containerd was seen to write.
//
// What becomes of a pod is chosen by annotations on it, in a workload on its pod
// template. Durations are as Go writes them, "1.5s". With a container's name
// added, as in kubelet.test/pull.web, an annotation is for that container only.
//
//	kubelet.test/sandbox     how long the sandbox takes (default 50ms)
//	kubelet.test/pull        how long an image's pull takes (50ms); later starts
//	                         on the node find it there, as the pull policy says
//	kubelet.test/init        how long init containers run (50ms)
//	kubelet.test/boot        how long after its start the app passes its startup
//	                         or else its readiness probe (0s); the probe must be
//	                         in the spec, and its delay and period are kept, so
//	                         that they say how many probes fail
//	kubelet.test/hang        when after its start the app begins to fail its
//	                         liveness probe, which must be in the spec (never)
//	kubelet.test/run         how long containers run before they exit (for ever;
//	                         1s where restartPolicy is not Always)
//	kubelet.test/exit-code   with which code containers exit (0); for an init
//	                         container, name it
//	kubelet.test/exit-reason the reason beside the code, such as OOMKilled
//	                         (Completed or Error)
//	kubelet.test/failures    how many runs exit with that code, of all the pods
//	                         of one owner, before one ends well (all)
//	kubelet.test/pre-stop    how long the preStop hook takes, which must be in
//	                         the spec (0s)
//	kubelet.test/stop        how long containers take to stop when asked (50ms);
//	                         past the grace period they are killed, code 137
//	kubelet.test/stop-code   with which code containers exit that are asked to
//	                         stop (0)
//	kubelet.test/back-off    the first back-off delay, doubled each time (10s)
//
// An image whose tag is "missing" or "nope" cannot be pulled, which the registry
// says at once. A container that refers to a ConfigMap or Secret which does not
// exist cannot be created until it does.
//
// A pod's Events are written before the status that follows them. One that was
// deleted by force leaves nothing but the Events about the containers that are
// stopped all the same. Nodes run short of memory with EvictPods, and are cut off
// and come back with FailNode and RecoverNode; all else about nodes, such as cordons
// and taints, does what it does in the real control plane.
package kubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// A Kubelet plays the kubelets of the nodes it was given.
type Kubelet struct {
	config  *rest.Config
	version string // what the nodes say theirs is: the API server's
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	failed  failures

	pods, nodeObjects cache.SharedIndexInformer

	mu      sync.Mutex
	nodes   map[string]*node
	workers map[types.UID]*worker
}

// Start watches the pods of the cluster, and plays those on the nodes that
// AddNode adds, until Stop.
func Start(config *rest.Config) (*Kubelet, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	k := &Kubelet{
		config: config, version: version.GitVersion, ctx: ctx, cancel: cancel, failed: failures{counts: map[string]int{}},
		nodes: map[string]*node{}, workers: map[types.UID]*worker{},
	}
	k.pods = informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = "spec.nodeName!=" }),
	).Core().V1().Pods().Informer()
	_, err = k.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { k.observe(obj.(*corev1.Pod)) },
		UpdateFunc: func(_, obj any) { k.observe(obj.(*corev1.Pod)) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			k.forget(obj.(*corev1.Pod))
		},
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	k.nodeObjects = informers.NewSharedInformerFactory(client, 0).Core().V1().Nodes().Informer()
	_, err = k.nodeObjects.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(old, now any) { k.observeNode(old.(*corev1.Node), now.(*corev1.Node)) },
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	k.wg.Go(func() { k.pods.RunWithContext(ctx) })
	k.wg.Go(func() { k.nodeObjects.RunWithContext(ctx) })
	return k, nil
}

// Stop ends all pods' lives where they are and returns when nothing of the
// Kubelet runs any more.
func (k *Kubelet) Stop() {
	k.cancel()
	k.wg.Wait()
}

// AddNode registers a node and keeps its lease renewed. The node is ready, and
// large; adjust can make another one of it before it is registered.
func (k *Kubelet) AddNode(ctx context.Context, name string, adjust ...func(*corev1.Node)) error {
	n, err := newNode(k.ctx, k.config, name, &k.failed)
	if err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	k.mu.Lock()
	if _, ok := k.nodes[name]; ok {
		k.mu.Unlock()
		return fmt.Errorf("kubelet: node %s is there already", name)
	}
	n.index = len(k.nodes)
	k.nodes[name] = n
	k.mu.Unlock()

	// The lease first: a node without one may be taken for a dead one.
	if err := n.renewLease(ctx); err != nil {
		return fmt.Errorf("kubelet: lease of node %s: %w", name, err)
	}
	object := newObject(name, k.version)
	for _, a := range adjust {
		a(object)
	}
	if _, err := n.client.CoreV1().Nodes().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("kubelet: register node: %w", err)
	}
	k.wg.Go(n.heartbeat)
	return nil
}

// FailNode cuts a node off: nobody hears of it any more, nor it of anybody. Its
// containers run on.
func (k *Kubelet) FailNode(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, ok := k.nodes[name]; ok {
		n.cable.unplug()
	}
}

// RecoverNode gives a node that was cut off its network back. It says that it
// is ready, and makes up for what it has missed.
func (k *Kubelet) RecoverNode(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.nodes[name]
	if !ok || !n.cable.unplugged() {
		return
	}
	n.cable.plug()
	if obj, ok, err := k.nodeObjects.GetStore().GetByKey(name); ok && err == nil {
		k.claimReady(n, obj.(*corev1.Node))
	}
	there := map[types.UID]bool{}
	for _, obj := range k.pods.GetStore().List() {
		if pod := obj.(*corev1.Pod); pod.Spec.NodeName == name {
			there[pod.UID] = true
			k.play(n, pod)
		}
	}
	for uid, w := range k.workers {
		if w.node == n && !there[uid] {
			w.removed()
			delete(k.workers, uid)
		}
	}
}

// EvictPods has a node run short of memory for a while, for which it evicts the pods
// that it has.
func (k *Kubelet) EvictPods(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.nodes[name]
	if !ok {
		return
	}
	k.wg.Go(func() {
		n.runShort(func() {
			var evicted []*worker
			k.mu.Lock()
			for _, w := range k.workers {
				if w.node == n {
					w.die()
					evicted = append(evicted, w)
				}
			}
			k.mu.Unlock()
			for _, w := range evicted {
				<-w.told
			}
		})
	})
}

func (k *Kubelet) observe(pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, ok := k.nodes[pod.Spec.NodeName]; ok && !n.cable.unplugged() {
		k.play(n, pod)
	}
}

// play starts the life of a pod that is new, and tells the others' what
// changed.
func (k *Kubelet) play(n *node, pod *corev1.Pod) {
	if w, ok := k.workers[pod.UID]; ok {
		w.observe(pod)
		return
	}
	w := newWorker(n, pod)
	k.workers[pod.UID] = w
	k.wg.Go(w.run)
}

func (k *Kubelet) forget(pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w, ok := k.workers[pod.UID]; ok && !w.node.cable.unplugged() {
		w.removed()
		delete(k.workers, pod.UID)
	}
}

// observeNode does what a kubelet does about its node: nothing stops when it is
// cordoned, and it is not dead while it can say so.
func (k *Kubelet) observeNode(old, now *corev1.Node) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.nodes[now.Name]
	if !ok || n.cable.unplugged() {
		return
	}
	k.claimReady(n, now)
	switch {
	case old.Spec.Unschedulable == now.Spec.Unschedulable:
	case now.Spec.Unschedulable:
		n.event("NodeNotSchedulable")
	default:
		n.event("NodeSchedulable")
	}
}

// claimReady follows the controller manager's verdict that a node's state is
// unknown, which it leaves to the kubelet to deny.
func (k *Kubelet) claimReady(n *node, object *corev1.Node) {
	for _, c := range object.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown {
			k.wg.Go(n.back)
		}
	}
}

// retryPeriod is how long after a write that failed it is made again.
const retryPeriod = time.Second

// insist makes a write until it is done, as a kubelet does with its next sync:
// until then nobody would know, and a test would wait for ever. It gives up when
// the context ends, or what is to be written to is gone.
func insist(ctx context.Context, what string, write func() error) {
	for {
		err := write()
		if err == nil || ctx.Err() != nil || apierrors.IsNotFound(err) {
			return
		}
		runtime.HandleError(fmt.Errorf("kubelet: %s: %w", what, err))
		if sleep(ctx, retryPeriod) != nil {
			return
		}
	}
}

// sleep waits for d, or fails when the context ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

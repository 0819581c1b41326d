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
//	                         in the spec, and its delay and period are kept
//	kubelet.test/hang        when after its start the app begins to fail its
//	                         liveness probe, which must be in the spec (never)
//	kubelet.test/run         how long containers run before they exit (for ever;
//	                         1s where restartPolicy is not Always)
//	kubelet.test/exit-code   with which code containers exit (0); for an init
//	                         container, name it
//	kubelet.test/exit-reason the reason beside the code, such as OOMKilled
//	                         (Completed or Error)
//	kubelet.test/stop        how long containers take to stop when asked (50ms);
//	                         past the grace period they are killed, code 137
//	kubelet.test/back-off    the first back-off delay, doubled each time (10s)
//
// An image whose tag is "missing" or "nope" cannot be pulled. A container that
// refers to a ConfigMap or Secret which does not exist cannot be created until
// it does.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// A Kubelet plays the kubelets of the nodes it was given.
type Kubelet struct {
	client  kubernetes.Interface
	version string // what the nodes say theirs is: the API server's
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu      sync.Mutex
	nodes   map[string]*node
	workers map[types.UID]*worker
}

// A node is one machine that is not there.
type node struct {
	name     string
	index    int
	ctx      context.Context
	cancel   context.CancelFunc
	recorder record.EventRecorder
	images   imageStore

	mu   sync.Mutex
	pods int // ever, for their addresses
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
		client: client, version: version.GitVersion, ctx: ctx, cancel: cancel,
		nodes: map[string]*node{}, workers: map[types.UID]*worker{},
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = "spec.nodeName!=" }))
	pods := factory.Core().V1().Pods().Informer()
	if _, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { k.observe(obj.(*corev1.Pod)) },
		UpdateFunc: func(_, obj any) { k.observe(obj.(*corev1.Pod)) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			k.forget(obj.(*corev1.Pod))
		},
	}); err != nil {
		cancel()
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	k.wg.Go(func() { pods.RunWithContext(ctx) })
	return k, nil
}

// Stop ends all pods' lives where they are and returns when nothing of the
// Kubelet runs any more.
func (k *Kubelet) Stop() {
	k.cancel()
	k.wg.Wait()
}

// AddNode registers a node and keeps its lease renewed.
func (k *Kubelet) AddNode(ctx context.Context, name string) error {
	n := &node{name: name}
	n.ctx, n.cancel = context.WithCancel(k.ctx)
	n.images.init()

	broadcaster := record.NewBroadcaster(record.WithContext(n.ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: k.client.CoreV1().Events("")})
	n.recorder = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: name})

	k.mu.Lock()
	if _, ok := k.nodes[name]; ok {
		k.mu.Unlock()
		n.cancel()
		return fmt.Errorf("kubelet: node %s is there already", name)
	}
	n.index = len(k.nodes)
	k.nodes[name] = n
	k.mu.Unlock()

	// The lease first: a node without one may be taken for a dead one.
	if err := k.renewLease(ctx, n); err != nil {
		return fmt.Errorf("kubelet: lease of node %s: %w", name, err)
	}
	object := newNode(name, k.version)
	if _, err := k.client.CoreV1().Nodes().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("kubelet: register node: %w", err)
	}
	k.wg.Go(func() { k.heartbeat(n) })
	return nil
}

// FailNode makes a node fall silent. There is no way back.
func (k *Kubelet) FailNode(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, ok := k.nodes[name]; ok {
		n.cancel()
	}
}

// observe starts the life of a pod that is new, and tells the others' what
// changed.
func (k *Kubelet) observe(pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w, ok := k.workers[pod.UID]; ok {
		w.observe(pod)
		return
	}
	n, ok := k.nodes[pod.Spec.NodeName]
	if !ok || n.ctx.Err() != nil {
		return
	}
	w := newWorker(k.client, n, pod)
	k.workers[pod.UID] = w
	k.wg.Go(w.run)
}

func (k *Kubelet) forget(pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w, ok := k.workers[pod.UID]; ok {
		w.cancel()
		delete(k.workers, pod.UID)
	}
}

// A kubelet renews its lease every ten seconds. Here it is done oftener, so that
// a test of a lost node can have the controller manager wait for less.
const (
	leaseDuration = 40 * time.Second
	leaseRenewal  = time.Second
)

func (k *Kubelet) heartbeat(n *node) {
	ticker := time.NewTicker(leaseRenewal)
	defer ticker.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-ticker.C:
			if err := k.renewLease(n.ctx, n); err != nil && n.ctx.Err() == nil {
				runtime.HandleError(fmt.Errorf("kubelet: renew lease of %s: %w", n.name, err))
			}
		}
	}
}

func (k *Kubelet) renewLease(ctx context.Context, n *node) error {
	leases := k.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now := metav1.NowMicro()
	seconds := int32(leaseDuration / time.Second)
	lease, err := leases.Get(ctx, n.name, metav1.GetOptions{})
	if err == nil {
		lease.Spec.RenewTime = &now
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		return err
	}
	_, createErr := leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: n.name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &n.name, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}, metav1.CreateOptions{})
	if createErr != nil {
		return errors.Join(err, createErr)
	}
	return nil
}

// newNode is a node that is ready from the start. It is large, so that a test
// that wants an unschedulable pod must mean it.
func newNode(name, version string) *corev1.Node {
	now := metav1.Now()
	condition := func(t corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{
			Type: t, Status: status, Reason: reason, Message: message,
			LastHeartbeatTime: now, LastTransitionTime: now,
		}
	}
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("32"),
		corev1.ResourceMemory:           resource.MustParse("128Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("512Gi"),
		corev1.ResourcePods:             resource.MustParse("1000"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			},
		},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			// Whoever asks this address for a container's log is answered
			// at once that nobody is there.
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}, {Type: corev1.NodeHostName, Address: name},
			},
			Conditions: []corev1.NodeCondition{
				condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
				condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
				condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
				condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status"),
			},
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion: version, ContainerRuntimeVersion: "none://0",
				OperatingSystem: "linux", Architecture: "amd64",
			},
		},
	}
}

// podIP is an address that no other pod of the cluster has had.
func (n *node) podIP() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods++
	return fmt.Sprintf("10.%d.%d.%d", 128+n.index%127, n.pods>>8&0xff, n.pods&0xff)
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

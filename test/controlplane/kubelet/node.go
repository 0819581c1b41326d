package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
)

// A node is one machine that is not there.
type node struct {
	name     string
	index    int
	ctx      context.Context
	cable    *cable
	client   kubernetes.Interface
	recorder record.EventRecorder
	marks    *marks // of the recorder
	images   imageStore
	failures *failures

	mu   sync.Mutex
	pods int // ever, for their addresses
}

func newNode(ctx context.Context, config *rest.Config, name string, f *failures) (*node, error) {
	n := &node{name: name, ctx: ctx, cable: newCable(), failures: f}
	n.images.init()
	own := rest.CopyConfig(config)
	own.Wrap(func(next http.RoundTripper) http.RoundTripper {
		n.cable.next = next
		return n.cable
	})
	var err error
	if n.client, err = kubernetes.NewForConfig(own); err != nil {
		return nil, err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	n.marks = &marks{EventSink: &typedcorev1.EventSinkImpl{Interface: n.client.CoreV1().Events("")}}
	broadcaster.StartRecordingToSink(n.marks)
	n.recorder = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: name})
	return n, nil
}

// A kubelet renews its lease every ten seconds. Here it is done oftener, so that
// a test of a lost node can have the controller manager wait for less.
const (
	leaseDuration = 40 * time.Second
	leaseRenewal  = time.Second
)

// heartbeat renews the lease for as long as the node is there.
func (n *node) heartbeat() {
	ticker := time.NewTicker(leaseRenewal)
	defer ticker.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-ticker.C:
			if err := n.renewLease(n.ctx); err != nil && n.ctx.Err() == nil {
				runtime.HandleError(fmt.Errorf("kubelet: renew lease of node %s: %w", n.name, err))
			}
		}
	}
}

func (n *node) renewLease(ctx context.Context) error {
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Get(ctx, n.name, metav1.GetOptions{})
	now := metav1.NowMicro()
	if err == nil {
		lease.Spec.RenewTime = &now
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		return err
	}
	seconds := int32(leaseDuration / time.Second)
	_, createErr := leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: n.name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &n.name, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}, metav1.CreateOptions{})
	if createErr != nil {
		return errors.Join(err, createErr)
	}
	return nil
}

// back says that the node is ready after all.
func (n *node) back() {
	n.write(healthy()...)
	n.event("NodeReady")
}

// pressureTransition is how long pressure lasts once it has been noticed; a
// kubelet waits five minutes.
const pressureTransition = 5 * time.Second

// runShort is short of memory until it has evicted pods, and for a while after.
func (n *node) runShort(evict func()) {
	n.recorder.Event(n.reference(), corev1.EventTypeWarning, "EvictionThresholdMet", "Attempting to reclaim memory")
	n.write(condition(corev1.NodeMemoryPressure, corev1.ConditionTrue, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"))
	n.event("NodeHasInsufficientMemory")
	evict()
	if sleep(n.ctx, pressureTransition) == nil {
		n.write(healthy()[0])
		n.event("NodeHasSufficientMemory")
	}
}

// write changes conditions that are not as they were.
func (n *node) write(conditions ...corev1.NodeCondition) {
	insist(n.ctx, "status of node "+n.name, func() error {
		patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": conditions}})
		if err == nil {
			_, err = n.client.CoreV1().Nodes().Patch(n.ctx, n.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		}
		return err
	})
}

// event records what is new about the node itself. A kubelet refers to its node
// by name alone.
func (n *node) event(status string) {
	n.recorder.Eventf(n.reference(), corev1.EventTypeNormal, status, "Node %s status is now: %s", n.name, status)
}

func (n *node) reference() *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: n.name}
}

// podIP is an address that no other pod of the cluster has had.
func (n *node) podIP() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods++
	return fmt.Sprintf("10.%d.%d.%d", 128+n.index%127, n.pods>>8&0xff, n.pods&0xff)
}

func condition(t corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
	now := metav1.Now()
	return corev1.NodeCondition{
		Type: t, Status: status, Reason: reason, Message: message,
		LastHeartbeatTime: now, LastTransitionTime: now,
	}
}

// healthy are the conditions that a kubelet writes; memory is the first.
func healthy() []corev1.NodeCondition {
	return []corev1.NodeCondition{
		condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
		condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status"),
	}
}

// newObject is a node that is ready from the start. It is large, so that a test
// that wants an unschedulable pod must mean it.
func newObject(name, version string) *corev1.Node {
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
			Conditions: healthy(),
			NodeInfo: corev1.NodeSystemInfo{
				KubeletVersion: version, ContainerRuntimeVersion: "none://0",
				OperatingSystem: "linux", Architecture: "amd64",
			},
		},
	}
}

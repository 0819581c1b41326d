package causality

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

func (l *life) node(name string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID(fmt.Sprintf("%s-%d", name, l.version)),
		CreationTimestamp: metav1.NewTime(l.at.Add(-time.Hour)),
	}}
	l.setReady(n, corev1.ConditionTrue)
	l.see(watch.Added, n)
	return n
}

func (l *life) setReady(n *corev1.Node, status corev1.ConditionStatus) {
	n.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.NewTime(l.at.Truncate(time.Second)),
	}}
}

func (l *life) nodeEvent(n *corev1.Node, reason string) {
	now := metav1.NewTime(l.at.Truncate(time.Second))
	l.see(watch.Added, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s.%x", n.Name, l.at.UnixNano())},
		InvolvedObject: corev1.ObjectReference{Kind: "Node", Name: n.Name},
		Source:         corev1.EventSource{Component: "kubelet"},
		Reason:         reason, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	})
}

// TestNothingIsKeptOfNodesThatAreGone has machines come and go, each with
// trouble of its own.
func TestNothingIsKeptOfNodesThatAreGone(t *testing.T) {
	l := newLife()
	for i := range 100 {
		n := l.node(fmt.Sprint("node", i%7)) // names come again
		l.setReady(n, corev1.ConditionFalse)
		l.see(watch.Modified, n)
		l.nodeEvent(n, "NodeNotReady")
		l.nodeEvent(n, "Starting")
		l.nodeEvent(n, "Whatever")
		l.pass(time.Minute)
		l.see(watch.Deleted, n)
		l.pass(time.Minute)
		l.nodeEvent(n, "RemovingNode")
	}
	if most := int((podlife.EventLife + podlife.SweepInterval) / (2 * time.Minute)); len(l.nodes.ByID) > most+1 {
		t.Errorf("%d nodes that are gone are kept, at most %d should be", len(l.nodes.ByID), most+1)
	}
	for range 20 {
		l.pass(10 * time.Minute)
	}
	for what, n := range map[string]int{
		"nodes": len(l.nodes.ByID), "names of nodes": len(l.nodes.Named),
		"objects": len(l.objects), "names": len(l.names), "Events": len(l.events),
	} {
		if n != 0 {
			t.Errorf("%d %s are left", n, what)
		}
	}
	l.nothingIsNoted(t)
	if l.spans < 100*3 { // not ready, kubelet restarted, deleted
		t.Errorf("only %d spans came out", l.spans)
	}
}

// TestAFlappingNodeIsBounded has a node flap for days, while it is cordoned and
// Events wait for the end of that.
func TestAFlappingNodeIsBounded(t *testing.T) {
	l := newLife()
	n := l.node("node-a")
	n.Spec.Unschedulable = true
	l.see(watch.Modified, n)
	const flaps = 3000
	for range flaps {
		l.nodeEvent(n, "NodeNotSchedulable")
		l.setReady(n, corev1.ConditionFalse)
		l.see(watch.Modified, n)
		l.pass(30 * time.Second)
		l.setReady(n, corev1.ConditionTrue)
		l.see(watch.Modified, n)
		l.pass(30 * time.Second)
	}
	record := l.nodes.ByID[kube.ObjectID{Kind: kube.KindNode, UID: n.UID}]
	if len(record.Disruptions) > nodes.MaxDisruptions {
		t.Errorf("%d disruptions are kept", len(record.Disruptions))
	}
	if most := maxWithheld + int((podlife.EventLife+podlife.SweepInterval)/time.Minute) + 2; len(record.Events) > most {
		t.Errorf("%d Events are kept, at most %d should be", len(record.Events), most)
	}
	if record.Cordon == nil || l.spans < flaps {
		t.Errorf("%d spans came out of %d flaps", l.spans, flaps)
	}
	if !slices.Contains(record.Disruptions, record.Cordon) {
		t.Error("the cordon, which goes on, was forgotten")
	}
}

// TestConditionsOfANodeAreBounded has somebody write whatever conditions into a node's status,
// each with a Warning that it is a problem.
func TestConditionsOfANodeAreBounded(t *testing.T) {
	l := newLife()
	n := l.node("node-a")
	for i := range 1000 {
		for j := range 10 {
			kind := fmt.Sprint("Problem", 10*i+j)
			n.Status.Conditions = append(n.Status.Conditions[:1], corev1.NodeCondition{
				Type: corev1.NodeConditionType(kind), Status: corev1.ConditionTrue, Reason: kind, LastTransitionTime: metav1.NewTime(l.at.Truncate(time.Second)),
			})
			l.see(watch.Modified, n)
		}
		l.pass(time.Minute)
	}
	record := l.nodes.ByID[kube.ObjectID{Kind: kube.KindNode, UID: n.UID}]
	if len(record.Conditions) < 10 || len(record.Conditions) > 64 || len(record.Disruptions) > nodes.MaxDisruptions {
		t.Errorf("%d conditions and %d disruptions are kept", len(record.Conditions), len(record.Disruptions))
	}
}

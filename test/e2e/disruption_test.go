package e2e

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestEvicted has a pod evicted through the API, by somebody who does not say
// why.
func TestEvicted(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{life: map[string]string{"stop": "1s"}})
	s.complete(1)
	rollout := s.rollout(1)
	lost := s.onlyPod()
	err := s.client.CoreV1().Pods(s.name).EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: lost.Name}})
	if err != nil {
		t.Fatal(err)
	}
	replacement := s.replacementOf(lost)
	s.consists(replacement, "Pod start", "Pod stop")
	s.has(replacement.Root(), map[string]any{
		"rollspan.change": "replacement", "rollspan.outcome": "complete", "rollspan.cause": "EvictionByEvictionAPI",
	})
	s.links(replacement, "rollout", rollout)
	s.podsExplained()
}

// TestDrained drains one of the two nodes that an app may run on.
func TestDrained(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	nodes := s.addNodes(2)
	s.create(app{nodes: nodes, life: map[string]string{"stop": "500ms"}})
	s.complete(1)
	lost := s.onlyPod()
	s.kubectlRun("drain", lost.Spec.NodeName)
	replacement := s.replacementOf(lost)
	s.has(replacement.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.cause": "drain"})
	if on := s.only(replacement, "Pod start").Resource["k8s.node.name"]; on == lost.Spec.NodeName {
		t.Errorf("the new pod is on %v, too", on)
	}

	s.kubectlRun("uncordon", lost.Spec.NodeName)
	cordon := s.disruption(lost.Spec.NodeName, "Cordoned")
	s.has(cordon.Root(), map[string]any{"rollspan.change": "disruption", "rollspan.outcome": "complete", "rollspan.manager.name": "kubectl"})
	s.links(replacement, "caused_by", cordon)
	s.podsExplained()
}

// TestNodeLost silences one of the two nodes that an app may run on, and lets it
// come back.
func TestNodeLost(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	lost := s.loseNode()
	s.cluster.RecoverNode(lost.Spec.NodeName)

	replacement := s.replacementOf(lost)
	s.consists(replacement, "Pod start", "Pod stop")
	s.has(replacement.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.cause": "DeletionByTaintManager"})
	silence := s.disruption(lost.Spec.NodeName, "Unreachable")
	s.has(silence.Root(), map[string]any{"rollspan.outcome": "complete", "error.type": "NodeStatusUnknown"})
	s.links(replacement, "caused_by", silence)
	s.podsExplained()
}

// TestNodeLostForGood has one that does not come back: its pod is still there
// when its replacement is told, and goes when somebody has it go.
func TestNodeLostForGood(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	lost := s.loseNode()
	replacement := s.replacementOf(lost)
	s.consists(replacement, "Pod start")
	s.has(replacement.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.cause": "DeletionByTaintManager"})
	if n := len(s.pods("1")); n != 2 {
		t.Errorf("there are %d pods, want the lost one and the new one", n)
	}

	s.kubectlRun("delete", "pod/"+lost.Name, "--force")
	s.podsExplained()
	replacement = s.replacementOf(lost)
	s.consists(replacement, "Pod start", "Pod stop")
	s.kubectlRun("delete", "node/"+lost.Spec.NodeName)
	silence := s.disruption(lost.Spec.NodeName, "Unreachable")
	s.has(silence.Root(), map[string]any{"rollspan.outcome": "deleted"})
	s.links(replacement, "caused_by", silence)
}

// loseNode silences one of the two nodes that an app may run on, until another
// pod is in the place of the one that it returns.
func (s *space) loseNode() (lost corev1.Pod) {
	s.t.Helper()
	nodes := s.addNodes(2)
	soon := int64(1)
	s.create(app{nodes: nodes, adjust: func(pod *corev1.PodSpec) {
		pod.Tolerations = append(pod.Tolerations, corev1.Toleration{
			Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &soon,
		})
	}})
	s.complete(1)
	lost = s.onlyPod()
	s.cluster.FailNode(lost.Spec.NodeName)
	s.waits("node/"+lost.Spec.NodeName, "condition=Ready=Unknown")
	s.somePod("1", "takes its place", func(p corev1.Pod) bool { return p.UID != lost.UID && readyCondition(&p) })
	return lost
}

// TestNodeShortOfMemory has a kubelet evict a pod.
func TestNodeShortOfMemory(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	nodes := s.addNodes(1)
	s.create(app{nodes: nodes})
	s.complete(1)
	lost := s.onlyPod()
	s.cluster.EvictPods(nodes[0])
	replacement := s.replacementOf(lost)
	s.has(replacement.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.cause": "TerminationByKubelet"})
	pressure := s.disruption(nodes[0], "MemoryPressure")
	s.has(pressure.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.condition.reason": "KubeletHasInsufficientMemory"})
	s.links(replacement, "caused_by", pressure)
	s.podsExplained()
}

// TestDrainedInARollout drains the first node of a StatefulSet while its second
// pod is not ready yet, on another node.
func TestDrainedInARollout(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	nodes := s.addNodes(2)
	s.statefulSet(app{replicas: 2, nodes: nodes, gated: true, adjust: func(pod *corev1.PodSpec) {
		pod.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: appSelector,
		}}
	}})
	var lost corev1.Pod
	s.eventually("the second pod is on a node", func() error {
		pods := s.pods("1") // by name
		if len(pods) > 0 {
			s.open(&pods[0])
		}
		if len(pods) < 2 || pods[1].Spec.NodeName == "" {
			return fmt.Errorf("there are %d pods", len(pods))
		}
		lost = pods[0]
		return nil
	})
	s.kubectlRun("drain", lost.Spec.NodeName)
	s.kubectlRun("uncordon", lost.Spec.NodeName)
	s.eventually("both pods are ready", func() error {
		ready := 0
		for _, p := range s.pods("1") {
			s.open(&p)
			if p.UID != lost.UID && readyCondition(&p) {
				ready++
			}
		}
		if ready != 2 {
			return fmt.Errorf("%d are", ready)
		}
		return nil
	})
	s.rolledOut("statefulset")

	rollout := s.trace("StatefulSet rollout", "rollspan.outcome", "complete")
	stop := s.only(rollout, "Pod stop")
	s.has(stop, map[string]any{"k8s.pod.uid": lost.UID, "rollspan.disruption": "EvictionByEvictionAPI"})
	s.linked(stop, "caused_by", s.disruption(lost.Spec.NodeName, "Cordoned").Root())
	s.podsExplained()
}

// TestPreempted has a pod that matters take the place of one that does not, and
// give it back.
func TestPreempted(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	nodes := s.addNodes(1, func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("1") })
	_, err := s.client.SchedulingV1().PriorityClasses().Create(t.Context(), &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: s.name}, Value: 1000,
	}, asCreator)
	if err != nil {
		t.Fatal(err)
	}
	big := func(pod *corev1.PodSpec) {
		pod.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("800m")}
	}
	s.create(app{nodes: nodes, adjust: big})
	s.complete(1)
	lost := s.onlyPod()
	s.pod("urgent", app{nodes: nodes, adjust: func(pod *corev1.PodSpec) { big(pod); pod.PriorityClassName = s.name }})
	urgent := s.trace("Pod run", "k8s.pod.name", "urgent")
	s.kubectlRun("delete", "pod/urgent")

	replacement := s.replacementOf(lost)
	s.has(replacement.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.cause": "PreemptionByScheduler"})
	s.links(replacement, "caused_by", urgent)
	s.podsExplained()
}

// addNodes adds nodes for the pods of this test alone.
func (s *space) addNodes(n int, adjust ...func(*corev1.Node)) []string {
	s.t.Helper()
	var names []string
	for i := range n {
		name := fmt.Sprintf("%s-%c", s.name, 'a'+i)
		if err := s.cluster.AddNode(s.t.Context(), name, append(adjust, controlplane.Reserve)...); err != nil {
			s.t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// onlyPod is the namespace's one pod.
func (s *space) onlyPod() corev1.Pod {
	s.t.Helper()
	pods := s.pods("1")
	if len(pods) != 1 {
		s.t.Fatalf("there are %d pods, want one", len(pods))
	}
	return pods[0]
}

func readyCondition(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// replacementOf is the namespace's one trace of the loss of a pod.
func (s *space) replacementOf(lost corev1.Pod) *trace {
	s.t.Helper()
	found := s.trace("Pod replacement", "k8s.namespace.name", s.name)
	for _, stop := range named(found, "Pod stop") {
		s.has(stop, map[string]any{"k8s.pod.uid": lost.UID})
	}
	if uid := s.only(found, "Pod start").Resource["k8s.pod.uid"]; uid == string(lost.UID) {
		s.t.Errorf("pod %v replaces itself", uid)
	}
	return found
}

// consists waits until the spans right below a trace's root are these, by name: the
// stop of a pod follows if it takes a minute. A pod may be there before it is known in
// what moment the other one was asked to go: then both begin with the root, and neither
// comes first.
func (s *space) consists(t *trace, want ...string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("trace %s consists of %q", t.ID, want), func() error {
		now, err := s.whole(s.t.Context(), t.ID)
		if err != nil {
			return err
		}
		var got []string
		for _, sp := range children(&now, t.Root().ID) {
			got = append(got, sp.Name)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("it consists of %q", got)
		}
		return nil
	})
}

// disruption is the one trace of that about a node.
func (s *space) disruption(node, cause string) *trace {
	s.t.Helper()
	found := s.findBy("Node disruption", map[string]string{"k8s.node.name": node}, "rollspan.cause", cause)
	s.law(found)
	return found
}

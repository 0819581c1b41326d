package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestDisjointNamespaces has two rollspans share two namespaces, one each. They tell what
// one tells that watches both, but for the links from one namespace to the other: a pod of
// the one has to make room for a pod of the other, and neither rollspan sees both.
// docs/scale.md lists these links.
func TestDisjointNamespaces(t *testing.T) {
	t.Parallel()
	modest, urgent := newSpace(t), newSpace(t)
	for _, s := range []*space{modest, urgent} {
		s.watches(s.runApart(), liveKinds...)
		s.collector = s.jaeger // the common rollspan's
	}
	nodes := modest.addNodes(1, func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("1") })
	_, err := modest.client.SchedulingV1().PriorityClasses().Create(t.Context(), &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: urgent.name}, Value: 1000,
	}, asCreator)
	if err != nil {
		t.Fatal(err)
	}
	big := func(pod *corev1.PodSpec) {
		pod.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("800m")}
	}
	modest.create(app{nodes: nodes, adjust: big})
	modest.complete(1)
	rollout := modest.rollout(1)
	lost := modest.onlyPod()
	urgent.pod("urgent", app{nodes: nodes, adjust: func(pod *corev1.PodSpec) { big(pod); pod.PriorityClassName = urgent.name }})
	run := urgent.trace("Pod run", "k8s.pod.name", "urgent")
	urgent.kubectlRun("delete", "pod/urgent")
	replacement := modest.replacementOf(lost)
	modest.kubectlRun("cordon", nodes[0])
	modest.kubectlRun("uncordon", nodes[0])
	cordon := modest.disruption(nodes[0], "Cordoned")

	for _, s := range []*space{modest, urgent} {
		s.collector = s.apart
	}
	across := modest.sameButAcross(rollout, modest.rollout(1), run)
	across += modest.sameButAcross(replacement, modest.replacementOf(lost), run)
	if across == 0 {
		t.Errorf("the replacement has no link to pod/urgent where one rollspan sees both")
	}
	if urgent.sameButAcross(run, urgent.trace("Pod run", "k8s.pod.name", "urgent"), rollout, replacement) == 0 {
		t.Errorf("pod/urgent has no link to the replacement where one rollspan sees both")
	}
	// Both watch the Nodes, so both tell of this one, with one ID. What Events say of Nodes
	// is in the namespace default, which neither watches.
	twice := modest.findBy("Node disruption", map[string]string{"k8s.node.name": nodes[0]}, "rollspan.cause", "Cordoned")
	if twice.ID != cordon.ID || twice.Root().ID != cordon.Root().ID {
		t.Errorf("the disruption of the node is trace %s, span %s, want %s, %s", twice.ID, twice.Root().ID, cordon.ID, cordon.Root().ID)
	}
}

// sameButAcross checks that two traces tell the same, with the same links but for those of
// the first that lead to the traces of others. It returns how many of these there are.
func (s *space) sameButAcross(want, got *trace, others ...*trace) (across int) {
	s.t.Helper()
	s.same(want, got)
	links := func(sp *controlplane.Span) map[[3]string]bool {
		out := map[[3]string]bool{}
		for _, l := range sp.Links {
			kind, _ := l.Attributes["rollspan.link.type"].(string)
			out[[3]string{kind, l.TraceID, l.SpanID}] = true
		}
		return out
	}
	for i := range want.Spans {
		w := &want.Spans[i]
		g := got.Span(w.ID)
		if g == nil {
			continue // same has said so, or it is there by chance.
		}
		theirs := links(g)
		for l := range links(w) {
			leadsAcross := false
			for _, o := range others {
				leadsAcross = leadsAcross || o.ID == l[1]
			}
			switch {
			case leadsAcross && theirs[l]:
				s.t.Errorf("%s %s: a rollspan that cannot know it tells the link %v", w.Name, w.ID, l)
			case leadsAcross:
				across++
			case !theirs[l]:
				s.t.Errorf("%s %s: the link %v is not there", w.Name, w.ID, l)
			}
			delete(theirs, l)
		}
		for l := range theirs {
			s.t.Errorf("%s %s: the link %v should not be there", w.Name, w.ID, l)
		}
	}
	return across
}

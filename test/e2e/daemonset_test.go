package e2e

import (
	"testing"
)

// TestDaemonSet rolls out to two nodes, one after the other where there is
// something to replace, and back again.
func TestDaemonSet(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	set := s.daemonSet(app{})
	s.rolledOut("daemonset")
	s.setImage("daemonset", "2")
	s.rolledOut("daemonset")
	s.kubectlRun("rollout", "undo", "daemonset/"+appName)
	s.rolledOut("daemonset")

	const rollout = "DaemonSet rollout"
	first := s.trace(rollout, "rollspan.revision", int64(1))
	s.under(first, "Pod start", "Pod start")
	s.has(first.Root(), map[string]any{
		"k8s.daemonset.name": appName, "k8s.daemonset.uid": set.UID,
		"rollspan.change": "rollout", "rollspan.outcome": "complete", "rollspan.cause": "create",
		"rollspan.manager.name": creator, "rollspan.pods.wanted": 2, "rollspan.pods.ready": 2,
	})
	starts := named(first, "Pod start")
	if a, b := starts[0].Resource["k8s.node.name"], starts[1].Resource["k8s.node.name"]; a == b {
		t.Errorf("both pods are on %v", a)
	}

	second := s.trace(rollout, "rollspan.revision", int64(2))
	s.under(second, "Pod stop", "Pod start", "Pod stop", "Pod start")
	s.has(second.Root(), map[string]any{
		"rollspan.outcome": "complete", "rollspan.cause": "template", "rollspan.manager.name": "kubectl-set",
		"rollspan.images.before": []any{s.image("1")}, "rollspan.images.after": []any{s.image("2")},
	})
	starts, stops := named(second, "Pod start"), named(second, "Pod stop")
	s.linked(starts[0], "unblocked_by", stops[0])
	s.linked(stops[1], "unblocked_by", starts[0])

	back := s.trace(rollout, "rollspan.revision", int64(3))
	s.has(back.Root(), map[string]any{
		"rollspan.outcome": "complete", "rollspan.cause": "rollback", "rollspan.rollback.revision": 1,
		"rollspan.manager.name": "kubectl",
	})
	s.links(back, "rolls_back", first)

	s.kubectlRun("delete", "daemonset/"+appName)
	gone := s.trace("DaemonSet delete", "k8s.daemonset.uid", string(set.UID))
	s.under(gone, "Pod stop", "Pod stop")
	s.podsExplained()
}

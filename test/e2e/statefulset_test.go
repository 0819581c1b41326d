package e2e

import (
	"testing"
)

// TestStatefulSet rolls two pods out one after the other, and back again.
func TestStatefulSet(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	set := s.statefulSet(app{replicas: 2, probe: true, life: map[string]string{"boot": "1s"}})
	s.rolledOut("statefulset")
	s.setImage("statefulset", "2")
	s.rolledOut("statefulset")
	s.kubectlRun("rollout", "undo", "statefulset/"+appName)
	s.rolledOut("statefulset")

	const rollout = "StatefulSet rollout"
	first := s.trace(rollout, "rollspan.revision", int64(1))
	s.under(first, "Pod start", "Pod start")
	s.has(first.Root(), map[string]any{
		"k8s.statefulset.name": appName, "k8s.statefulset.uid": set.UID,
		"rollspan.change": "rollout", "rollspan.outcome": "complete", "rollspan.cause": "create",
		"rollspan.manager.name": creator, "rollspan.pods.wanted": 2, "rollspan.pods.ready": 2,
	})
	starts := named(first, "Pod start")
	s.has(starts[0], map[string]any{"k8s.pod.name": appName + "-0"})
	s.has(starts[1], map[string]any{"k8s.pod.name": appName + "-1"})
	s.linked(starts[1], "unblocked_by", starts[0])

	second := s.trace(rollout, "rollspan.revision", int64(2))
	s.under(second, "Pod stop", "Pod start", "Pod stop", "Pod start")
	s.has(second.Root(), map[string]any{
		"rollspan.outcome": "complete", "rollspan.cause": "template", "rollspan.manager.name": "kubectl-set",
		"rollspan.images.before": []any{s.image("1")}, "rollspan.images.after": []any{s.image("2")},
	})
	starts, stops := named(second, "Pod start"), named(second, "Pod stop")
	s.has(stops[0], map[string]any{"k8s.pod.name": appName + "-1"})
	s.linked(starts[0], "unblocked_by", stops[0]) // they have one name
	s.linked(stops[1], "unblocked_by", starts[0])
	s.linked(starts[1], "unblocked_by", stops[1])

	// The controller numbers the revision that it goes back to anew.
	back := s.trace(rollout, "rollspan.revision", int64(3))
	s.has(back.Root(), map[string]any{
		"rollspan.outcome": "complete", "rollspan.cause": "rollback", "rollspan.rollback.revision": 1,
		"rollspan.manager.name": "kubectl", "rollspan.images.after": []any{s.image("1")},
	})
	s.links(back, "rolls_back", first)
	s.podsExplained()
}

// TestStatefulSetScaled also deletes it.
func TestStatefulSetScaled(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	set := s.statefulSet(app{})
	s.rolledOut("statefulset")
	s.trace("StatefulSet rollout", "rollspan.revision", int64(1))

	s.kubectlRun("scale", "statefulset/"+appName, "--replicas=3")
	up := s.trace("StatefulSet scale", "rollspan.scale.to", int64(3))
	s.under(up, "Pod start", "Pod start")
	s.has(up.Root(), map[string]any{
		"rollspan.change": "scale", "rollspan.outcome": "complete", "rollspan.cause": "scale",
		"rollspan.manager.name": "kubectl", "rollspan.scale.from": 1, "rollspan.pods.ready": 3,
	})
	s.linked(named(up, "Pod start")[1], "unblocked_by", named(up, "Pod start")[0])

	s.kubectlRun("scale", "statefulset/"+appName, "--replicas=1")
	down := s.trace("StatefulSet scale", "rollspan.scale.to", int64(1))
	s.under(down, "Pod stop", "Pod stop")
	s.has(named(down, "Pod stop")[0], map[string]any{"k8s.pod.name": appName + "-2"})

	s.kubectlRun("delete", "statefulset/"+appName)
	gone := s.trace("StatefulSet delete", "k8s.statefulset.uid", string(set.UID))
	s.under(gone, "Pod stop")
	s.has(gone.Root(), map[string]any{"rollspan.change": "delete", "rollspan.outcome": "complete"})
	s.podsExplained()
}

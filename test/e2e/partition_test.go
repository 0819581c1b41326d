package e2e

import (
	"testing"
)

const partitionOne = `{"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":1}}}}`

// TestStatefulSetPartitionUndone rolls back what had come as far as its partition.
// `kubectl rollout status` says at once that this is complete, as the protected pod
// has the revision already.
func TestStatefulSetPartitionUndone(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.partitioned()
	s.kubectlRun("rollout", "undo", "statefulset/"+appName)
	back := s.trace("StatefulSet rollout", "rollspan.revision", int64(3))
	s.under(back, "Pod stop", "Pod start")
	s.has(back.Root(), map[string]any{
		"rollspan.outcome": "complete", "rollspan.cause": "rollback", "rollspan.pods.wanted": 2, "rollspan.pods.ready": 2,
	})
	s.podsExplained()
}

// TestStatefulSetSmallerAndUnprotected takes the partition away, and with it the one
// pod that was updated. The status then counts one updated of one wanted, which is
// the pod that is to go.
func TestStatefulSetSmallerAndUnprotected(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.partitioned()
	s.kubectlRun("patch", "statefulset/"+appName, "--patch", `{"spec":{"replicas":1,"updateStrategy":{"rollingUpdate":{"partition":0}}}}`)
	rest := s.trace("StatefulSet rollout", "rollspan.cause", "partition")
	s.under(rest, "Pod stop", "Pod stop", "Pod start")
	stops := named(rest, "Pod stop")
	s.has(stops[0], map[string]any{"k8s.pod.name": appName + "-1"})
	s.linked(stops[1], "unblocked_by", stops[0])
	s.has(rest.Root(), map[string]any{
		"rollspan.outcome": "complete", "rollspan.revision": 2, "rollspan.pods.wanted": 1, "rollspan.pods.ready": 1,
	})
	s.podsExplained()
}

// partitioned makes a StatefulSet of two pods, of which a partition lets the second
// one be updated.
func (s *space) partitioned() {
	s.t.Helper()
	s.statefulSet(app{replicas: 2})
	s.rolledOut("statefulset")
	s.kubectlRun("patch", "statefulset/"+appName, "--patch", partitionOne)
	s.setImage("statefulset", "2")
	s.rolledOut("statefulset")
	s.trace("StatefulSet rollout", "rollspan.revision", int64(2))
}

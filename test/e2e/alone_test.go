package e2e

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// TestReplicaSetAlone is about one that no Deployment owns.
func TestReplicaSetAlone(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	set := s.replicaSet(app{replicas: 2})
	s.waits("replicaset/"+appName, "jsonpath={.status.availableReplicas}=2")
	s.standsAlone("ReplicaSet", "k8s.replicaset", set.UID)
}

func TestReplicationController(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	rc := s.replicationController(app{replicas: 2})
	s.waits("replicationcontroller/"+appName, "jsonpath={.status.availableReplicas}=2")
	s.standsAlone("ReplicationController", "k8s.replicationcontroller", rc.UID)
}

// standsAlone scales a set of two pods to one, deletes that, and then the set.
func (s *space) standsAlone(kind, key string, uid types.UID) {
	s.t.Helper()
	rollout := s.trace(kind+" rollout", "rollspan.cause", "create")
	s.under(rollout, "Pod start", "Pod start")
	s.has(rollout.Root(), map[string]any{
		key + ".name": appName, key + ".uid": uid,
		"rollspan.change": "rollout", "rollspan.outcome": "complete", "rollspan.manager.name": creator,
		"rollspan.pods.wanted": 2, "rollspan.pods.ready": 2,
	})
	s.kubectlRun("scale", kind+"/"+appName, "--replicas=1")
	scale := s.trace(kind+" scale", "rollspan.scale.to", int64(1))
	s.under(scale, "Pod stop")
	s.has(scale.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.scale.from": 2, "rollspan.manager.name": "kubectl"})

	// The pod that comes when the other is lost replaces that one, and not the one
	// that the scale removed.
	removed := named(scale, "Pod stop")[0].Resource["k8s.pod.name"]
	for _, p := range s.pods("1") {
		if p.Name != removed {
			s.kubectlRun("delete", "pod/"+p.Name)
			lost := s.trace("Pod replacement", "rollspan.cause", "delete")
			s.consists(lost, "Pod start", "Pod stop")
			s.has(lost.Root(), map[string]any{"rollspan.outcome": "complete"})
			s.has(named(lost, "Pod stop")[0], map[string]any{"k8s.pod.name": p.Name})
		}
	}

	s.kubectlRun("delete", kind+"/"+appName)
	gone := s.trace(kind+" delete", "rollspan.change", "delete")
	s.under(gone, "Pod stop")
	s.podsExplained()
}

// TestPodAlone has two pods that nothing owns: one that serves, and one that
// ends, badly.
func TestPodAlone(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.pod("server", app{life: map[string]string{"stop": "1s"}})
	s.pod("task", app{policy: "Never", life: map[string]string{"exit-code": "2"}})
	serving := s.trace("Pod run", "k8s.pod.name", "server")
	s.under(serving, "schedule", "prepare sandbox", "container", "become ready")
	s.has(serving.Root(), map[string]any{
		"rollspan.change": "run", "rollspan.outcome": "complete", "rollspan.cause": "create",
	})
	task := s.trace("Pod run", "k8s.pod.name", "task")
	s.has(task.Root(), map[string]any{"rollspan.outcome": "failed", "error.type": "Error"})
	s.has(s.only(task, "run container"), map[string]any{"process.exit.code": 2})

	s.kubectlRun("delete", "pod/server")
	gone := s.trace("Pod delete", "k8s.pod.name", "server")
	s.under(gone, "Pod stop")
	s.podsExplained()
}

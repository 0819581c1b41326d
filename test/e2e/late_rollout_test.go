package e2e

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestScaledWhilePaused has the controller scale the pods that there are while the next
// template waits for the end of a pause: a change of its own, which does not end the
// pause.
func TestScaledWhilePaused(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{})
	s.complete(1)
	s.kubectlRun("rollout", "pause", "deployment/"+appName)
	s.update("2")
	s.kubectlRun("scale", "deployment/"+appName, "--replicas=2")
	s.deployment("scaled while it is paused", func(d *appsv1.Deployment) bool {
		return d.Spec.Paused && d.Status.AvailableReplicas == 2
	})
	resumed := time.Now()
	s.kubectlRun("rollout", "resume", "deployment/"+appName)
	s.complete(2)
	done := time.Now()

	scale := s.trace("Deployment scale", "rollspan.scale.to", int64(2))
	s.has(scale.Root(), map[string]any{
		"rollspan.outcome": "complete", "rollspan.revision": 1, "rollspan.scale.from": 1,
		"rollspan.pods.wanted": 2, "rollspan.pods.ready": 2,
	})
	s.drawn(scale, 3, `
		Deployment scale
		  ReplicaSet scale up 1-2
		    Pod start`)

	rollout := s.rollout(2)
	paused := s.only(rollout, "paused")
	s.within("the resumption", paused.End, resumed, done, time.Second)
	for _, up := range named(rollout, "ReplicaSet scale up") {
		if up.Start.Before(paused.End) {
			t.Errorf("a step up began %s before the Deployment was resumed", paused.End.Sub(up.Start))
		}
	}
}

// TestRecovered has what a pod waits for come after the deadline. What is said of it
// then belongs to the rollout that failed, too.
func TestRecovered(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{life: map[string]string{"back-off": "1s"}, adjust: func(spec *corev1.PodSpec) {
		spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "settings"},
		}}}
	}})
	s.stuck("1", "CreateContainerConfigError")
	s.setDeadline(shortDeadline)
	failed := s.rollout(1)
	s.has(failed.Root(), map[string]any{"rollspan.outcome": "failed", "error.type": "CreateContainerConfigError"})
	_, err := s.client.CoreV1().ConfigMaps(s.name).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings"},
	}, asCreator)
	if err != nil {
		t.Fatal(err)
	}
	s.complete(1)
	events := s.events()
	s.eventually("the rollout recovers, and has all Events", func() error {
		trace, err := s.whole(t.Context(), failed.ID)
		if err != nil {
			return err
		}
		if len(named(&trace, "Deployment recovery")) == 0 {
			return fmt.Errorf("it did not recover")
		}
		told := map[any]bool{}
		for _, sp := range trace.Spans {
			for _, e := range sp.Events {
				told[e.Attributes["k8s.event.uid"]] = true
			}
		}
		for _, ev := range events {
			if !told[string(ev.UID)] {
				return fmt.Errorf("%s %s: %q is not told", ev.Reason, ev.InvolvedObject.Name, ev.Message)
			}
		}
		return nil
	})
}

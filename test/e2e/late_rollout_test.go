package e2e

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestScaledWhilePaused has the controller take a step while the rollout is paused,
// which does not end the pause.
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
	trace := s.rollout(2)
	paused := s.only(trace, "paused")
	s.within("the resumption", paused.End, resumed, done, time.Second)
	during := 0
	for _, up := range named(trace, "ReplicaSet scale up") {
		if up.Start.Before(paused.End) {
			during++
		}
	}
	if during != 1 {
		t.Errorf("%d steps up while it was paused, want 1", during)
	}
}

// TestRecovered has what a pod waits for come after the deadline. What is said of it
// then belongs to the rollout that failed, too.
func TestRecovered(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{deadline: 5, life: map[string]string{"back-off": "1s"}, adjust: func(spec *corev1.PodSpec) {
		spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "settings"},
		}}}
	}})
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
		trace, err := s.collector.Trace(t.Context(), failed.ID)
		if err != nil {
			return final{err}
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

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// forged is in all that the other tenant writes.
const forged = "forged by another tenant"

// TestAnotherTenantWritesIntoNoTrace has somebody, who may write pods and Events in one
// namespace, write all that the API server takes about a pod of another. That pod's
// rollout is told without any of it, and the next one is told, too.
func TestAnotherTenantWritesIntoNoTrace(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{gated: true})
	var victim corev1.Pod
	s.eventually("the pod to attack", func() error {
		for _, p := range s.pods("1") {
			if victim = p; len(p.OwnerReferences) == 1 && p.Spec.NodeName != "" {
				return nil
			}
		}
		return fmt.Errorf("it is not there yet")
	})
	s.attack(s.name+"-evil", &victim)

	s.completeGated(1, "1")
	rollout := s.rollout(1)
	s.law(rollout)
	s.only(rollout, "Pod start")
	for i := range rollout.Spans {
		if span := fmt.Sprint(rollout.Spans[i]); strings.Contains(span, forged) || strings.Contains(span, "-evil") || strings.Contains(span, "impostor") {
			t.Errorf("it says what another tenant wrote:\n%s", text(rollout))
			break
		}
	}

	s.update("2")
	s.completeGated(2, "2")
	s.rollout(2)
}

// attack writes about a pod from another namespace.
func (s *space) attack(namespace string, victim *corev1.Pod) {
	s.t.Helper()
	ctx, yes := s.t.Context(), true
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	_, err := s.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	must(err)
	pods := s.client.CoreV1().Pods(namespace)
	pod := func(name string, owner ...metav1.OwnerReference) *corev1.Pod {
		s.t.Helper()
		made, err := pods.Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owner},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: s.image("evil")}}, NodeSelector: map[string]string{"no": "node"}},
		}, metav1.CreateOptions{})
		must(err)
		return made
	}
	s.eventually("default ServiceAccount", func() error {
		_, err := s.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	// A pod that says to be of the victim's ReplicaSet; and two of which one says that
	// the other is its ReplicaSet.
	owner := victim.OwnerReferences[0]
	pod("impostor", owner)
	alone := pod("alone")
	pod("endless", metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "x", UID: alone.UID, Controller: &yes})

	now := metav1.NowMicro()
	second := metav1.NewTime(now.Truncate(time.Second))
	for i, about := range []corev1.ObjectReference{
		{Kind: "Pod", APIVersion: "v1", Namespace: namespace, Name: "x", UID: victim.UID, FieldPath: "spec.containers{web}"},
		{Kind: "Pod", Namespace: namespace, Name: victim.Name, UID: victim.UID},
		{Kind: owner.Kind, APIVersion: owner.APIVersion, Namespace: namespace, Name: owner.Name, UID: owner.UID},
	} {
		_, err := s.client.CoreV1().Events(namespace).Create(ctx, &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("forged-", i)}, InvolvedObject: about,
			Reason: "Failed", Message: forged, Type: corev1.EventTypeWarning, FirstTimestamp: second, LastTimestamp: second, Count: 1,
			Source: corev1.EventSource{Component: "kubelet"},
		}, metav1.CreateOptions{})
		must(err)
	}
	// By this API an Event may name another namespace than its own.
	_, err = s.client.EventsV1().Events(namespace).Create(ctx, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "forged"}, EventTime: now, Reason: "FailedScheduling", Note: forged, Type: corev1.EventTypeWarning,
		Action: "Scheduling", ReportingController: "default-scheduler", ReportingInstance: "evil",
		Regarding: corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: victim.Namespace, Name: victim.Name, UID: victim.UID},
	}, metav1.CreateOptions{})
	must(err)
}

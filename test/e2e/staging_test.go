package e2e

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A rollout stays where a test wants it until the test lets it go on: nothing here
// depends on how fast the machine is.

// setDeadline sets the deadline of rollouts. One that is to fail is given a short one
// when it has come as far as the test wants it to; until then, and for others, it is so
// long that it does not matter how fast the machine is.
func (s *space) setDeadline(seconds int) {
	s.t.Helper()
	s.kubectlRun("patch", "deployment/"+appName, "--patch", fmt.Sprintf(`{"spec":{"progressDeadlineSeconds":%d}}`, seconds))
}

const shortDeadline, longDeadline = 5, 600 // seconds

// stuck waits until a pod with the image that has this tag waits for that reason.
func (s *space) stuck(tag, reason string) {
	s.t.Helper()
	s.somePod(tag, "waits: "+reason, func(p corev1.Pod) bool {
		return slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
			return c.State.Waiting != nil && c.State.Waiting.Reason == reason
		})
	})
}

// somePod waits until one of the pods with the image that has this tag is as wanted.
func (s *space) somePod(tag, what string, wanted func(corev1.Pod) bool) {
	s.t.Helper()
	s.eventually("a pod with the image "+tag+" "+what, func() error {
		pods := s.pods(tag)
		if !slices.ContainsFunc(pods, wanted) {
			return fmt.Errorf("none of %d does", len(pods))
		}
		return nil
	})
}

// gate is the readiness gate of pods that are gated.
const gate = "e2e.test/open"

// open lets a pod that is gated be ready, if it is not to go.
func (s *space) open(pod *corev1.Pod) {
	s.t.Helper()
	open := func(c corev1.PodCondition) bool { return c.Type == gate }
	if pod.DeletionTimestamp != nil || slices.ContainsFunc(pod.Status.Conditions, open) {
		return
	}
	patch := fmt.Sprintf(`{"metadata":{"uid":%q},"status":{"conditions":[{"type":%q,"status":"True","lastTransitionTime":%q}]}}`,
		pod.UID, gate, time.Now().UTC().Format(time.RFC3339))
	_, err := s.client.CoreV1().Pods(s.name).Patch(s.t.Context(), pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) { // it went just now
		s.t.Fatal(err)
	}
}

// completeGated is complete for a Deployment whose pods are gated.
func (s *space) completeGated(revision int64, tag string) {
	s.t.Helper()
	s.deployment(fmt.Sprintf("complete at revision %d", revision), func(d *appsv1.Deployment) bool {
		for _, p := range s.pods(tag) {
			s.open(&p)
		}
		return isRolledOut(d, revision)
	})
}

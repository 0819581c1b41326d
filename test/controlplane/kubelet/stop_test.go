package kubelet

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
)

// A forced deletion is two watch events, the request and the end, and nothing
// says whether the pod's life goes on between them.
func TestStoppedContainerIsToldOnce(t *testing.T) {
	asked := func(w *worker) {
		pod, now, grace := w.pod.DeepCopy(), metav1.Now(), int64(0)
		pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &now, &grace
		w.observe(pod)
	}
	for name, story := range map[string][]func(*worker){
		"stopped, then gone":           {asked, (*worker).run, (*worker).removed},
		"gone before it was stopped":   {asked, (*worker).removed, (*worker).run},
		"gone, and the request unseen": {(*worker).removed, (*worker).run},
	} {
		t.Run(name, func(t *testing.T) {
			told := record.NewFakeRecorder(10)
			n := &node{ctx: t.Context(), client: fake.NewClientset(), recorder: told}
			w := newWorker(n, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}},
			})
			w.main[0].runs = 1
			w.main[0].status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
			for _, step := range story {
				step(w)
			}
			close(told.Events)
			var events []string
			for e := range told.Events {
				events = append(events, e)
			}
			if len(events) != 1 || events[0] != "Normal Killing Stopping container app" {
				t.Errorf("Events: %q", events)
			}
		})
	}
}

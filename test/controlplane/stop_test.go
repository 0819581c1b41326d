//go:build unix

package controlplane

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// everyContainerStopsInItsTurn has an app whose preStop hook takes its time, and
// a sidecar that outlives it and does not stop when asked.
func everyContainerStopsInItsTurn(t *testing.T, client kubernetes.Interface) {
	always, grace := corev1.ContainerRestartPolicyAlways, int64(4)
	pod := createPod(t, client, "stop", map[string]string{
		"kubelet.test/pre-stop.app": "1s", "kubelet.test/stop.app": "1s", "kubelet.test/stop-code.app": "143",
		"kubelet.test/stop.proxy": "1h",
	}, corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		InitContainers:                []corev1.Container{{Name: "proxy", Image: "reg.test/proxy:1", RestartPolicy: &always}},
		Containers: []corev1.Container{{
			Name: "app", Image: "reg.test/app:1",
			Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"drain"}}}},
		}},
	})
	waitReady(t, client, pod)
	asked := time.Now().Unix() // the last state's deletion is the kubelet's
	last := lastSeen(t, client, pod, metav1.DeleteOptions{})
	app, proxy := last.Status.ContainerStatuses[0].State.Terminated, last.Status.InitContainerStatuses[0].State.Terminated
	if app == nil || proxy == nil || app.ExitCode != 143 || proxy.ExitCode != 137 {
		t.Fatalf("app %+v, proxy %+v", app, proxy)
	}
	// A busy machine takes longer.
	if took := app.FinishedAt.Unix() - asked; took < 2 {
		t.Errorf("the app stopped after %d s, want 2 s", took)
	}
	if took := proxy.FinishedAt.Unix() - asked; took < grace {
		t.Errorf("the sidecar was killed after %d s, want the grace period's end", took)
	}
	if last.Status.Phase != corev1.PodFailed {
		t.Errorf("the phase is %s", last.Status.Phase)
	}
}

func forcedDeletionStillKills(t *testing.T, client kubernetes.Interface) {
	// A slow API server must not hear of the end of what takes its time to stop.
	pod := createPod(t, client, "force", map[string]string{"kubelet.test/stop": "1h"}, corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "reg.test/app:1"}}})
	waitReady(t, client, pod)
	now := int64(0)
	last := lastSeen(t, client, pod, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if last.Status.ContainerStatuses[0].State.Running == nil {
		t.Errorf("the container was reported as %+v", last.Status.ContainerStatuses[0].State)
	}
	waitEvents(t, client, pod, "Killing")
}

// lastSeen deletes a pod and returns its last state.
func lastSeen(t *testing.T, client kubernetes.Interface, pod *corev1.Pod, o metav1.DeleteOptions) *corev1.Pod {
	t.Helper()
	selector := fmt.Sprintf("metadata.name=%s", pod.Name)
	w, err := client.CoreV1().Pods(pod.Namespace).Watch(t.Context(), metav1.ListOptions{FieldSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if err := client.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, o); err != nil {
		t.Fatal(err)
	}
	for e := range w.ResultChan() {
		if e.Type == watch.Deleted {
			return e.Object.(*corev1.Pod)
		}
	}
	t.Fatal("the watch ended before the pod did")
	return nil
}

//go:build unix

package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// TestCluster plays the pods' lives on one cluster, side by side.
func TestCluster(t *testing.T) {
	cluster := StartForTest(t, Options{Nodes: []string{"node-a", "node-b"}})
	client := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
	t.Run("lives", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, kubernetes.Interface){
			"deployment": deploymentBecomesAvailable,
			"image":      missingImageIsRetriedForEver,
			"slow":       everyPhaseTakesItsTime,
			"crash":      crashingContainerBacksOff,
			"config":     missingConfigMapHoldsContainer,
			"liveness":   hangingContainerIsRestarted,
			"gate":       readinessGateHoldsPod,
			"misspelled": misspelledAnnotationIsRefused,
			"stop":       everyContainerStopsInItsTurn,
			"force":      forcedDeletionStillKills,

			"statefulset": statefulSetKeepsNames,
			"daemonset":   daemonSetRunsOnEveryNode,
			"controller":  replicationControllerReplacesPod,
			"job":         jobTriesAgainWithAnotherPod,
			"index":       jobRunsOneContainerAgain,
			"deadline":    jobRunsOutOfTime,
			"suspend":     jobIsSuspendedAndResumed,
			"cronjob":     cronJobMakesUpForTheTimeItMissed,
			"claim":       claimIsBoundForItsFirstPod,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, client)
			})
		}
		for name, test := range map[string]func(*testing.T, *ControlPlane, kubernetes.Interface){
			"cordon":  cordonIsNoted,
			"evict":   nodeEvictsPod,
			"preempt": schedulerPreemptsPod,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, cluster, client)
			})
		}
	})
	t.Run("service account", func(t *testing.T) { serviceAccountHasItsOwnRights(t, cluster) })
	t.Run("node", func(t *testing.T) {
		if err := cluster.AddNode(t.Context(), "node-c"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("stop", func(t *testing.T) {
		processes := append([]*process{}, cluster.processes...)
		if len(processes) != 4 {
			t.Fatalf("%d processes run, want 4", len(processes))
		}
		cluster.Stop()
		for _, p := range processes {
			if groupAlive(p.cmd.Process.Pid) {
				t.Errorf("%s, process %d, outlived Stop", p.name, p.cmd.Process.Pid)
			}
		}
		if _, err := os.Stat(cluster.Dir()); !os.IsNotExist(err) {
			t.Errorf("%s outlived Stop: %v", cluster.Dir(), err)
		}
	})
}

func deploymentBecomesAvailable(t *testing.T, client kubernetes.Interface) {
	replicas := int32(2)
	labels := map[string]string{"app": "web"}
	_, err := client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"kubelet.test/stop": "1500ms"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "reg.test:5000/web:1"}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "Deployment available", func() (bool, string) {
		d, err := client.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 2, fmt.Sprintf("%+v %v", d.Status, err)
	})
	pods, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil || len(pods.Items) != 2 {
		t.Fatalf("%d pods, %v", len(pods.Items), err)
	}
	pod := &pods.Items[0]
	for _, c := range []corev1.PodConditionType{
		corev1.PodScheduled, corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady,
	} {
		condition := podCondition(pod, c)
		if condition.Status != corev1.ConditionTrue || condition.Reason != "" || condition.Message != "" {
			t.Errorf("condition %s is %+v", c, condition)
		}
		if since := condition.LastTransitionTime; since.Before(&pod.CreationTimestamp) || since.After(time.Now()) {
			t.Errorf("condition %s holds since %s, the pod was created %s", c, since, pod.CreationTimestamp)
		}
	}
	if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" {
		t.Errorf("phase %q, address %q", pod.Status.Phase, pod.Status.PodIP)
	}
	events := waitEvents(t, client, pod, "Pulled", "Created", "Started")
	for reason, message := range map[string]string{
		"Pulled":  `^(Successfully pulled image "reg.test:5000/web:1" in \S+ \(\S+ including waiting\)\. Image size: \d+ bytes\.|Container image "reg.test:5000/web:1" already present on machine and can be accessed by the pod)$`,
		"Created": `^Container created$`,
		"Started": `^Container started$`,
	} {
		e := events[reason]
		if !regexp.MustCompile(message).MatchString(e.Message) {
			t.Errorf("%s says %q", reason, e.Message)
		}
		if e.InvolvedObject.FieldPath != "spec.containers{web}" || e.InvolvedObject.UID != pod.UID {
			t.Errorf("%s is about %+v", reason, e.InvolvedObject)
		}
		if e.Source.Component != "kubelet" || e.Source.Host != pod.Spec.NodeName || e.ReportingController != "kubelet" {
			t.Errorf("%s comes from %+v, %s", reason, e.Source, e.ReportingController)
		}
		_, hex, _ := strings.Cut(e.Name, pod.Name+".")
		nanos, err := strconv.ParseInt(hex, 16, 64)
		if err != nil || time.Unix(0, nanos).Unix() != e.FirstTimestamp.Unix() {
			t.Errorf("%s is named %s, and was first seen %s: %v", reason, e.Name, e.FirstTimestamp, err)
		}
	}

	// The old pod stays as long as its container takes to stop, and the new
	// one of the other pod's node is there by then.
	deleted := time.Now()
	if err := client.CoreV1().Pods("default").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitEvents(t, client, pod, "Killing")
	eventually(t, "pod gone", func() (bool, string) {
		_, err := client.CoreV1().Pods("default").Get(t.Context(), pod.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	if took := time.Since(deleted); took < 1500*time.Millisecond {
		t.Errorf("the pod was gone after %s, its container needs 1.5s to stop", took)
	}
}

func missingImageIsRetriedForEver(t *testing.T, client kubernetes.Interface) {
	pod := createPod(t, client, "image", map[string]string{"kubelet.test/back-off": "300ms"}, corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: "reg.test/app:nope"}},
	})
	eventually(t, "ImagePullBackOff, with a second pull", func() (bool, string) {
		now := getPod(t, client, pod)
		waiting := now.Status.ContainerStatuses
		if len(waiting) == 0 || waiting[0].State.Waiting == nil {
			return false, fmt.Sprintf("%+v", waiting)
		}
		pulling := podEvents(t, client, pod)["Pulling"]
		state := waiting[0].State.Waiting
		return state.Reason == "ImagePullBackOff" && strings.HasSuffix(state.Message, "reg.test/app:nope: not found") &&
			now.Status.Phase == corev1.PodPending && pulling.Count >= 2, fmt.Sprintf("%+v, %d pulls", state, pulling.Count)
	})
	waitEvents(t, client, pod, "Failed", "BackOff")
	deletePod(t, client, pod)
}

func everyPhaseTakesItsTime(t *testing.T, client kubernetes.Interface) {
	pod := createPod(t, client, "slow", map[string]string{
		"kubelet.test/pull.app": "2s", "kubelet.test/init": "1s", "kubelet.test/boot": "1500ms",
	}, corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "migrate", Image: "reg.test/migrate:1"}},
		Containers: []corev1.Container{{
			Name: "app", Image: "reg.test/slow:1",
			ReadinessProbe: &corev1.Probe{
				PeriodSeconds: 1,
				ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}},
			},
		}},
	})
	passes(t, client, pod, state{"init container reported as running", func(now *corev1.Pod) bool {
		init := now.Status.InitContainerStatuses
		return len(init) == 1 && init[0].State.Running != nil &&
			podCondition(now, corev1.PodInitialized).Reason == "ContainersNotInitialized"
	}}, state{"app reported as running, not ready", func(now *corev1.Pod) bool {
		app := now.Status.ContainerStatuses
		return len(app) == 1 && app[0].State.Running != nil && !app[0].Ready &&
			podCondition(now, corev1.PodReady).Reason == "ContainersNotReady"
	}})
	waitReady(t, client, pod)
	now := getPod(t, client, pod)
	init := now.Status.InitContainerStatuses[0]
	if done := init.State.Terminated; done == nil || done.ExitCode != 0 || done.Reason != "Completed" || !init.Ready {
		t.Errorf("init container: %+v", init)
	}
	events := waitEvents(t, client, pod, "Pulled", "Unhealthy")
	took := regexp.MustCompile(`in (\S+) \(`).FindStringSubmatch(events["Pulled"].Message)
	if took == nil {
		t.Fatalf("Pulled says %q", events["Pulled"].Message)
	}
	if d, err := time.ParseDuration(took[1]); err != nil || d < 2*time.Second {
		t.Errorf("the pull took %s, %v", d, err)
	}
	if m := events["Unhealthy"].Message; m != "Readiness probe failed: HTTP probe failed with statuscode: 503" {
		t.Errorf("Unhealthy says %q", m)
	}
	ready := podCondition(now, corev1.PodReady).LastTransitionTime
	if total := ready.Sub(now.CreationTimestamp.Time); total < 4*time.Second {
		t.Errorf("ready %s after its creation, want at least 1s + 2s + 1.5s, less what seconds hide", total)
	}
	deletePod(t, client, pod)
}

func crashingContainerBacksOff(t *testing.T, client kubernetes.Interface) {
	pod := createPod(t, client, "crash", map[string]string{
		"kubelet.test/run": "100ms", "kubelet.test/exit-code": "137", "kubelet.test/exit-reason": "OOMKilled", "kubelet.test/back-off": "1s",
	}, corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "reg.test/crash:1"}}})
	eventually(t, "CrashLoopBackOff after two restarts", func() (bool, string) {
		now := getPod(t, client, pod)
		if len(now.Status.ContainerStatuses) == 0 {
			return false, "no status"
		}
		s := now.Status.ContainerStatuses[0]
		last := s.LastTerminationState.Terminated
		return s.State.Waiting != nil && s.State.Waiting.Reason == "CrashLoopBackOff" && s.RestartCount >= 2 &&
			last != nil && last.ExitCode == 137 && last.Reason == "OOMKilled" && now.Status.Phase == corev1.PodRunning, fmt.Sprintf("%+v", s)
	})
	waitEvents(t, client, pod, "BackOff")
	// The recorder is not as fast as the status.
	eventually(t, "one Event Started, counted at least 3 times", func() (bool, string) {
		count := podEvents(t, client, pod)["Started"].Count
		return count >= 3, fmt.Sprintf("counted %d times", count)
	})
	deletePod(t, client, pod)
}

func missingConfigMapHoldsContainer(t *testing.T, client kubernetes.Interface) {
	pod := createPod(t, client, "config", map[string]string{"kubelet.test/back-off": "300ms"}, corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "app", Image: "reg.test/config:1",
			EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}}}},
		}},
	})
	eventually(t, "CreateContainerConfigError", func() (bool, string) {
		now := getPod(t, client, pod)
		if len(now.Status.ContainerStatuses) == 0 || now.Status.ContainerStatuses[0].State.Waiting == nil {
			return false, "no waiting state"
		}
		w := now.Status.ContainerStatuses[0].State.Waiting
		return w.Reason == "CreateContainerConfigError" && w.Message == `configmap "late" not found`, w.Reason
	})
	_, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "late"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waitReady(t, client, pod)
	deletePod(t, client, pod)
}

func hangingContainerIsRestarted(t *testing.T, client kubernetes.Interface) {
	pod := createPod(t, client, "liveness", map[string]string{"kubelet.test/hang": "100ms"}, corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "app", Image: "reg.test/live:1",
			LivenessProbe: &corev1.Probe{
				PeriodSeconds: 1, FailureThreshold: 1,
				ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}},
			},
		}},
	})
	eventually(t, "a restart", func() (bool, string) {
		now := getPod(t, client, pod)
		return len(now.Status.ContainerStatuses) == 1 && now.Status.ContainerStatuses[0].RestartCount >= 1, fmt.Sprintf("%+v", now.Status)
	})
	events := waitEvents(t, client, pod, "Unhealthy", "Killing")
	if m := events["Killing"].Message; m != "Container app failed liveness probe, will be restarted" {
		t.Errorf("Killing says %q", m)
	}
	deletePod(t, client, pod)
}

func readinessGateHoldsPod(t *testing.T, client kubernetes.Interface) {
	pod := createPod(t, client, "gate", nil, corev1.PodSpec{
		Containers:     []corev1.Container{{Name: "app", Image: "reg.test/gate:1"}},
		ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "example.test/traffic"}},
	})
	eventually(t, "containers ready, pod not", func() (bool, string) {
		now := getPod(t, client, pod)
		return podCondition(now, corev1.ContainersReady).Status == corev1.ConditionTrue &&
			podCondition(now, corev1.PodReady).Reason == "ReadinessGatesNotReady", fmt.Sprintf("%+v", now.Status.Conditions)
	})
	met := []byte(`{"status":{"conditions":[{"type":"example.test/traffic","status":"True"}]}}`)
	if _, err := client.CoreV1().Pods("default").Patch(t.Context(), pod.Name, types.StrategicMergePatchType, met, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	waitReady(t, client, pod)
	deletePod(t, client, pod)
}

func misspelledAnnotationIsRefused(t *testing.T, client kubernetes.Interface) {
	pod := createPod(t, client, "misspelled", map[string]string{"kubelet.test/bot": "1s"}, corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: "reg.test/app:1"}},
	})
	eventually(t, "pod refused", func() (bool, string) {
		now := getPod(t, client, pod)
		return now.Status.Phase == corev1.PodFailed && strings.Contains(now.Status.Message, "kubelet.test/bot is unknown"), now.Status.Message
	})
	deletePod(t, client, pod)
}

func serviceAccountHasItsOwnRights(t *testing.T, cluster *ControlPlane) {
	path, err := cluster.KubeconfigFor(t.Context(), "default", "default")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	_, err = client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:serviceaccount:default:default") {
		t.Errorf("the default ServiceAccount lists pods: %v", err)
	}
}

func TestBootFailureNamesComponent(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(t.Context(), Options{Dir: dir, Progress: os.Stderr, SchedulerArgs: []string{"--no-such-flag"}})
	if err == nil {
		t.Fatal("a scheduler with an unknown flag started")
	}
	for _, want := range []string{"kube-scheduler", "unknown flag: --no-such-flag", filepath.Join(dir, "kube-scheduler.log")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error: %v", want, err)
		}
	}
}

func createPod(t *testing.T, client kubernetes.Interface, name string, annotations map[string]string, spec corev1.PodSpec) *corev1.Pod {
	t.Helper()
	pod, err := client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}, Spec: spec,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

func deletePod(t *testing.T, client kubernetes.Interface, pod *corev1.Pod) {
	t.Helper()
	if err := client.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "pod "+pod.Name+" gone", func() (bool, string) {
		_, err := client.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
}

func getPod(t *testing.T, client kubernetes.Interface, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	now, err := client.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func waitReady(t *testing.T, client kubernetes.Interface, pod *corev1.Pod) {
	t.Helper()
	eventually(t, "pod "+pod.Name+" ready", func() (bool, string) {
		now := getPod(t, client, pod)
		return podCondition(now, corev1.PodReady).Status == corev1.ConditionTrue, fmt.Sprintf("%+v", now.Status)
	})
}

// A state is one that a pod goes through.
type state struct {
	what string
	is   func(*corev1.Pod) bool
}

// passes waits until a pod that was just created has gone through these states, in
// this order. It sees them all, where asking now and then would miss what does not
// last.
func passes(t *testing.T, client kubernetes.Interface, pod *corev1.Pod, states ...state) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, err := client.CoreV1().Pods(pod.Namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + pod.Name, ResourceVersion: pod.ResourceVersion,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if now, ok := e.Object.(*corev1.Pod); ok && states[0].is(now) {
			if states = states[1:]; len(states) == 0 {
				return
			}
		}
	}
	t.Fatalf("pod %s: never seen: %s", pod.Name, states[0].what)
}

func podCondition(pod *corev1.Pod, t corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == t {
			return c
		}
	}
	return corev1.PodCondition{}
}

// podEvents are the pod's Events by reason; of several with one reason it is
// the latest.
func podEvents(t *testing.T, client kubernetes.Interface, pod *corev1.Pod) map[string]corev1.Event {
	t.Helper()
	list, err := client.CoreV1().Events(pod.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(pod.UID)})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]corev1.Event{}
	for _, e := range list.Items {
		if old, ok := out[e.Reason]; !ok || old.Name < e.Name {
			out[e.Reason] = e
		}
	}
	return out
}

func waitEvents(t *testing.T, client kubernetes.Interface, pod *corev1.Pod, reasons ...string) map[string]corev1.Event {
	t.Helper()
	var events map[string]corev1.Event
	eventually(t, fmt.Sprintf("Events %v of pod %s", reasons, pod.Name), func() (bool, string) {
		events = podEvents(t, client, pod)
		for _, r := range reasons {
			if _, ok := events[r]; !ok {
				return false, r + " is missing"
			}
		}
		return true, ""
	})
	return events
}

// patience is how long tests wait for what must come.
const patience = 5 * time.Minute

// eventually polls until done is true; what done says of the state is shown if
// that never happens.
func eventually(t *testing.T, what string, done func() (ok bool, state string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var state string
	err := poll(ctx, 100*time.Millisecond, func() (ok bool, _ error) {
		ok, state = done()
		return ok, nil
	})
	if err != nil {
		t.Fatalf("%s: %v; last seen: %s", what, err, state)
	}
}

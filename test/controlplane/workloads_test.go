//go:build unix

package controlplane

import (
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

func statefulSetKeepsNames(t *testing.T, client kubernetes.Interface) {
	replicas := int32(2)
	_, err := client.AppsV1().StatefulSets("default").Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Selector: selector("db"),
			Template: template("db", corev1.RestartPolicyAlways, nil),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ready := func(pods []corev1.Pod) bool {
		return len(pods) == 2 && !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return podCondition(&p, corev1.PodReady).Status != corev1.ConditionTrue
		})
	}
	before := waitPods(t, client, "db", ready)
	deletePodOnly(t, client, "db-1")
	after := waitPods(t, client, "db", func(pods []corev1.Pod) bool { return ready(pods) && pods[1].UID != before[1].UID })
	if before[1].Name != "db-1" || after[1].Name != "db-1" {
		t.Errorf("the second pod was %s and is %s", before[1].Name, after[1].Name)
	}
}

func daemonSetRunsOnEveryNode(t *testing.T, client kubernetes.Interface) {
	_, err := client.AppsV1().DaemonSets("default").Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Spec:       appsv1.DaemonSetSpec{Selector: selector("agent"), Template: template("agent", corev1.RestartPolicyAlways, nil)},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// Those of the other tests that are reserved are not for it.
	eventually(t, "DaemonSet available on two nodes", func() (bool, string) {
		d, err := client.AppsV1().DaemonSets("default").Get(t.Context(), "agent", metav1.GetOptions{})
		return err == nil && d.Status.NumberAvailable == 2 && d.Status.DesiredNumberScheduled == 2, fmt.Sprintf("%+v %v", d.Status, err)
	})
}

func replicationControllerReplacesPod(t *testing.T, client kubernetes.Interface) {
	one, pod := int32(1), template("old", corev1.RestartPolicyAlways, nil)
	_, err := client.CoreV1().ReplicationControllers("default").Create(t.Context(), &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: "old"},
		Spec:       corev1.ReplicationControllerSpec{Replicas: &one, Template: &pod},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	running := func(p corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil }
	first := waitPods(t, client, "old", func(pods []corev1.Pod) bool { return slices.ContainsFunc(pods, running) })
	deletePodOnly(t, client, first[0].Name)
	waitPods(t, client, "old", func(pods []corev1.Pod) bool {
		return slices.ContainsFunc(pods, func(p corev1.Pod) bool { return running(p) && p.UID != first[0].UID })
	})
}

func jobTriesAgainWithAnotherPod(t *testing.T, client kubernetes.Interface) {
	createJob(t, client, "retry", batchv1.JobSpec{Template: template("retry", corev1.RestartPolicyNever, map[string]string{
		"kubelet.test/run": "200ms", "kubelet.test/exit-code": "3", "kubelet.test/failures": "1",
	})})
	waitJob(t, client, "retry", batchv1.JobComplete, "")
	pods := waitPods(t, client, "retry", func(pods []corev1.Pod) bool { return len(pods) == 2 })
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	for i, want := range []struct {
		phase corev1.PodPhase
		code  int32
	}{{corev1.PodFailed, 3}, {corev1.PodSucceeded, 0}} {
		status := pods[i].Status
		if ended := status.ContainerStatuses[0].State.Terminated; status.Phase != want.phase || ended == nil || ended.ExitCode != want.code {
			t.Errorf("pod %d of the Job: %s, %+v, want %+v", i, status.Phase, ended, want)
		}
	}
}

func jobRunsOneContainerAgain(t *testing.T, client kubernetes.Interface) {
	two, indexed := int32(2), batchv1.IndexedCompletion
	createJob(t, client, "indexed", batchv1.JobSpec{
		Completions: &two, Parallelism: &two, CompletionMode: &indexed,
		Template: template("indexed", corev1.RestartPolicyOnFailure, map[string]string{
			"kubelet.test/run": "100ms", "kubelet.test/exit-code": "1", "kubelet.test/failures": "3", "kubelet.test/back-off": "200ms",
		}),
	})
	waitJob(t, client, "indexed", batchv1.JobComplete, "")
	restarts := int32(0)
	for _, p := range waitPods(t, client, "indexed", func(pods []corev1.Pod) bool { return len(pods) == 2 }) {
		restarts += p.Status.ContainerStatuses[0].RestartCount
		if _, ok := p.Annotations[batchv1.JobCompletionIndexAnnotation]; !ok {
			t.Errorf("pod %s has no index", p.Name)
		}
	}
	if restarts != 3 {
		t.Errorf("the containers were restarted %d times, want once a failure", restarts)
	}
}

func jobRunsOutOfTime(t *testing.T, client kubernetes.Interface) {
	one := int64(1)
	createJob(t, client, "late", batchv1.JobSpec{
		ActiveDeadlineSeconds: &one,
		Template: template("late", corev1.RestartPolicyNever, map[string]string{
			"kubelet.test/run": "1h", "kubelet.test/stop-code": "143",
		}),
	})
	waitJob(t, client, "late", batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded)
}

func jobIsSuspendedAndResumed(t *testing.T, client kubernetes.Interface) {
	// The first pod runs until it is stopped, the second one for a moment.
	createJob(t, client, "pause", batchv1.JobSpec{Template: template("pause", corev1.RestartPolicyNever, map[string]string{"kubelet.test/run": "1h"})})
	waitPods(t, client, "pause", func(pods []corev1.Pod) bool { return len(pods) == 1 && pods[0].Status.Phase == corev1.PodRunning })
	patch := func(patch string) {
		if _, err := client.BatchV1().Jobs("default").Patch(t.Context(), "pause", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patch(`{"spec":{"suspend":true}}`)
	waitJob(t, client, "pause", batchv1.JobSuspended, "JobSuspended")
	waitPods(t, client, "pause", func(pods []corev1.Pod) bool { return len(pods) == 0 })
	eventually(t, "suspended Job without active pods", func() (bool, string) {
		job, err := client.BatchV1().Jobs("default").Get(t.Context(), "pause", metav1.GetOptions{})
		return err == nil && job.Status.Active == 0, fmt.Sprintf("%+v %v", job.Status, err)
	})
	patch(`{"spec":{"suspend":false,"template":{"metadata":{"annotations":{"kubelet.test/run":"100ms"}}}}}`)
	waitJob(t, client, "pause", batchv1.JobComplete, "")
}

// cronJobMakesUpForTheTimeItMissed spares the test the wait for a full minute.
func cronJobMakesUpForTheTimeItMissed(t *testing.T, client kubernetes.Interface) {
	utc, suspended := "Etc/UTC", true
	missed := time.Now().UTC().Truncate(time.Minute)
	cronJobs := client.BatchV1().CronJobs("default")
	_, err := cronJobs.Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "tick"},
		Spec: batchv1.CronJobSpec{
			Schedule: fmt.Sprintf("%d %d * * *", missed.Minute(), missed.Hour()), TimeZone: &utc, Suspend: &suspended,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template("tick", corev1.RestartPolicyNever, nil)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	last := fmt.Appendf(nil, `{"status":{"lastScheduleTime":%q}}`, missed.Add(-24*time.Hour).Format(time.RFC3339))
	if _, err := cronJobs.Patch(t.Context(), "tick", types.MergePatchType, last, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	if _, err := cronJobs.Patch(t.Context(), "tick", types.MergePatchType, []byte(`{"spec":{"suspend":false}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	waitJob(t, client, fmt.Sprintf("tick-%d", missed.Unix()/60), batchv1.JobComplete, "")
}

// claimIsBoundForItsFirstPod plays the provisioner that the claim's class names.
func claimIsBoundForItsFirstPod(t *testing.T, client kubernetes.Interface) {
	class := "slow"
	if err := AddStorageClass(t.Context(), client, class, storagev1.VolumeBindingWaitForFirstConsumer); err != nil {
		t.Fatal(err)
	}
	claim, err := client.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := createPod(t, client, "stateful", nil, corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: "reg.test/app:1"}},
		Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name},
		}}},
	})
	if err := Provision(t.Context(), client, claim, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	waitReady(t, client, pod)
	deletePod(t, client, pod)
}

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func template(app string, policy corev1.RestartPolicy, annotations map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}, Annotations: annotations},
		Spec: corev1.PodSpec{
			RestartPolicy: policy,
			Containers:    []corev1.Container{{Name: "app", Image: "reg.test/" + app + ":1"}},
		},
	}
}

func createJob(t *testing.T, client kubernetes.Interface, name string, spec batchv1.JobSpec) {
	t.Helper()
	_, err := client.BatchV1().Jobs("default").Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// waitJob waits until the Job has the condition, for that reason if one is
// given.
func waitJob(t *testing.T, client kubernetes.Interface, name string, condition batchv1.JobConditionType, reason string) {
	t.Helper()
	eventually(t, fmt.Sprintf("Job %s %s", name, condition), func() (bool, string) {
		job, err := client.BatchV1().Jobs("default").Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
			return c.Type == condition && c.Status == corev1.ConditionTrue && (reason == "" || c.Reason == reason)
		}), fmt.Sprintf("%+v %v", job.Status, err)
	})
}

// waitPods waits until the app's pods are as they should be, and returns them
// by name.
func waitPods(t *testing.T, client kubernetes.Interface, app string, wanted func([]corev1.Pod) bool) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	eventually(t, "pods of "+app, func() (bool, string) {
		list, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
		pods = list.Items
		return err == nil && wanted(pods), fmt.Sprintf("%d pods, %v", len(pods), err)
	})
	return pods
}

func deletePodOnly(t *testing.T, client kubernetes.Interface, name string) {
	t.Helper()
	if err := client.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

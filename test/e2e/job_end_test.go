package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestJobStopsTheOtherPod has a Job that fails because one of its two pods is
// evicted. The controller stops the other, which has nothing to do with it.
func TestJobStopsTheOtherPod(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	never, two, indexed := int32(0), int32(2), batchv1.IndexedCompletion
	made := s.job(app{life: map[string]string{"run": "1h", "stop": "1s", "stop-code": "143"}}, func(spec *batchv1.JobSpec) {
		spec.BackoffLimit, spec.CompletionMode = &never, &indexed
		spec.Completions, spec.Parallelism = &two, &two
	})
	s.waits(job, "jsonpath={.status.ready}=2")
	victim := s.pods("1")[0]
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: s.name, Name: victim.Name}}
	if err := s.client.PolicyV1().Evictions(s.name).Evict(t.Context(), eviction); err != nil {
		t.Fatal(err)
	}
	s.waits(job, "condition=Failed")
	run := s.trace(jobRun, "k8s.job.uid", string(made.UID))
	s.has(run.Root(), map[string]any{"rollspan.outcome": "failed", "error.type": "BackoffLimitExceeded"})
	if got, want := run.Root().Status.Message, "1 of 2 pods: EvictionByEvictionAPI (BackoffLimitExceeded)"; got != want {
		t.Errorf("the root says\n%q, want\n%q", got, want)
	}
	indexes := map[string]bool{}
	for _, pod := range named(run, "Pod run") {
		indexes[fmt.Sprint(pod.Resource["rollspan.job.completion_index"])] = true
		isVictim, failed := pod.Resource["k8s.pod.name"] == victim.Name, pod.Status.Code == statusError
		if isVictim != failed {
			t.Errorf("the pod was evicted: %t, its run is an error: %t", isVictim, failed)
		}
	}
	if !indexes["0"] || !indexes["1"] || len(indexes) != 2 {
		t.Errorf("the completion indexes are %v", indexes)
	}
	stops := named(run, "Pod stop")
	if len(stops) != 2 || !slices.ContainsFunc(stops, func(s *controlplane.Span) bool { return s.Attributes["rollspan.critical"] == true }) {
		t.Errorf("of %d pods that stop none was waited for, want 2 of which one was", len(stops))
	}
	s.podsExplained()
}

// TestJobRestartsTooOften has a container that runs out of memory, and runs again
// when the controller stops its pod for that.
func TestJobRestartsTooOften(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	once := int32(1)
	made := s.job(app{policy: "OnFailure", life: map[string]string{
		"run": "1s", "exit-code": "137", "exit-reason": "OOMKilled", "back-off": "1s",
	}}, func(spec *batchv1.JobSpec) { spec.BackoffLimit = &once })
	s.waits(job, "condition=Failed")
	run := s.trace(jobRun, "k8s.job.uid", string(made.UID))
	s.under(run, "Pod run ERROR", "Pod stop")
	// On a slow machine it may have run out of memory again by then, and wait.
	const want = "1 of 1 pods: OOMKilled: exit code 137 (BackoffLimitExceeded)"
	const waits = "1 of 1 pods: CrashLoopBackOff: OOMKilled, exit code 137 (BackoffLimitExceeded)"
	if got := run.Root().Status.Message; got != want && got != waits {
		t.Errorf("the root says\n%q, want\n%q", got, want)
	}
	s.podsExplained()
}

// TestJobWithoutQuota has a Job whose pods the API server does not let be created.
func TestJobWithoutQuota(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.kubectlRun("create", "quota", "none", "--hard=pods=0")
	s.eventually("no pod may be created", func() error {
		template := s.template(app{})
		_, err := s.client.CoreV1().Pods(s.name).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "refused-"}, Spec: template.Spec,
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		switch {
		case apierrors.IsForbidden(err):
			return nil
		case err == nil:
			return errors.New("one may")
		}
		return err
	})
	made := s.job(app{}, nil)
	s.eventually("the controller is refused a pod", func() error {
		if have := reasons(s.events()); !slices.Contains(have, "FailedCreate") {
			return fmt.Errorf("the Events are %v", have)
		}
		return nil
	})
	s.jobTimesOut()
	s.waits(job, "condition=Failed")
	run := s.trace(jobRun, "k8s.job.uid", string(made.UID))
	if got := run.Root().Status.Message; !strings.HasPrefix(got, "pods not created: FailedCreate: exceeded quota: none") || !strings.HasSuffix(got, "(DeadlineExceeded)") {
		t.Errorf("the root says %q", got)
	}
}

// TestJobBesideSchedule has one that is made by hand from a CronJob.
func TestJobBesideSchedule(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	suspended := true
	cron, err := s.client.BatchV1().CronJobs(s.name).Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: app{}.meta(),
		Spec: batchv1.CronJobSpec{
			Schedule: "0 0 1 1 *", Suspend: &suspended,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: s.template(app{policy: "Never"})}},
		},
	}, metav1.CreateOptions{})
	cron = created(s, cron, err)
	s.kubectlRun("create", "job", "by-hand", "--from=cronjob/"+appName)
	s.waits("job/by-hand", "condition=Complete")
	events := s.events()
	run := s.trace(jobRun, "k8s.job.name", "by-hand")
	s.has(run.Root(), map[string]any{
		"k8s.cronjob.name": appName, "k8s.cronjob.uid": cron.UID, "rollspan.cause": "manual", "rollspan.manager.name": "kubectl-create",
	})
	s.eventsOnce(events, run)
	s.podsExplained()
}

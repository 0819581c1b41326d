package e2e

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	jobRun = "Job run"
	job    = "job/" + appName
)

// TestJob has a Job whose first pod fails, and whose second does not.
func TestJob(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	made := s.job(app{life: map[string]string{"run": "3s", "exit-code": "3", "failures": "1"}}, nil)
	s.waits(job, "condition=Complete")
	events := s.events()
	run := s.trace(jobRun, "k8s.job.uid", string(made.UID))
	const pod = `
		    schedule
		    prepare sandbox
		    container%[1]s
		      pull image
		      start container
		      run container%[1]s`
	s.outlined(run, `
		Job run
		  Pod run ERROR`+fmt.Sprintf(pod, " ERROR")+`
		  Pod run`+fmt.Sprintf(pod, ""))
	s.has(run.Root(), map[string]any{
		"k8s.job.name": appName, "rollspan.change": "job", "rollspan.outcome": "complete", "rollspan.cause": "create",
		"rollspan.manager.name": creator, "rollspan.images.after": []any{s.image("1")},
	})
	for i, code := range []int{3, 0} {
		program := named(run, "run container")[i]
		s.has(program, map[string]any{"process.exit.code": code})
		s.lasts(program, 3*time.Second)
	}
	s.has(named(run, "Pod run")[0], map[string]any{"error.type": "Error"})
	s.eventsOnce(events, run)

	s.kubectlRun("delete", job)
	s.trace("Job delete", "k8s.job.uid", string(made.UID))
	s.podsExplained()
}

// TestJobRunsAgainInOnePod has a container that fails twice, with a back-off
// before its third run.
func TestJobRunsAgainInOnePod(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	made := s.job(app{policy: "OnFailure", life: map[string]string{
		"run": "1s", "exit-code": "3", "failures": "2", "back-off": "2s",
	}}, nil)
	s.waits(job, "condition=Complete")
	run := s.trace(jobRun, "k8s.job.uid", string(made.UID))
	s.under(run, "Pod run")
	runs := named(run, "run container")
	if len(runs) != 3 {
		t.Fatalf("%d runs, want 3", len(runs))
	}
	for i, code := range []int{3, 3, 0} {
		s.has(runs[i], map[string]any{"process.exit.code": code})
	}
	waits := named(run, "back off")
	if len(waits) != 2 {
		t.Fatalf("%d times it waited to run again, want 2", len(waits))
	}
	// The first time it runs again at once, and nobody says that it waits.
	s.has(waits[0], map[string]any{"rollspan.waiting.reason": nil})
	s.has(waits[1], map[string]any{"rollspan.waiting.reason": "CrashLoopBackOff"})
	s.podsExplained()
}

// TestJobFailed has a Job that fails too often.
func TestJobFailed(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	never := int32(0)
	made := s.job(app{life: map[string]string{"exit-code": "7"}}, func(spec *batchv1.JobSpec) { spec.BackoffLimit = &never })
	s.waits(job, "condition=Failed")
	run := s.trace(jobRun, "k8s.job.uid", string(made.UID))
	s.under(run, "Pod run ERROR")
	s.has(run.Root(), map[string]any{"rollspan.outcome": "failed", "error.type": "BackoffLimitExceeded"})
	if got, want := run.Root().Status.Message, "1 of 1 pods: Error: exit code 7 (BackoffLimitExceeded)"; got != want {
		t.Errorf("the root says\n%q, want\n%q", got, want)
	}
	s.podsExplained()
}

// TestJobOutOfTime has two pods that would go on for ever. They are stopped when
// the Job's time is up.
func TestJobOutOfTime(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	two, indexed := int32(2), batchv1.IndexedCompletion
	made := s.job(app{life: map[string]string{"run": "1h", "stop": "1s", "stop-code": "143"}}, func(spec *batchv1.JobSpec) {
		spec.CompletionMode, spec.Completions, spec.Parallelism = &indexed, &two, &two
	})
	s.waits(job, "jsonpath={.status.ready}=2")
	s.jobTimesOut()
	s.waits(job, "condition=Failed")
	run := s.trace(jobRun, "k8s.job.uid", string(made.UID))
	s.has(run.Root(), map[string]any{"rollspan.outcome": "failed", "error.type": "DeadlineExceeded"})
	if runs, stops := len(named(run, "Pod run")), len(named(run, "Pod stop")); runs != 2 || stops != 2 {
		t.Errorf("%d pods run and %d stop, want 2 and 2", runs, stops)
	}
	s.podsExplained()
}

// jobTimesOut has the time of a Job be up that is as far as the test wants it to be.
func (s *space) jobTimesOut() {
	s.t.Helper()
	s.kubectlRun("patch", job, "--type=merge", `--patch={"spec":{"activeDeadlineSeconds":1}}`)
}

// TestJobSuspended has a Job that is suspended in the middle, and resumed.
func TestJobSuspended(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.job(app{life: map[string]string{"run": "30s"}}, nil) // longer than it takes to suspend it
	s.waits(job, "jsonpath={.status.ready}=1")
	suspend := func(is bool) {
		s.kubectlRun("patch", job, "--type=merge", fmt.Sprintf(`--patch={"spec":{"suspend":%t}}`, is))
	}
	suspend(true)
	s.waits(job, "condition=Suspended")
	first := s.trace(jobRun, "rollspan.outcome", "suspended")
	if first.Root().Status.Code == statusError {
		t.Errorf("to be suspended is no error: %+v", first.Root().Status)
	}
	suspend(false)
	s.waits(job, "condition=Complete")
	second := s.trace(jobRun, "rollspan.outcome", "complete")
	s.under(second, "Pod run")
	s.has(second.Root(), map[string]any{"rollspan.cause": "resume", "rollspan.manager.name": "kubectl-patch"})
	if second.ID == first.ID {
		t.Error("both runs have one trace")
	}
	s.podsExplained()
}

// TestCronJob has one that was suspended over its time, so that its Job is made
// when it is resumed.
func TestCronJob(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	utc, suspended, due := "Etc/UTC", true, time.Now().UTC().Truncate(time.Minute)
	cronJobs := s.client.BatchV1().CronJobs(s.name)
	cron, err := cronJobs.Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: app{}.meta(),
		Spec: batchv1.CronJobSpec{
			Schedule: fmt.Sprintf("%d %d * * *", due.Minute(), due.Hour()), TimeZone: &utc, Suspend: &suspended,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: s.template(app{policy: "Never"})}},
		},
	}, asCreator)
	cron = created(s, cron, err)
	cron.Status.LastScheduleTime = &metav1.Time{Time: due.Add(-24 * time.Hour)}
	_, err = cronJobs.UpdateStatus(t.Context(), cron, metav1.UpdateOptions{})
	created(s, cron, err)
	s.kubectlRun("patch", "cronjob/"+appName, "--type=merge", `--patch={"spec":{"suspend":false}}`)

	schedule := s.trace("CronJob schedule", "k8s.cronjob.uid", string(cron.UID))
	s.has(schedule.Root(), map[string]any{"k8s.cronjob.name": appName, "rollspan.change": "schedule", "rollspan.outcome": "complete"})
	if !schedule.Root().Start.Equal(due) {
		t.Errorf("the Job was due at %s, the trace begins at %s", due, schedule.Root().Start)
	}
	run := s.trace(jobRun, "k8s.cronjob.uid", string(cron.UID))
	s.has(run.Root(), map[string]any{
		"k8s.job.name": fmt.Sprintf("%s-%d", appName, due.Unix()/60), "k8s.cronjob.name": appName,
		"rollspan.cause": "schedule", "rollspan.owners": []any{"CronJob.batch/" + appName},
	})
	s.links(run, "caused_by", schedule)
	if made := schedule.Root().End; made.After(run.Root().Start) {
		t.Errorf("the Job was made at %s, and ran from %s", made, run.Root().Start)
	}
	s.podsExplained()
}

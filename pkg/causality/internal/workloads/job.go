package workloads

import (
	"strconv"
	"strings"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindJob = "Job"

// JobController is the Job controller.
var JobController = Controller{
	GroupVersionKind: batchv1.SchemeGroupVersion.WithKind(kindJob),
	service:          attr.ServiceJob,
	nameKey:          semconv.K8SJobNameKey,
	uidKey:           semconv.K8SJobUIDKey,
	labelKey:         semconv.K8SJobLabel,
	annotationKey:    semconv.K8SJobAnnotation,
	Replaces:         NeverReplaced,
	named:            namedAnew,
	FreedBy:          FreedWhenEnded,
	FixedTemplate:    true,
	Template:         templateIn(func(in *batchv1.Job) *corev1.PodTemplateSpec { return &in.Spec.Template }),
}

// cronTrigger is the CronJob, and the time of its schedule, that made a Job.
type cronTrigger struct {
	ID   kube.ObjectID
	Name string
	// At is the scheduled time, a whole second; zero if the Job is for none.
	At   time.Time
	Made evidence.Moment // creation of the Job

	Ledger ledger.Schedule
}

// ObserveSuspended notes whether the Job is suspended, and whether it is over.
func (w *Workload) ObserveSuspended(suspended, over bool) {
	w.toResume = suspended && !over && w.Current() == nil
}

// OpenRun notes that the Job is to run.
func (w *Workload) OpenRun(in *batchv1.Job, write evidence.Write, o stream.Observation, created evidence.Moment) {
	if c := w.Current(); c != nil && !c.Ended {
		w.noteResume(c, in)
		return
	}
	w.created = in.CreationTimestamp.Time
	who := kube.Writer(in.ManagedFields, true, w.Writers)
	arrival := o.Arrival()
	c := w.Offer(&Change{
		Kind:        attr.ChangeJob,
		Opened:      write,
		Start:       created,
		generation:  in.Generation,
		Cause:       attr.CauseCreate,
		Manager:     who.Manager,
		ImagesAfter: kube.TemplateImages(&in.Spec.Template),
	})
	c.ObserveRun(in, write, arrival, o.Time)
	switch {
	case w.Seen:
		// It was suspended until now.
		c.before = in.Status.Succeeded
		who := kube.WriterOf(in.ManagedFields, `"f:suspend"`, w.Writers)
		c.Cause, c.Manager = attr.CauseResume, who.Manager
		c.Start = kube.WrittenAt(who, time.Time{}, arrival, write.Arrival)
		if at := JobResumedAt(in); o.Inferred && !at.IsZero() {
			c.Start = evidence.InSecond(at, time.Time{}) // who wrote it may have written since
			w.datedLate = c
		}
	case !JobResumedAt(in).IsZero():
		c.Cause, c.Start = attr.CauseResume, evidence.InSecond(JobResumedAt(in), time.Time{})
		w.datedLate = c
	case in.Annotations[instantiated] != "":
		c.Cause = attr.CauseManual
	case w.CronJob != nil:
		c.Cause = attr.CauseSchedule
	}
	if o.Initial || !w.Seen && in.Status.StartTime != nil {
		c.Opened = evidence.Write{Arrival: c.Start.Earliest}
	}
	w.noteResume(c, in)
	w.Begin(c)
}

// OpenMissed opens the run of a Job that is over when it is first seen, and was not there when the watch began:
// all of it was while the watch was down.
func (w *Workload) OpenMissed(in *batchv1.Job, write evidence.Write, o stream.Observation, created evidence.Moment) {
	if o.Type == watch.Added && !o.Initial && !w.Seen {
		w.OpenRun(in, write, o, created)
	}
}

// JobResumedAt is when the controller says that it resumed the Job, zero if it does not.
func JobResumedAt(in *batchv1.Job) time.Time {
	if c := JobCondition(in, batchv1.JobSuspended); c != nil && c.Status == corev1.ConditionFalse {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

// noteResume takes in when the controller resumed a run, which tells it from others.
// A Job that was suspended for so short a time that the controller did not see it
// still states when it was resumed before.
func (w *Workload) noteResume(c *Change, in *batchv1.Job) {
	if at := JobResumedAt(in); !at.IsZero() && c.Resumed.IsZero() && !at.Equal(w.Resumed) {
		c.Resumed, w.Resumed = at, at
	}
}

// scheduledTime is where the CronJob controller says what time a Job is for
// (batch/v1, CronJobScheduledTimestampAnnotation, since 1.32 stable).
const (
	scheduledTime = "batch.kubernetes.io/cronjob-scheduled-timestamp"
	// instantiated is what `kubectl create job --from` writes.
	instantiated = "cronjob.kubernetes.io/instantiate"
)

// ObserveCronJob notes which CronJob the Job is of, and which time of its
// schedule it is for.
func (w *Workload) ObserveCronJob(in *batchv1.Job, made evidence.Moment) {
	if ref := kube.ControllerRef(in); kube.IsBuiltIn(ref, kube.KindCronJob) {
		w.CronJob = &cronTrigger{ID: kube.NewOwnerRef(ref).In(in.Namespace), Name: ref.Name, At: scheduledAt(in, ref.Name), Made: made}
	}
}

// JobNamed finds the Job of a name.
func JobNamed(namespace, name string) kube.NameKey {
	return kube.NameKey{Kind: kindJob, Namespace: namespace, Name: name}
}

// scheduledAt is the time of a CronJob's schedule that a Job is for, zero if it
// is for none, or not known. Older controllers do not say; they end the Job's name
// in the minute since 1970.
func scheduledAt(in *batchv1.Job, cronJob string) time.Time {
	if in.Annotations[instantiated] != "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, in.Annotations[scheduledTime])
	if err != nil {
		minute, err := strconv.ParseInt(strings.TrimPrefix(in.Name, cronJob+"-"), 10, 64)
		at = time.Unix(minute*60, 0)
		if err != nil || at.After(in.CreationTimestamp.Time) || !recentlyScheduled(at, in.CreationTimestamp.Time) {
			return time.Time{}
		}
	}
	return at.UTC()
}

// recentlyScheduled keeps names that happen to end in a number from being
// taken for a time: the controller makes up for at most the last of the
// schedules that it missed, and nothing is a year late.
func recentlyScheduled(at, created time.Time) bool { return at.After(created.AddDate(-1, 0, 0)) }

// EndRun notes that the Job's run has ended, as the condition done says.
func (w *Workload) EndRun(in *batchv1.Job, done *batchv1.JobCondition, write evidence.Write, arrival, seen time.Time) {
	c := w.Current()
	if c == nil || c.Ended {
		return
	}
	w.noteResume(c, in)
	at := evidence.InSecond(done.LastTransitionTime.Time, arrival)
	if done.LastTransitionTime.IsZero() {
		at = evidence.Arrived(seen)
	}
	how := attr.OutcomeComplete
	if done.Type == batchv1.JobFailed {
		how, c.Failure = attr.OutcomeFailed, evidence.Failure{Reason: done.Reason, Message: done.Message}
	}
	c.Finish(how, at, write)
}

// FinishedJobCondition is the condition by which a Job has ended, nil if it has not.
func FinishedJobCondition(in *batchv1.Job) *batchv1.JobCondition {
	for _, kind := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if c := JobCondition(in, kind); c != nil && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// JobCondition is the condition of a type, nil if the Job has none.
func JobCondition(in *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range in.Status.Conditions {
		if c := &in.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

package causality

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindJob = "Job"

var jobController = controller{
	GroupVersionKind: batchv1.SchemeGroupVersion.WithKind(kindJob),
	service:          attr.ServiceJob,
	nameKey:          semconv.K8SJobNameKey,
	uidKey:           semconv.K8SJobUIDKey,
	replaces:         replacedNot,
	freedBy:          freedWhenEnded,
	fixedTemplate:    true,
	template: func(object metav1.Object) *corev1.PodTemplateSpec {
		if in, ok := object.(*batchv1.Job); ok {
			return &in.Spec.Template
		}
		return nil
	},
}

// cronTrigger is the CronJob, and the time of its schedule, that made a Job.
type cronTrigger struct {
	id   objectID
	name string
	// at is the scheduled time, a whole second; zero if the Job is for none.
	at   time.Time
	made moment // creation of the Job

	ledger scheduleLedger
}

// observeJob opens a run when a Job is created or resumed, and ends it when the
// Job has succeeded, failed or was suspended.
func (e *Engine) observeJob(o Observation, k *controller, in *batchv1.Job) *workload {
	d := e.workload(o, k, in)
	if d == nil {
		return nil
	}
	s := newStamp(in.ResourceVersion, o)
	if o.Type == watch.Deleted {
		d.vanish(arrived(o.Time), s)
		return d
	}
	if d.deleted {
		return d
	}
	arrival := o.arrival()
	if c := d.current(); c != nil && !c.ended {
		c.observeRun(in, s, arrival, o.Time)
	}
	// What a CronJob put on all of its Jobs was not meant for this one.
	e.observeContexts(d, in, s, o.Initial || !d.seen && isBuiltIn(controllerRef(in), kindCronJob))
	suspended := in.Spec.Suspend != nil && *in.Spec.Suspend
	done := finishedCondition(in)
	created := inSecond(in.CreationTimestamp.Time, arrival)
	if in.CreationTimestamp.IsZero() {
		created = arrived(o.Time)
	}
	if !d.seen {
		d.observeCronJob(in, created)
	}
	switch {
	case done != nil:
		d.endRun(in, done, s, arrival, o.Time)
	case suspended:
		d.resumed = cmp.Or(resumedAt(in), d.resumed)
		if c := d.current(); c != nil && !c.ended {
			at := arrived(o.Time)
			if who := writerOf(in.ManagedFields, `"f:suspend"`, d.writers); !who.at.IsZero() {
				at = inSecond(who.at, arrival)
			}
			c.finish(attr.OutcomeSuspended, at, s)
		}
	default:
		d.openRun(in, s, o, created)
	}
	if d.cronJob != nil && o.Initial && d.scheduledRun() == nil {
		d.cronJob.ledger.passOver() // the Job was over, or had to wait, before we came
	}
	d.seen = true
	d.writers = readWriters(in.ManagedFields)
	if at := in.DeletionTimestamp; !at.IsZero() {
		d.delete(inSecond(at.Time, arrival), s)
	}
	return d
}

// openRun notes that the Job is to run.
func (d *workload) openRun(in *batchv1.Job, s stamp, o Observation, created moment) {
	if c := d.current(); c != nil && !c.ended {
		d.noteResume(c, in)
		return
	}
	who := writer(in.ManagedFields, true, d.writers)
	arrival := o.arrival()
	c := d.offer(&change{
		kind:        attr.ChangeJob,
		opened:      s,
		start:       created,
		generation:  in.Generation,
		cause:       attr.CauseCreate,
		manager:     who.manager,
		imagesAfter: templateImages(&in.Spec.Template),
	})
	c.observeRun(in, s, arrival, o.Time)
	switch {
	case d.seen:
		// It was suspended until now.
		who := writerOf(in.ManagedFields, `"f:suspend"`, d.writers)
		c.cause, c.manager = attr.CauseResume, who.manager
		c.start = writtenAt(who, time.Time{}, arrival, s.arrival)
	case !resumedAt(in).IsZero():
		c.cause, c.start = attr.CauseResume, inSecond(resumedAt(in), time.Time{})
	case in.Annotations[instantiated] != "":
		c.cause = attr.CauseManual
	case d.cronJob != nil:
		c.cause = attr.CauseSchedule
	}
	if o.Initial || !d.seen && in.Status.StartTime != nil {
		c.opened = stamp{arrival: c.start.lo}
	}
	d.noteResume(c, in)
	d.begin(c)
}

// resumedAt is when the controller says that it resumed the Job, zero if it does not.
func resumedAt(in *batchv1.Job) time.Time {
	if c := condition(in, batchv1.JobSuspended); c != nil && c.Status == corev1.ConditionFalse {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

// noteResume takes in when the controller resumed a run, which tells it from others.
// A Job that was suspended for so short a time that the controller did not see it
// still states when it was resumed before.
func (d *workload) noteResume(c *change, in *batchv1.Job) {
	if at := resumedAt(in); !at.IsZero() && c.resumed.IsZero() && !at.Equal(d.resumed) {
		c.resumed, d.resumed = at, at
	}
}

// scheduledTime is where the CronJob controller says what time a Job is for
// (batch/v1, CronJobScheduledTimestampAnnotation, since 1.32 stable).
const (
	scheduledTime = "batch.kubernetes.io/cronjob-scheduled-timestamp"
	// instantiated is what `kubectl create job --from` writes.
	instantiated = "cronjob.kubernetes.io/instantiate"
)

// observeCronJob notes which CronJob the Job is of, and which time of its
// schedule it is for.
func (d *workload) observeCronJob(in *batchv1.Job, made moment) {
	if ref := controllerRef(in); isBuiltIn(ref, kindCronJob) {
		d.cronJob = &cronTrigger{id: newOwnerRef(ref).in(in.Namespace), name: ref.Name, at: scheduledAt(in, ref.Name), made: made}
	}
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

func (d *workload) endRun(in *batchv1.Job, done *batchv1.JobCondition, s stamp, arrival, seen time.Time) {
	c := d.current()
	if c == nil || c.ended {
		return
	}
	d.noteResume(c, in)
	at := inSecond(done.LastTransitionTime.Time, arrival)
	if done.LastTransitionTime.IsZero() {
		at = arrived(seen)
	}
	how := attr.OutcomeComplete
	if done.Type == batchv1.JobFailed {
		how, c.failure = attr.OutcomeFailed, failure{done.Reason, done.Message}
	}
	c.finish(how, at, s)
}

func finishedCondition(in *batchv1.Job) *batchv1.JobCondition {
	for _, kind := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if c := condition(in, kind); c != nil && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

func condition(in *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range in.Status.Conditions {
		if c := &in.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

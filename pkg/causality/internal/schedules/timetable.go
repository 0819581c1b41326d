package schedules

import (
	"strings"
	"time"
	_ "time/tzdata" // an image may have none, and the controller's binary has it, too

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// CronJob is what is kept of the spec of a CronJob.
type CronJob struct {
	suspended *suspension // nil if it was never seen to be
	// times are those of its schedule, and before those of the one that it had before: what the
	// controller said while it had that may be news yet.
	times, before timetable
}

// Observe takes in a state of a CronJob, of which c has the one before; nil if there is none.
func (c *CronJob) Observe(in *batchv1.CronJob, write evidence.Write) *CronJob {
	if c == nil {
		c = &CronJob{}
	}
	c.suspended = c.suspended.observe(in.Spec.Suspend != nil && *in.Spec.Suspend, write)
	if spec, local := specOf(&in.Spec); spec != c.times.spec {
		c.times, c.before = newTimetable(spec, local), c.times
	}
	if last := in.Status.LastScheduleTime; last != nil {
		c.times.doubtZone(last.Time)
	}
	return c
}

// Delayed reports whether a Job that was made by a write, late for a time of the schedule, had to
// wait until the CronJob was resumed.
func (c *CronJob) Delayed(at, made time.Time, by evidence.Write) bool {
	return c != nil && c.suspended.delayed(at, made, by)
}

// MayStart reports whether a second can be one in which a time of the schedule has come. Schedules are in
// minutes. Of a CronJob that was not seen, or whose schedule cannot be read, any minute will do.
func (c *CronJob) MayStart(t time.Time) bool {
	if !onTheMinute(t) {
		return false
	}
	at := t.Truncate(time.Minute)
	return c == nil || c.times.has(at) || c.before.spec != "" && c.before.has(at)
}

// onTheMinute reports whether t lies in the first second of a minute.
func onTheMinute(t time.Time) bool { return t.Truncate(time.Second).Equal(t.Truncate(time.Minute)) }

// timetable is a schedule.
type timetable struct {
	spec string // as it is written, behind its time zone
	// of is nil where nothing tells which times these are.
	of *cron.SpecSchedule
	// local says that no time zone is stated: then it is the one of the controller, which is UTC as far as
	// nothing contradicts that, and doubted that something does.
	local, doubted bool
}

// longestSchedule is how many bytes of a schedule are read; none that makes sense has more.
const longestSchedule = 256

// specOf is a schedule as the controller reads it (formatSchedule of
// k8s.io/kubernetes/pkg/controller/cronjob), local if no time zone is stated.
func specOf(in *batchv1.CronJobSpec) (spec string, local bool) {
	spec, local = in.Schedule, true
	switch {
	case strings.Contains(spec, "TZ"):
		local = false
	case in.TimeZone != nil:
		spec, local = "TZ="+*in.TimeZone+" "+spec, false
	}
	if len(spec) > longestSchedule {
		spec = strings.Clone(spec[:longestSchedule+1]) // which is enough to know that it is too long
	}
	return spec, local
}

func newTimetable(spec string, local bool) timetable {
	t := timetable{spec: spec, local: local}
	if len(spec) > longestSchedule || !local && !strings.Contains(spec, " ") {
		return t // the parser expects something behind a time zone
	}
	of, err := cron.ParseStandard(spec)
	if err != nil {
		return t
	}
	t.of, _ = of.(*cron.SpecSchedule) // what else there is counts from when the CronJob was created
	return t
}

// doubtZone takes in a time of the schedule, of which the controller has made the Job.
func (t *timetable) doubtZone(known time.Time) { t.doubted = t.local && t.of != nil && !t.isAt(known) }

// has reports whether a minute can be one of the schedule.
func (t *timetable) has(minute time.Time) bool { return t.of == nil || t.doubted || t.isAt(minute) }

// isAt looks for a minute. The library only looks for the next one, and it never ends for some: an Event may
// state any time, and a zone may have skipped a day.
func (t *timetable) isAt(minute time.Time) bool {
	at := minute.UTC()
	if !t.local {
		at = minute.In(t.of.Location)
	}
	in := func(field uint64, n int) bool { return field>>uint(n)&1 == 1 } //nolint:gosec // a minute, an hour, a day
	day, weekday := in(t.of.Dom, at.Day()), in(t.of.Dow, int(at.Weekday()))
	const star = 63 // the bit of a field that is not restricted
	days := day && weekday
	if !in(t.of.Dom, star) && !in(t.of.Dow, star) {
		days = day || weekday
	}
	return days && in(t.of.Month, int(at.Month())) && in(t.of.Hour, at.Hour()) && in(t.of.Minute, at.Minute()) && in(t.of.Second, at.Second())
}

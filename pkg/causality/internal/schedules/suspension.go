package schedules

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// suspension is when a CronJob was suspended last. While it is, the controller neither makes
// Jobs nor says anything. When it is resumed, the controller makes up for the last of the times
// that it missed (mostRecentScheduleTime of k8s.io/kubernetes/pkg/controller/cronjob).
type suspension struct {
	suspended bool
	resumed   evidence.Write
}

// observe takes in whether the CronJob is suspended, as a write says; of most, which never were,
// nothing is kept.
func (s *suspension) observe(suspended bool, write evidence.Write) *suspension {
	switch {
	case suspended && s == nil:
		return &suspension{suspended: true}
	case s == nil:
		return nil
	case s.suspended && !suspended:
		s.resumed = write
	}
	s.suspended = suspended
	return s
}

// noticeable is how late a Job has to be for that to need a reason.
const noticeable = time.Second

// delayed reports whether a Job that was made by a write, late for a time of the schedule, had to
// wait until the CronJob was resumed.
func (s *suspension) delayed(at, made time.Time, by evidence.Write) bool {
	return s != nil && !s.resumed.Arrival.IsZero() && s.resumed.Arrival.After(at) &&
		made.Sub(at) > noticeable && s.resumed.Before(by)
}

package schedules

import (
	"strconv"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// Reasons of the CronJob controller's Events (k8s.io/kubernetes/pkg/controller/cronjob,
// cronjob_controllerv2.go).
const (
	CreatedJob     = "SuccessfulCreate"
	missedSchedule = "MissSchedule"
)

// JobAt is the name of a CronJob's Job for a time: it ends in the minute since 1970
// (getJobName of k8s.io/kubernetes/pkg/controller/cronjob).
func JobAt(cronJob string, at time.Time) string {
	return cronJob + "-" + strconv.FormatInt(at.Unix()/60, 10)
}

// longestDelay is how late a Job may be made for the minute in its name to be the time
// that it is for.
const longestDelay = 24 * time.Hour

// TimeIn is the time that a Job of a CronJob is for, by its name and when it was made; zero if
// it cannot be told.
func TimeIn(cronJob, job string, made time.Time) time.Time {
	minute, err := strconv.ParseInt(strings.TrimPrefix(job, cronJob+"-"), 10, 64)
	if err != nil {
		return time.Time{}
	}
	at := time.Unix(minute*60, 0).UTC()
	if at.After(made) || made.Sub(at) > longestDelay {
		return time.Time{}
	}
	return at
}

// JobIn reads the name of a Job from "Created job nightly-2", "Deleted job nightly-1" or
// "Saw completed job: nightly-1, condition: Complete"; "" if there is none.
func JobIn(message string) string {
	for _, words := range []string{"Created job ", "Deleted job ", "Saw completed job: "} {
		if rest, ok := strings.CutPrefix(stream.EventWords(message), words); ok {
			name, _, _ := strings.Cut(rest, ",")
			return name
		}
	}
	return ""
}

// Missed reads the time of which an Event of the controller, with a reason and a message, says
// that it was too late for it.
func Missed(reason, message string, said time.Time) (at time.Time, ok bool) {
	if reason != missedSchedule {
		return at, false
	}
	_, stated, _ := strings.Cut(message, "start a job: ")
	at, err := time.Parse(time.RFC1123Z, stated)
	return at.UTC(), err == nil && !at.After(said) && said.Sub(at) <= longestDelay
}

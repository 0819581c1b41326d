// Package schedules reads what tells of the times of a CronJob's schedule: the names of its Jobs,
// what the CronJob controller says, which minutes the schedule has, and whether it was suspended. It knows nothing of records,
// nor of how a time is told. Begin in schedule.go.
package schedules

package schedules

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func cronJob(schedule, zone string, last time.Time) *batchv1.CronJob {
	in := &batchv1.CronJob{}
	in.Spec.Schedule = schedule
	if zone != "" {
		in.Spec.TimeZone = &zone
	}
	if !last.IsZero() {
		in.Status.LastScheduleTime = &metav1.Time{Time: last}
	}
	return in
}

// A minute counts only where the schedule can have it.
func TestMinutesOfASchedule(t *testing.T) {
	for _, c := range []struct {
		schedule, zone, last, at string
		may                      bool
	}{
		{"*/5 * * * *", "", "", "2026-01-02T10:05:00.4Z", true},
		{"*/5 * * * *", "", "", "2026-01-02T10:05:01Z", false},
		{"*/5 * * * *", "", "", "2026-01-02T10:07:00Z", false},
		{"0 3 * * *", "", "", "2026-01-02T03:00:00Z", true},
		{"0 3 * * *", "", "", "2026-01-02T10:00:00Z", false},
		{"0 3 * * *", "", "2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z", true}, // the controller is not in UTC
		{"0 3 * * *", "", "2026-01-01T03:00:00Z", "2026-01-02T02:00:00Z", false},
		{"0 3 * * *", "Europe/Berlin", "2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z", true},
		{"0 3 * * *", "Europe/Berlin", "", "2026-07-02T01:00:00Z", true},
		{"0 3 * * *", "Europe/Berlin", "", "2026-07-02T02:00:00Z", false},
		{"TZ=Asia/Kolkata 30 16 * * *", "", "", "2026-01-02T11:00:00Z", true},
		{"CRON_TZ=Asia/Kolkata 30 16 * * *", "UTC", "", "2026-01-02T16:30:00Z", false},
		{"@hourly", "", "", "2026-01-02T11:00:00Z", true},
		{"@hourly", "", "", "2026-01-02T11:01:00Z", false},
		{"0 0 31 2 *", "", "", "2026-01-02T11:01:00Z", false}, // never
		// What nothing tells may be any minute.
		{"@every 5m", "", "", "2026-01-02T10:07:00Z", true},
		{"rubbish", "", "", "2026-01-02T10:07:00Z", true},
		{"", "", "", "2026-01-02T10:07:00Z", true},
		{"0 3 * * *", "Nowhere/Here", "", "2026-01-02T10:07:00Z", true},
		{"TZ=UTC", "", "", "2026-01-02T10:07:00Z", true},
	} {
		var last time.Time
		if c.last != "" {
			last = at(t, c.last)
		}
		var known *CronJob
		known = known.Observe(cronJob(c.schedule, c.zone, last), evidence.Write{})
		if may := known.MayStart(at(t, c.at)); may != c.may {
			t.Errorf("%q in %q, which had a time at %q, may start at %s: %t", c.schedule, c.zone, c.last, c.at, may)
		}
	}
	var unseen *CronJob
	if !unseen.MayStart(at(t, "2026-01-02T10:07:00Z")) {
		t.Error("a CronJob that was not seen may start at no minute")
	}
}

// What the controller said before the schedule was changed is news for a while.
func TestMinutesOfTheScheduleBefore(t *testing.T) {
	var known *CronJob
	known = known.Observe(cronJob("*/5 * * * *", "", time.Time{}), evidence.Write{})
	known = known.Observe(cronJob("1 * * * *", "", time.Time{}), evidence.Write{})
	for text, want := range map[string]bool{"2026-01-02T10:05:00Z": true, "2026-01-02T10:01:00Z": true, "2026-01-02T10:02:00Z": false} {
		if may := known.MayStart(at(t, text)); may != want {
			t.Errorf("it may start at %s: %t", text, may)
		}
	}
}

// The minutes are those that the library finds.
func TestMinutesAreTheLibrarys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		field := func(of string, from, to int) string {
			a, b := rapid.IntRange(from, to).Draw(t, of), rapid.IntRange(from, to).Draw(t, of)
			return rapid.SampledFrom([]string{"*", strconv.Itoa(a), fmt.Sprintf("%d-%d", min(a, b), max(a, b)), "*/" + strconv.Itoa(max(1, a)), fmt.Sprintf("%d,%d", a, b)}).Draw(t, of)
		}
		spec := strings.Join([]string{field("minute", 0, 59), field("hour", 0, 23), field("day", 1, 31), field("month", 1, 12), field("weekday", 0, 6)}, " ")
		zone := rapid.SampledFrom([]string{"", "TZ=Europe/Berlin ", "TZ=Asia/Kathmandu ", "TZ=America/Sao_Paulo ", "TZ=Australia/Lord_Howe "}).Draw(t, "zone")
		tab := newTimetable(zone+spec, zone == "")
		from := time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)
		start := from.Add(time.Duration(rapid.IntRange(0, 20*365*24*60).Draw(t, "minutes")) * time.Minute)
		for _, m := range []time.Time{start, tab.of.Next(start)} {
			if m.IsZero() {
				continue // it has none for years
			}
			if got, want := tab.isAt(m), tab.of.Next(m.Add(-time.Second)).Equal(m); got != want {
				t.Errorf("%s%s at %s: %t", zone, spec, m, got)
			}
		}
	})
}

// FuzzTimetable reads any schedule.
func FuzzTimetable(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "TZ=UTC 0 0 1 1 0", "CRON_TZ= ", "TZ=", "@every 1h", "0-59/0 * * * *", "TZ=\x00 * * * * *"} {
		f.Add(s, "", int64(0))
		f.Add(s, "Europe/Berlin", int64(1767348300))
	}
	f.Fuzz(func(_ *testing.T, schedule, zone string, unix int64) {
		var known *CronJob
		known = known.Observe(cronJob(schedule, zone, time.Unix(unix, 0)), evidence.Write{})
		known.MayStart(time.Unix(unix-unix%60, 0))
	})
}

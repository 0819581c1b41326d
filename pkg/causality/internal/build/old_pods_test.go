package build

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestUnreadyTimesAreFound compares what is found in the order with a look at each of them.
func TestUnreadyTimesAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Map(rapid.Int64Range(0, 12), func(s int64) time.Time { return time.Unix(s, 0) })
		var all []unreadyTime
		for i := range rapid.IntRange(0, 8).Draw(t, "times") {
			begin := second.Draw(t, "begin")
			all = append(all, unreadyTime{order: i, begin: begin, end: begin.Add(time.Duration(rapid.IntRange(1, 6).Draw(t, "seconds")) * time.Second)})
		}
		at := second.Draw(t, "at")
		var want unreadyTime
		for _, u := range all {
			if !u.begin.Before(at) {
				continue
			}
			if u.end.After(at) {
				u.end = at
			}
			if want.end.IsZero() || u.end.After(want.end) || u.end.Equal(want.end) && u.compareBegin(want) < 0 {
				want = u
			}
		}
		got, ok := newUnreadyTimes(all).before(at)
		if ok == want.end.IsZero() || got != want {
			t.Fatalf("before %s: %+v, want %+v", at, got, want)
		}
	})
}

package timers

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTimers draws what is done with them, and compares them with a map of times.
func TestTimers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ts Timers[int]
		want := map[int]time.Time{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			k := rapid.IntRange(0, 30).Draw(t, "key")
			at := time.Unix(rapid.Int64Range(1, 50).Draw(t, "time"), 0)
			switch rapid.SampledFrom([]string{"set", "earlier", "remove"}).Draw(t, "what") {
			case "set":
				ts.Set(k, at)
				want[k] = at
			case "earlier":
				ts.Earlier(k, at)
				if old, ok := want[k]; !ok || at.Before(old) {
					want[k] = at
				}
			case "remove":
				ts.Remove(k)
				delete(want, k)
			}
			compare(t, &ts, want, at)
		}
	})
}

func compare(t *rapid.T, ts *Timers[int], want map[int]time.Time, now time.Time) {
	var all, come []int
	var first time.Time
	for k, at := range want {
		all = append(all, k)
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if !now.Before(at) {
			come = append(come, k)
		}
		if !ts.Has(k) || !ts.At(k).Equal(at) {
			t.Fatalf("%d waits until %s, want %s", k, ts.At(k), at)
		}
	}
	for what, lists := range map[string][2][]int{"all": {ts.All(), all}, "come": {ts.Come(now), come}} {
		slices.Sort(lists[0])
		slices.Sort(lists[1])
		if !slices.Equal(lists[0], lists[1]) {
			t.Fatalf("%s are %v, want %v", what, lists[0], lists[1])
		}
	}
	if !ts.First().Equal(first) {
		t.Fatalf("the first waits until %s, want %s", ts.First(), first)
	}
	if ts.Len() != len(want) || ts.Ready(now) != (len(come) > 0) {
		t.Fatalf("%d wait, ready %v, want %d and %d that have come", ts.Len(), ts.Ready(now), len(want), len(come))
	}
}

package timers

import (
	"testing"
	"time"
)

// TestIntervals walks from end to end, and looks between.
func TestIntervals(t *testing.T) {
	for name, test := range map[string]struct {
		iv    Intervals
		first []time.Duration
		inDay int
	}{
		"default":        {Intervals{time.Minute, 3 * time.Minute}, []time.Duration{time.Minute, 4 * time.Minute, 7 * time.Minute}, 21 + 22},
		"late":           {Intervals{90 * time.Minute, time.Minute}, []time.Duration{90 * time.Minute, 150 * time.Minute}, 23},
		"seldom":         {Intervals{time.Minute, 5 * time.Hour}, []time.Duration{time.Minute, 301 * time.Minute, 601 * time.Minute}, 5},
		"on the hour":    {Intervals{time.Hour, time.Minute}, []time.Duration{time.Hour, 2 * time.Hour}, 24},
		"no even number": {Intervals{7 * time.Second, 11 * time.Minute}, []time.Duration{7 * time.Second, 667 * time.Second}, 7 + 22},
	} {
		t.Run(name, func(t *testing.T) {
			last, n := time.Duration(0), 0
			for end := test.iv.Next(0); end <= 24*time.Hour; end = test.iv.Next(end) {
				if n < len(test.first) && end != test.first[n] {
					t.Errorf("end %d is %s, want %s", n, end, test.first[n])
				}
				for _, age := range []time.Duration{last, (last + end) / 2, end - 1} {
					if got := test.iv.Last(age); got != last {
						t.Fatalf("at %s the last end is %s, want %s", age, got, last)
					}
					if got := test.iv.Next(age); got != end {
						t.Fatalf("at %s the next end is %s, want %s", age, got, end)
					}
				}
				last = end
				n++
			}
			if n != test.inDay {
				t.Errorf("a day has %d, want %d", n, test.inDay)
			}
		})
	}
}

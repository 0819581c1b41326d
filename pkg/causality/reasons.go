package causality

import (
	"slices"
	"time"
)

// maxReasons bounds what is kept of a pod that waits for days.
const maxReasons = 64

// reason is what a condition that is not True says is missing.
type reason struct {
	reason, message string
	stated          time.Time // the condition's transition
	from            moment
}

// reasons are what a condition said over time, in order. An object shows only
// the last one.
type reasons []reason

// add notes what a condition says now. A condition keeps its time while its
// status stays the same, so a later reason is dated by the arrival of the news.
func (rs *reasons) add(r reason, seen time.Time) {
	if n := len(*rs); n > 0 {
		last := (*rs)[n-1]
		if last.reason == r.reason && last.message == r.message {
			return
		}
		if !r.stated.After(last.stated) {
			r.from = arrived(seen)
		}
	}
	*rs = append(*rs, r)
	if len(*rs) > maxReasons {
		*rs = slices.Delete(*rs, 1, 2)
	}
}

// at is the reason that held at a time.
func (rs reasons) at(t time.Time) (reason, bool) {
	for _, r := range slices.Backward(rs) {
		if t.IsZero() || !r.from.at().After(t) {
			return r, true
		}
	}
	return reason{}, false
}

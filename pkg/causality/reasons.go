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

func (r reason) words() (reason, message string) { return r.reason, r.message }

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
	r.reason, r.message = shared(*rs, r.reason), shared(*rs, r.message)
	*rs = trimmed(append(*rs, r), maxReasons)
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

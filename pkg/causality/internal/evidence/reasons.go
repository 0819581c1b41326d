package evidence

import (
	"slices"
	"time"
)

// MaxReasons bounds what is kept of a pod that waits for days.
const MaxReasons = 64

// Reason is what a condition that is not True says is missing.
type Reason struct {
	Reason, Message string
	Stated          time.Time // the condition's transition
	From            Moment
}

// Words are what a history of reasons keeps of one.
func (r Reason) Words() (reason, message string) { return r.Reason, r.Message }

// Reasons are what a condition said over time, in order. An object shows only
// the last one.
type Reasons []Reason

// Add notes what a condition says now. A condition keeps its time while its
// status stays the same, so a later reason is dated by the arrival of the news.
func (rs *Reasons) Add(r Reason, seen time.Time) {
	if n := len(*rs); n > 0 {
		last := (*rs)[n-1]
		if last.Reason == r.Reason && last.Message == r.Message {
			return
		}
		if !r.Stated.After(last.Stated) {
			r.From = Arrived(seen)
		}
	}
	r.Reason, r.Message = Shared(*rs, r.Reason), Shared(*rs, r.Message)
	*rs = Trimmed(append(*rs, r), MaxReasons)
}

// At is the reason that held at a time.
func (rs Reasons) At(t time.Time) (Reason, bool) {
	for _, r := range slices.Backward(rs) {
		if t.IsZero() || !r.From.At().After(t) {
			return r, true
		}
	}
	return Reason{}, false
}

// maxWords bounds the different words, in bytes, that one history keeps: of an
// Event's repetitions, of a condition, of a container. The longest that Kubernetes
// itself writes are a few hundred bytes long, and most repeat.
const maxWords = 16 << 10

// entry is what a history has many of: an occurrence of an Event, a state of a condition.
type entry interface {
	// Words are what it says, free text both.
	Words() (reason, message string)
}

// Shared returns words that say the same as s, those of the history if it has them:
// what repeats for days is then there once.
func Shared[T entry](history []T, s string) string {
	for _, entry := range slices.Backward(history) {
		switch reason, message := entry.Words(); s {
		case message:
			return message
		case reason:
			return reason
		}
	}
	return s
}

// WordsIn is the length of the different words in a history.
func WordsIn[T entry](history []T) int {
	if len(history) == 1 {
		reason, message := history[0].Words()
		return len(reason) + len(message)
	}
	different := make(map[string]struct{}, 4)
	n := 0
	for _, entry := range history {
		reason, message := entry.Words()
		for _, s := range []string{reason, message} {
			if _, known := different[s]; !known {
				different[s] = struct{}{}
				n += len(s)
			}
		}
	}
	return n
}

// tooMuch reports whether a history has more than so many entries, or too many
// words. The first and the last entry are kept in any case.
func tooMuch[T entry](history []T, most int) bool {
	if len(history) <= 2 {
		return false
	}
	if len(history) > most {
		return true
	}
	sum := 0 // with what repeats, which is quick to tell
	for _, entry := range history {
		reason, message := entry.Words()
		sum += len(reason) + len(message)
	}
	return sum > maxWords && WordsIn(history) > maxWords
}

// Trimmed is a history without as many entries as are too many. The first and the
// last say most: those go that came after the first.
func Trimmed[T entry](history []T, most int) []T {
	for tooMuch(history, most) {
		history = slices.Delete(history, 1, 2)
	}
	return history
}

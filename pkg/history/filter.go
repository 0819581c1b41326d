package history

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// matches reports whether a change is meant.
func (f *Filter) matches(s *Summary) bool {
	return f.ofObject(s) && oneOf(f.Changes, s.Change) && oneOf(f.Outcomes, s.Outcome) && (!f.Over || !s.Open()) && oneOf(f.Reasons, s.Reason) &&
		s.Took() >= f.MinDuration && f.overlaps(s.Start, s.End) && f.says(s)
}

// openOnly reports whether nothing is meant that is over.
func (f *Filter) openOnly() bool {
	return len(f.Outcomes) > 0 && !slices.ContainsFunc(f.Outcomes, func(o attr.Outcome) bool { return o != attr.OutcomeOpen })
}

// ofObject goes by the CronJob of a Job as well: the Job has another name each time.
func (f *Filter) ofObject(s *Summary) bool {
	if !oneOf(f.Namespaces, s.Namespace) {
		return false
	}
	return oneOf(f.Kinds, s.Kind) && oneOf(f.Names, s.Name) ||
		s.Owner != "" && oneOf(f.Kinds, "CronJob") && oneOf(f.Names, s.Owner)
}

// overlaps reports whether a change that began and ended so has a part of the time that is meant.
func (f *Filter) overlaps(start, end time.Time) bool {
	return (f.From.IsZero() || !end.Before(f.From)) && (f.To.IsZero() || start.Before(f.To))
}

// says reports whether all words are in what the row of a change says.
func (f *Filter) says(s *Summary) bool {
	words := strings.Fields(strings.ToLower(f.Text))
	if len(words) == 0 {
		return true
	}
	row := strings.ToLower(strings.Join([]string{
		s.Title, s.Namespace + "/" + s.Name, s.Owner, s.Subject, s.Cause, string(s.Outcome), s.Reason, s.Message, s.ID.String(),
	}, "\n"))
	for _, w := range words {
		if !strings.Contains(row, w) {
			return false
		}
	}
	return true
}

func oneOf[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

const (
	defaultLimit = 100
	maxLimit     = 1000
)

func (q *Query) limit() int {
	if q.Limit <= 0 {
		return defaultLimit
	}
	return min(q.Limit, maxLimit)
}

// place is where a change is in a list: those that began last come first.
type place struct {
	// start is in nanoseconds since 1970.
	start int64
	ID
}

func placeOf(s *Summary) place { return place{nanoseconds(s.Start), s.ID} }

// nanoseconds clamps a time to what fits: objects may state any.
func nanoseconds(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < math.MinInt64/int64(time.Second)+1:
		return math.MinInt64
	case s > math.MaxInt64/int64(time.Second)-1:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// compare orders as time goes by.
func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.start, o.start), slices.Compare(p.Trace[:], o.Trace[:]), slices.Compare(p.Root[:], o.Root[:]))
}

// key orders as compare does, as bytes.
func (p place) key() []byte {
	key := appendTime(make([]byte, 0, placeBytes), p.start)
	return append(append(key, p.Trace[:]...), p.Root[:]...)
}

// appendTime adds nanoseconds since 1970 to a key, so that keys are in the order of the times.
func appendTime(key []byte, t int64) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(t)^1<<63) //nolint:gosec // The order of the numbers, with the sign in it.
}

// timeOf reads what appendTime wrote.
func timeOf(key []byte) int64 {
	return int64(binary.BigEndian.Uint64(key) ^ 1<<63) //nolint:gosec // See appendTime.
}

const placeBytes = 8 + 16 + 8

// placeOfKey reads what key wrote; ok is false for anything else.
func placeOfKey(key []byte) (p place, ok bool) {
	if len(key) != placeBytes {
		return place{}, false
	}
	p.start = timeOf(key)
	copy(p.Trace[:], key[8:])
	copy(p.Root[:], key[24:])
	return p, true
}

// MarshalText is the key in hex.
func (p place) MarshalText() ([]byte, error) { return []byte(p.cursor()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *place) UnmarshalText(text []byte) error {
	key, err := hex.DecodeString(string(text))
	var ok bool
	if *p, ok = placeOfKey(key); err != nil || !ok {
		return errDamaged
	}
	return nil
}

// after is where a page begins, if it is not the first one.
func (q *Query) after() (p place, first bool, err error) {
	if q.After == "" {
		return place{}, true, nil
	}
	if p.UnmarshalText([]byte(q.After)) == nil {
		return p, false, nil
	}
	return place{}, false, ErrPlace
}

// ErrPlace says that a page was asked for that no page before it has named.
var ErrPlace = errors.New("the place where the page begins is not what a page before it said")

func (p place) cursor() string { return hex.EncodeToString(p.key()) }

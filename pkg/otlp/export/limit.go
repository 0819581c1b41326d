package export

// sizeLimit finds out how large a request a collector takes, in bytes. What
// is refused for its size is tried at half of that; from there the limit
// doubles with each success, but stays below what was refused once. Whether
// that is still refused is tried again after a while, ever more rarely as long
// as it is: so a collector with a limit refuses a request now and then, and
// one that refused everything for an hour is back at full size soon after.
type sizeLimit struct {
	max, current int
	// refused is the smallest size that was refused, 0 if none was.
	refused int
	// taken is the largest size that was accepted, 0 if none was.
	taken int
	// patience is how many successes it takes to try refused again, and
	// successes how many there were.
	patience, successes int
}

// Bounds of patience: with the upper one, a request in a thousand is refused.
const (
	minPatience = 8
	maxPatience = 1024
)

func newSizeLimit(bytes int) *sizeLimit {
	return &sizeLimit{max: bytes, current: bytes, patience: minPatience}
}

// accept says that a request of this size was accepted.
func (l *sizeLimit) accept(size int) {
	l.taken = max(l.taken, size)
	if l.refused > 0 && size >= l.refused {
		l.refused, l.patience = 0, minPatience
	}
	l.successes++
	next := min(2*l.current, l.max)
	if l.refused > 0 && next >= l.refused {
		if l.successes < l.patience {
			return
		}
		l.successes = 0
	}
	l.current = next
}

// refuse says that a request of this size was refused for it.
func (l *sizeLimit) refuse(size int) {
	switch {
	case l.refused == 0:
		l.refused = size
	case size >= l.refused:
		l.patience = min(2*l.patience, maxPatience)
	default:
		l.refused = size
	}
	l.current, l.successes = max(size/2, 1), 0
}

// credible is the size in bytes above which a refusal is believed of a collector
// that has accepted nothing yet. The smallest limits in use are a megabyte.
const credible = 64 << 10

// contradicted says that a request of this size was accepted once.
func (l *sizeLimit) contradicted(size int) bool { return size <= l.taken }

// incredible says that this size cannot be what a collector is unable to take.
func (l *sizeLimit) incredible(size int) bool { return l.taken == 0 && size <= credible }

// believe says that it is too large all the same, whatever was accepted once.
func (l *sizeLimit) believe(size int) { l.taken = min(l.taken, size-1) }

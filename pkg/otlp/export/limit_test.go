package export

import (
	"testing"

	"pgregory.net/rapid"
)

// requestsWith counts the requests that n bytes of spans of 100 bytes each take
// while take says which sizes are accepted, and how many are refused.
func requestsWith(l *sizeLimit, bytes int, take func(size int) bool) (accepted, refused int) {
	const span = 100
	for bytes > 0 {
		size := max(min(l.current, bytes)/span*span, span)
		if take(size) {
			l.accept(size)
			bytes -= size
			accepted++
			continue
		}
		refused++
		if size == span {
			bytes -= span // It is dropped.
			continue
		}
		l.refuse(size)
	}
	return accepted, refused
}

// A collector with a limit is sent at least half of what it takes with nearly
// every request, and refuses few.
func TestSizeLimitFindsALimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(200, 10_000).Draw(t, "limit")
		l := newSizeLimit(10_000)
		const bytes = 10_000_000
		accepted, refused := requestsWith(l, bytes, func(size int) bool { return size <= most })
		if ideal := bytes / (most / 100 * 100); accepted > 3*ideal || refused > 30+accepted/100 {
			t.Fatalf("%d requests and %d refused; with %d bytes a request it takes %d", accepted, refused, most, ideal)
		}
	})
}

// However long everything was refused, and at whatever size: afterwards requests
// are soon as large as ever.
func TestSizeLimitRecovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newSizeLimit(10_000)
		for _, size := range rapid.SliceOfN(rapid.IntRange(1, 10_000), 0, 40).Draw(t, "refused") {
			l.refuse(size)
		}
		// As long as it takes to try again, and to double the limit a few times.
		for range l.patience + 14 {
			l.accept(min(l.current, 10_000))
		}
		if l.current != l.max {
			t.Fatalf("the limit is still %d: %+v", l.current, l)
		}
	})
	l := newSizeLimit(2 << 20)
	for range 14 {
		l.refuse(l.current)
	}
	if l.patience != minPatience {
		t.Errorf("one series of refusals is no reason for patience: %+v", l)
	}
}

package clocks

import (
	"testing"
	"time"
)

// A watch of Jobs was away for two minutes. What it then says of a write is dated by what else was
// written meanwhile.
func TestALateWriteIsDatedByWhatWasWrittenAfterIt(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }
	var w Writes
	w.Note(100, at(0))
	w.Note(104, at(10.2))
	w.Note(107, at(10.7)) // in the same second: the later one stands for both
	w.Note(105, at(10.8)) // older, and says nothing
	w.Note(0, at(30))     // no version
	w.Note(120, at(60))
	w.Note(130, at(59)) // a clock that goes back says nothing
	for _, c := range []struct {
		version       uint64
		arrival, want float64
		why           string
	}{
		{103, 130, 10.7, "104 and 107 had come"},
		{110, 130, 60, "120 had come"},
		{121, 130, 130, "nothing later has come"},
		{99, 130, 130, "it may be of any time before"},
		{100, 130, 130, "it may be of any time before"},
		{0, 130, 130, "it has no version"},
		{103, 12, 12, "it is not late"},
		{103, 15.7, 10.7, "it is late from five seconds on"},
	} {
		if got := w.By(c.version, at(c.arrival)); !got.Equal(at(c.want)) {
			t.Errorf("version %d that comes at %gs was there at %s, want %gs: %s", c.version, c.arrival, got.Sub(noon), c.want, c.why)
		}
	}
}

// What is kept is bounded, and the newest is kept.
func TestTheWritesThatAreKeptAreBounded(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	var w Writes
	const hours = 10 * 3600
	for i := range hours {
		w.Note(uint64(i+1), start.Add(time.Duration(i)*time.Second))
	}
	if n := len(w.seen); n > mostWrites {
		t.Errorf("%d writes are kept, at most %d should be", n, mostWrites)
	}
	now := start.Add(hours * time.Second)
	if got, want := w.By(hours-600, now), start.Add((hours-601)*time.Second); !got.Equal(want) {
		t.Errorf("what was written ten minutes ago is dated %s, want %s", got, want)
	}
}

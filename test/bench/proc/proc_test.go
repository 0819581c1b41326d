package proc

import (
	"testing"
	"time"
)

func TestStat(t *testing.T) {
	// The name is as confusing as a name can be.
	used, err := parseStat("42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 150 25 7 9 20 0 8 0 100 0 0")
	if want := 1750 * time.Millisecond; err != nil || used != want {
		t.Errorf("got %s, %v, want %s", used, err, want)
	}
	if _, err := parseStat("42 (rollspan) S 1"); err == nil {
		t.Error("a line that is too short was read")
	}
}

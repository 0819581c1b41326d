package journal_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// The queue sends what a process that is gone has left while the journal is replayed: when a file
// of it is done it has the journal settled, with its own lock held, for which Found waits.
// Neither waits for the other.
func TestFoundWhileTheQueueSettles(t *testing.T) {
	var k *journal.Keeper
	settled := make(chan bool, 1)
	k, err := journal.Open(journal.Options{Dir: filepath.Join(t.TempDir(), "journal"), New: newEngine, Log: testLog(t),
		Found: func() []journal.SpanKey {
			answer := make(chan bool, 1)
			go func() { answer <- k.Settle() }()
			select {
			case settles := <-answer:
				settled <- settles
			case <-time.After(time.Minute): // it would be for ever
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Recover(func([]spans.Trace) error { return nil }); err != nil {
		t.Fatal(err)
	}
	select {
	case settles := <-settled:
		if settles || !k.Settle() {
			t.Error("it settles before it knows what the queue has, or not after that")
		}
	default:
		t.Error("the journal and the queue wait for each other")
	}
}

// A disk that fails where the queue settles, in the goroutine of who sends, ends the keeping in
// the goroutine whose the Keeper is: it may be about to write.
func TestDiskFailsWhereItSettles(t *testing.T) {
	k := withoutDisk(t)
	for range 2 {
		if k.Settle() || !k.Kept() || k.Stats().Failures != 0 {
			t.Fatal("it settles, or takes from the other goroutine what that may be writing")
		}
	}
	k.Tick()
	if !k.Settle() || k.Kept() || k.Stats().Failures != 1 {
		t.Errorf("%+v", k.Stats())
	}
}

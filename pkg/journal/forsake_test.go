package journal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/rollspan/rollspan/pkg/journal"
)

// TestForsake has a cluster restored from a backup in the middle of what goes on. What is over then
// is handed out. The process after that knows nothing of what was open, and has nowhere to go on
// from; what was not acknowledged it hands out in the same words, and once. That stays so when the
// journal is compacted, and what was listed since is then still known to be.
func TestForsake(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to := t.TempDir(), newTold(t)
	acknowledges := false
	l := begin(t, dir, to, func() bool { return acknowledges })
	l.Listed("pods")
	half := 0
	for ; len(to.bytes) == 0; half++ { // until the first rollout is told
		l.live(steps[half : half+1])
	}
	before := len(to.bytes)
	l.Reached(journal.Position{Source: "Pod ", Version: "1000"})
	acknowledges = true
	l.hand(l.Forsake())
	if l.Kept() {
		t.Error("the journal goes on")
	}
	if err := errors.Join(l.Rest(), l.Close()); err != nil {
		t.Fatal(err)
	}

	again := newTold(t)
	l = begin(t, dir, again, always)
	if len(again.bytes) != before {
		t.Errorf("%d spans are told again, want the %d that were not acknowledged", len(again.bytes), before)
	}
	for key, wire := range again.bytes {
		if !bytes.Equal(to.bytes[key], wire) {
			t.Errorf("%s is told in other words", again.name[key])
		}
	}
	if l.Resumes() || len(l.Positions()) > 0 || l.WasListed("pods") || l.EngineStats().Open > 0 {
		t.Errorf("it goes on: resumes %t, at %v, pods were listed %t, %d changes are open",
			l.Resumes(), l.Positions(), l.WasListed("pods"), l.EngineStats().Open)
	}
	l.Listed("pods")
	l.live(steps[half:])
	if err := l.CompactNow(); err != nil {
		t.Fatal(err)
	}
	l.Kill()
	if l = begin(t, dir, again, always); !l.WasListed("pods") || !l.Resumes() {
		t.Errorf("after a compaction pods were listed %t, and it resumes %t", l.WasListed("pods"), l.Resumes())
	}
	again.once("after a restore")
}

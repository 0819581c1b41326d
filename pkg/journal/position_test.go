package journal_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/journal"
)

const source = "Pod shop"

// witnessed has a Keeper observe the observations of steps, in batches, each of which leads to the
// position that is its number.
func witnessed(l *life, steps []step, r *rand.Rand) {
	for at := l.Replayed(); at < len(steps); {
		var batch []stream.Observation
		var to []journal.Position
		for range 1 + r.IntN(20) {
			if at == len(steps) {
				break
			}
			batch = append(batch, steps[at].observation)
			at++
			to = append(to, journal.Position{Source: source, Version: strconv.Itoa(at)})
		}
		l.hand(l.ObserveAt(batch, to))
	}
}

func observationsOf(steps []step) (out []step) {
	for _, s := range steps {
		if s.observation.Object != nil {
			out = append(out, s)
		}
	}
	return out
}

// TestPositions kills rollspan with the end of its journal torn off anywhere. The position that the
// next one reads is that of the last observation which it reads, no more and no less, also where
// the journal was compacted in between.
func TestPositions(t *testing.T) {
	steps := observationsOf(load(t, oneRecording))
	torn := 0
	for trial := range trials(10, 100) {
		r := rand.New(rand.NewPCG(uint64(trial), 6))
		dir, to := t.TempDir(), newTold(t)
		l := begin(t, dir, to, always)
		for range 3 {
			from := l.Replayed()
			until := from + r.IntN(len(steps)-from+1)
			witnessed(l, steps[:until], r)
			paths := l.Segments()
			l.Kill()
			if n := len(paths); n > 0 {
				tear(t, r, paths[n-1])
			}
			l = begin(t, dir, to, always)
			if l.Replayed() < until {
				torn++
			}
			want := ""
			if n := l.Replayed(); n > 0 {
				want = strconv.Itoa(n)
			}
			if got := l.Positions()[source]; got != want {
				t.Fatalf("trial %d: the position is %q, and %d observations are there", trial, got, l.Replayed())
			}
		}
		witnessed(l, steps, r)
		if err := l.CompactNow(); err != nil {
			t.Fatal(err)
		}
		l.Kill()
		if got := begin(t, dir, to, always).Positions()[source]; got != strconv.Itoa(len(steps)) {
			t.Errorf("trial %d: after a compaction the position is %q, want %d", trial, got, len(steps))
		}
	}
	if torn < 5 {
		t.Errorf("%d ends were torn off", torn)
	}
}

// A list that has begun and is not through leaves nowhere to go on from.
func TestPositionOfAList(t *testing.T) {
	steps := observationsOf(load(t, oneRecording))[:10]
	dir, to := t.TempDir(), newTold(t)
	l := begin(t, dir, to, always)
	witnessed(l, steps, rand.New(rand.NewPCG(1, 1)))
	l.Reached(journal.Position{Source: source})
	l.Reached(journal.Position{Source: "Node ", Version: "7"})
	l.Kill()
	if got := fmt.Sprint(begin(t, dir, to, always).Positions()); got != "map[Node :7]" {
		t.Errorf("the positions are %s", got)
	}
}

// Where a part of the journal is damaged, what was observed up to a position is not all there: only
// a list tells what there is, in the process that finds it out and in those after it.
func TestPositionsBehindDamage(t *testing.T) {
	steps := observationsOf(load(t, oneRecording))
	dir, to := t.TempDir(), newTold(t)
	l := begin(t, dir, to, always)
	l.Fill(1) // each batch is a segment
	witnessed(l, steps, rand.New(rand.NewPCG(1, 1)))
	paths := l.Segments()
	l.Kill()
	content, err := os.ReadFile(paths[len(paths)/2])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(paths[len(paths)/2], content, 0o600); err != nil {
		t.Fatal(err)
	}
	next, said := quietly(t, dir, newEngine, newTold(t)) // which lacks what is lost
	if got := next.Positions(); len(got) > 0 {
		t.Errorf("the positions are %v behind damage: %s", got, said)
	}
	next.Kill() // before anything was observed
	next, _ = quietly(t, dir, newEngine, newTold(t))
	if got := next.Positions(); len(got) > 0 {
		t.Errorf("the positions are %v in the process after one that was killed at once", got)
	}
	next.Observe(steps[0].observation)
	next.Kill()
	if got := begin(t, dir, newTold(t), always).Positions(); len(got) > 0 {
		t.Errorf("the positions are %v in the process after that", got)
	}
}

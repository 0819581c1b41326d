package clocks

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// said is a statement of what happened at a time, by a clock that is ahead by so much, and the
// news of which came late by so much.
func said(at time.Time, ahead, late time.Duration) Statement {
	return Statement{Time: at.Add(ahead), By: at.Add(late)}
}

// Of a clock that is ahead nothing is dated after the news of it, and each is dated to the
// delay of the news that came the soonest until then.
func TestAClockAheadIsKnownByTheSoonestNews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ahead := time.Duration(rapid.IntRange(1000, 3600_000).Draw(t, "ahead")) * time.Millisecond
		c := New(nil).Of("", Source{Node: "a"})
		soonest := time.Hour
		at := noon
		for range rapid.IntRange(1, 40).Draw(t, "statements") {
			at = at.Add(time.Duration(rapid.IntRange(1, 60_000).Draw(t, "pause")) * time.Millisecond)
			late := time.Duration(rapid.IntRange(0, 899).Draw(t, "late")) * time.Millisecond // more would be within Tolerance
			s := said(at, ahead, late)
			soonest = min(soonest, late)
			dated := s.Time.Add(-c.Date(s))
			if dated.After(s.By) || dated.Sub(at) != soonest {
				t.Fatalf("what happened at %s is dated %s off; the soonest news was %s late", at, dated.Sub(at), soonest)
			}
		}
	})
}

// A right clock is never corrected, however late its news comes.
func TestARightClockIsNotCorrected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(nil).Of("shop", Source{Component: "kube-scheduler"})
		at := noon
		for i := range rapid.IntRange(1, 60).Draw(t, "statements") {
			at = at.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "pause")) * time.Millisecond)
			// A recorder that has a backlog, or an API server that was away.
			late := time.Duration(rapid.IntRange(0, 150_000).Draw(t, "late")) * time.Millisecond
			if i%7 == 0 {
				late = 0
			}
			s := said(at, 0, late)
			s.After, s.Fresh, s.Version = at.Add(-time.Minute), true, uint64(i+1)
			if offset := c.Date(s); offset != 0 {
				t.Fatalf("it is corrected by %s", offset)
			}
		}
	})
}

func TestAClockThatIsBehindContradictsWhatMadeThingsPossible(t *testing.T) {
	c := New(nil).Of("", Source{Node: "a"})
	late := Statement{Time: noon.Add(-5 * time.Second), By: noon.Add(2 * time.Second), After: noon.Add(-time.Second)}
	if offset := c.Date(late); offset != -7*time.Second {
		t.Errorf("the first is dated by its news, which says %s", offset)
	}
	// The next came sooner, and is no proof by itself.
	if offset := c.Date(said(noon.Add(time.Minute), -5*time.Second, 10*time.Millisecond)); offset != -5010*time.Millisecond {
		t.Errorf("the soonest news says %s", offset)
	}
}

func TestAClockThatJumps(t *testing.T) {
	var found []Finding
	c := New(func(f Finding) { found = append(found, f) }).Of("", Source{Node: "a"})
	at := noon
	date := func(ahead time.Duration, version uint64) time.Duration {
		at = at.Add(time.Second)
		s := said(at, ahead, 10*time.Millisecond)
		s.Fresh, s.Version = true, version
		return c.Date(s)
	}
	for i := range uint64(30) {
		if offset := date(0, i+1); offset != 0 {
			t.Fatalf("a right clock is corrected by %s", offset)
		}
	}
	if offset := date(time.Hour, 31); offset != time.Hour-10*time.Millisecond {
		t.Errorf("ahead by %s", offset)
	}
	// What was stated before the jump, and comes now.
	if offset := c.Date(Statement{Time: noon.Add(20 * time.Second), Rounded: time.Second, By: at, After: noon}); offset != 0 {
		t.Errorf("what was stated before is corrected by %s", offset)
	}
	// It is set right.
	if offset := date(0, 32); offset != 0 {
		t.Errorf("right again, and corrected by %s", offset)
	}
	// What comes out of order once proves no jump: it is reported when more fits.
	if date(0, 33); len(found) != 1 {
		t.Errorf("found are %v", found)
	}
	date(0, 34)
	if len(found) != 2 || found[0].Offset.Round(time.Second) != time.Hour || found[1].Offset != 0 || found[1].Source.Node != "a" {
		t.Errorf("found are %v", found)
	}
}

// A kubelet's clock is put back by less than its Events may be late: the first Event after that
// is dated by its news, and so is what follows. That of others is not, as they may have several
// recorders, of which one is late.
func TestAClockIsPutBackByLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		back := time.Duration(rapid.IntRange(5, 140).Draw(t, "back")) * time.Second
		before := rapid.IntRange(1, 30).Draw(t, "statements before")
		cs := New(nil)
		node, other := cs.Of("shop", Source{Node: "a"}), cs.Of("shop", Source{Component: "b"})
		for n := range before + 4 {
			at, ahead := noon.Add(time.Duration(n)*time.Second), time.Duration(0)
			if n >= before {
				ahead = -back
			}
			s := said(at, ahead, 20*time.Millisecond)
			s.Fresh, s.Version, s.After = true, uint64(n)+1, at.Add(-150*time.Second)
			if off := s.Time.Add(-node.Date(s)).Sub(at).Abs(); off > time.Second {
				t.Fatalf("statement %d, of which %d were before, is dated %s off", n, before, off)
			}
			if by := other.Date(s); by != 0 {
				t.Fatalf("what others state is corrected by %s", by)
			}
		}
	})
}

// However late and however much alike statements come, that proves no clock behind: the recorder may
// be late. One that is of before that which made it possible does.
func TestALateRecorderIsNoClockThatIsBehind(t *testing.T) {
	behind := func(late time.Duration, after func(at time.Time) time.Time) time.Duration {
		c := New(nil).Of("shop", Source{Component: "deployment-controller"})
		for i := range 60 {
			at := noon.Add(time.Duration(i) * 2 * time.Second)
			s := said(at, 0, late)
			s.After, s.Fresh, s.Version = after(at), true, uint64(i+1)
			c.Date(s)
			c.Came(s)
		}
		return c.Offset()
	}
	for _, late := range []time.Duration{5 * time.Second, 22 * time.Second, 150 * time.Second} {
		if offset := behind(late, func(at time.Time) time.Time { return at.Add(-time.Millisecond) }); offset != 0 {
			t.Errorf("a recorder that is %s late is taken for a clock that is off by %s", late, offset)
		}
		if offset := behind(late, func(at time.Time) time.Time { return at.Add(late - time.Second) }); offset != -late {
			t.Errorf("a clock that is %s behind is taken to be off by %s", late, offset)
		}
	}
}

// What the Events of one namespace state counts there alone.
func TestWhatOneNamespaceStatesIsNotAnothers(t *testing.T) {
	cs := New(nil)
	node := Source{Node: "a"}
	cs.Of("evil", node).Date(said(noon, time.Hour, 0))
	if offset := cs.Of("shop", node).Offset(); offset != 0 {
		t.Errorf("shop is corrected by %s", offset)
	}
	cs.Of("", node).Date(said(noon, time.Minute, 0))
	if offset := cs.Of("shop", node).Offset(); offset != time.Minute {
		t.Errorf("what the status says is %s in shop", offset)
	}
	if wrong := cs.Wrong(); len(wrong) != 1 || wrong[0].Offset != time.Minute {
		t.Errorf("wrong are %v", wrong)
	}
}

func TestClocksAreBounded(t *testing.T) {
	cs := New(nil)
	for i := range 10 * mostComponents {
		cs.Of("evil", Source{Component: string(rune('a' + i))})
	}
	if n := cs.components["evil"]; n != mostComponents {
		t.Errorf("%d components have clocks", n)
	}
	if cs.Of("evil", Source{Component: "none"}).Date(said(noon, time.Hour, 0)) != 0 {
		t.Error("one clock too many corrects")
	}
	for i := range 2 * mostComponents { // who may write Events somewhere names any source there
		cs.Of(fmt.Sprint("shop-", i), Source{Component: fmt.Sprint("mine-", i)}).Date(said(noon, 0, 0))
	}
	if n := cs.components[""]; n != 0 {
		t.Errorf("%d components are known by what is trusted", n)
	}
	for i := range mostTrusted + 10 {
		cs.Of("", Source{Node: fmt.Sprint("node-", i)}).Date(said(noon.Add(-time.Minute), 0, 0))
	}
	if n := cs.nodes[""]; n != mostTrusted {
		t.Errorf("%d nodes are known by what is trusted", n)
	}
	cs.Sweep(noon.Add(time.Second))
	if len(cs.byKey)+len(cs.nodes)+len(cs.components) != 0 {
		t.Errorf("%d clocks are left", len(cs.byKey))
	}
}

func TestOurOwnClock(t *testing.T) {
	cs := New(nil)
	// Behind: an object is there before it was created.
	cs.Existed(noon.Add(40*time.Second), noon)
	if got := cs.Watch.Time(noon); !got.Equal(noon.Add(40 * time.Second)) {
		t.Errorf("noon is %s", got)
	}
	// Ahead: all that is created comes an hour late.
	cs = New(nil)
	for i := range 3 {
		at := noon.Add(time.Duration(i) * 3 * time.Second)
		cs.Created(at, at.Add(time.Hour+300*time.Millisecond))
	}
	if off := cs.Watch.Time(noon.Add(time.Hour)).Sub(noon).Abs(); off > time.Second {
		t.Errorf("it is %s off", off)
	}
	// A list after an outage brings at once what is of any age.
	cs = New(nil)
	for i := range 100 {
		cs.Created(noon.Add(time.Duration(i)*time.Second), noon.Add(time.Hour))
	}
	if got := cs.Watch.Time(noon); !got.Equal(noon) {
		t.Errorf("noon is %s after an outage", got)
	}
}

// A time that is stated again is corrected as it was the first time.
func TestOneTimeHasOneCorrection(t *testing.T) {
	var told Told
	none := func(time.Time) {}
	started := Stated{Of: "started a", Time: noon}
	told.Correct([]Stated{started}, none, func(time.Time) time.Duration { return time.Second })
	finished := Stated{Of: "finished a", Time: noon}
	told.Correct([]Stated{started, finished}, none, func(time.Time) time.Duration { return time.Minute })
	if a, b := told.Time(started), told.Time(finished); !a.Equal(noon.Add(-time.Second)) || !b.Equal(noon.Add(-time.Minute)) {
		t.Errorf("started at %s, finished at %s", a, b)
	}
}

// What a source states after another statement is told no earlier than that, wherever its clock is set in
// between, and however late its news comes.
func TestWhatIsStatedLaterIsToldNoEarlier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(nil).Of("", Source{Node: "a"})
		at, arrival, stated, told := noon, noon, time.Time{}, time.Time{}
		ahead := time.Duration(0)
		for i := range rapid.IntRange(2, 40).Draw(t, "statements") {
			at = at.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "pause")) * time.Millisecond)
			arrival = later(arrival, at.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "late"))*time.Millisecond))
			if rapid.IntRange(0, 9).Draw(t, "set") == 0 {
				ahead = time.Duration(rapid.IntRange(-5000, 5000).Draw(t, "ahead")) * time.Millisecond
			}
			s := Statement{Time: at.Add(ahead), By: arrival, After: at.Add(-time.Minute), Fresh: true, Version: uint64(i + 1)}
			is := s.Time.Add(-c.Date(s))
			if is.Before(told) && !s.Time.Before(stated) {
				t.Fatalf("what is stated as of %s is told as of %s, and before it %s as of %s", s.Time, is, stated, told)
			}
			if is.After(arrival.Add(Tolerance)) {
				t.Fatalf("what is stated as of %s is told as of %s, and its news came at %s", s.Time, is, arrival)
			}
			stated, told = s.Time, is
		}
	})
}

// What comes late may have been stated late, by a recorder that was held up, or by a clock that was set
// back. Which it was is not known before something comes at once: until then what is told says so.
func TestWhatComesLateIsDoubtedUntilSomethingComesAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := New(nil)
		c, told, version := cs.Of("shop", Source{Node: "a"}), &Told{}, uint64(0)
		state := func(at time.Time, ahead, late, rounded time.Duration) (is time.Time) {
			s := Statement{Time: at.Add(ahead), By: at.Add(late), After: at.Add(-lateness), Rounded: rounded}
			if rounded > 0 {
				s.Time = s.Time.Truncate(rounded)
			} else {
				version++
				s.Fresh, s.Version = true, version
			}
			offset := c.Date(s)
			c.Came(s)
			c.Doubt(told, s, offset)
			return s.Time.Add(-offset)
		}
		at := noon
		for range rapid.IntRange(0, 30).Draw(t, "statements at once") {
			at = at.Add(3 * time.Second)
			state(at, 0, 20*time.Millisecond, 0)
		}
		at = at.Add(time.Hour)
		late := time.Duration(rapid.IntRange(1600, 900_000).Draw(t, "late")) * time.Millisecond
		back := rapid.Bool().Draw(t, "set back")
		ahead, lag := time.Duration(0), late
		if back {
			ahead, lag = -late, 10*time.Millisecond
		}
		is := state(at, ahead, lag, 0)
		if off := at.Sub(is).Abs(); off > lateAtAll && !slices.ContainsFunc(told.Doubts(), func(d Doubt) bool {
			return d.At.Equal(is) && !at.Before(d.Earliest) && !at.After(d.Latest)
		}) {
			t.Fatalf("it is told %s off, and %v is all that is doubted", off, told.Doubts())
		}
		// A status in seconds leaves what they hide.
		if back {
			return
		}
		at = at.Add(lag + time.Minute)
		state(at, 0, 30*time.Millisecond, time.Second)
		for _, d := range told.Doubts() {
			if d.At.Equal(is) && d.Latest.Sub(d.At) > 2*time.Second {
				t.Fatalf("its clock was right a minute later, and %v is doubted", d)
			}
		}
		if state(at.Add(time.Minute), 0, 30*time.Millisecond, 0); slices.ContainsFunc(told.Doubts(), func(d Doubt) bool { return d.At.Equal(is) }) {
			t.Fatalf("its clock is right, and %v is doubted", told.Doubts())
		}
	})
}

// lateness is how late an Event may be that waited behind others.
const lateness = 1000 * time.Second

// A node's clock that was ahead and is put right is right, though only statuses say so, which do not
// state when they were written: what happened after the last news of the wrong clock was not stated
// before it.
func TestAClockIsPutRightByStatuses(t *testing.T) {
	for _, ahead := range []time.Duration{40 * time.Second, -40 * time.Second, 2 * time.Hour} {
		var found []Finding
		cs := New(func(f Finding) { found = append(found, f) })
		c := cs.Of("", Source{Node: "a"})
		status := func(at time.Time, ahead time.Duration, after time.Time) time.Duration {
			s := said(at, ahead, 300*time.Millisecond)
			s.Rounded, s.After = time.Second, after
			return c.Date(s)
		}
		wrong := status(noon, ahead, noon)
		if off := (wrong - ahead).Abs(); off > time.Second || len(found) != 1 {
			t.Fatalf("a clock that is ahead by %s is found to be so by %s: %v", ahead, wrong, found)
		}
		// What comes late of before the news of the wrong clock says nothing of after it.
		late := Statement{Time: noon.Add(-5 * time.Second), Rounded: time.Second, By: noon.Add(30 * time.Second), After: noon.Add(-10 * time.Second)}
		if offset := c.Date(late); offset != 0 || len(found) != 1 {
			t.Errorf("what was stated before is corrected by %s, found are %v", offset, found)
		}
		at := noon.Add(time.Minute)
		if offset := status(at, 0, at.Add(-5*time.Second)); offset != 0 {
			t.Errorf("the first statement of the clock that was put right is corrected by %s", offset)
		}
		// By the clock as it was: of before it was put right.
		late = Statement{Time: noon.Add(30*time.Second + ahead), Rounded: time.Second, By: at.Add(time.Second), After: noon.Add(29 * time.Second)}
		if offset := c.Date(late); offset != wrong || len(found) != 2 {
			t.Errorf("what was stated %s ahead is corrected by %s, found are %v", ahead, offset, found)
		}
		if offset := status(noon.Add(time.Hour), 0, noon); offset != 0 {
			t.Errorf("right for an hour, and corrected by %s", offset)
		}
		if wrong := cs.Wrong(); len(wrong) != 0 || len(found) != 2 || found[1].Offset != 0 {
			t.Errorf("wrong are %v, found are %v", wrong, found)
		}
	}
}

package clocks

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Rollspan's clock is put back: from then on time goes on from the last news before, so that what
// took time takes no more, and less only by the pause in which the clock was set.
func TestOurClockIsPutBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		back := time.Duration(rapid.IntRange(10_000, 3600_000).Draw(t, "back")) * time.Millisecond
		pause := time.Duration(rapid.IntRange(10, 900).Draw(t, "pause")) * time.Millisecond
		cs := New(nil)
		at, before := noon, rapid.IntRange(1, 20).Draw(t, "before")
		for n := range before + 10 {
			at = at.Add(pause)
			shows := at
			if n >= before {
				shows = at.Add(-back)
			}
			got := cs.Existed(time.Time{}, shows)
			if off := at.Sub(got); off < 0 || off > pause {
				t.Fatalf("arrival %d, of which %d were before, is dated %s off", n, before, off)
			}
		}
		// What is made then shows that it is that pause behind.
		at = at.Add(time.Second)
		if got := cs.Existed(at, at.Add(-back)); at.Sub(got).Abs() > Tolerance {
			t.Fatalf("what is made at %s is dated %s", at, got)
		}
	})
}

// One line of a recording that is damaged puts no clock back.
func TestOneArrivalThatIsEarlierPutsNoClockBack(t *testing.T) {
	cs := New(nil)
	for n := range 10 {
		at := noon.Add(time.Duration(n) * time.Second)
		shows := at
		if n == 5 {
			shows = at.Add(-time.Hour)
		}
		if got := cs.Existed(time.Time{}, shows); at.Sub(got).Abs() > time.Second {
			t.Errorf("arrival %d is dated %s off", n, at.Sub(got))
		}
	}
	if cs.Watch.offset != 0 {
		t.Errorf("our clock is corrected by %s", cs.Watch.offset)
	}
}

// Rollspan's clock is set ahead: where nothing came for as long, three creations show it. After an
// outage of the watch what was made meanwhile is ever less late, and shows nothing.
func TestOurClockIsSetAhead(t *testing.T) {
	for _, c := range []struct {
		name string
		late func(n int) time.Duration
		want time.Duration
	}{
		{"set ahead", func(int) time.Duration { return 20 * time.Second }, 20 * time.Second},
		{"an outage", func(n int) time.Duration { return max(0, time.Duration(20-3*n)*time.Second) }, 0},
	} {
		cs := New(nil)
		arrive := func(at time.Time, late time.Duration) {
			cs.Created(at, at.Add(late))
			cs.Existed(at, at.Add(late))
		}
		arrive(noon, 0)
		for n := range 4 {
			arrive(noon.Add(time.Duration(2+2*n)*time.Second), c.late(n))
		}
		if off := cs.Watch.offset - c.want; off.Abs() > time.Second {
			t.Errorf("%s: our clock is off by %s, want %s", c.name, cs.Watch.offset, c.want)
		}
	}
}

// Lines of a recording whose times are damaged beyond what any clock is off, before or after right ones,
// move no other line by years.
func TestWhatNoClockShowsMovesNoOtherArrival(t *testing.T) {
	for name, wrong := range map[string]struct {
		from, until int
		by          time.Duration
	}{
		"one is far ahead":   {5, 6, 70 * 365 * 24 * time.Hour},
		"two are far behind": {5, 7, -40 * 365 * 24 * time.Hour},
		"all so far were":    {5, 9, -40 * 365 * 24 * time.Hour},
	} {
		cs := New(nil)
		for n := range 30 {
			at := noon.Add(time.Duration(n) * time.Second)
			if n >= wrong.from && n < wrong.until {
				cs.Existed(time.Time{}, at.Add(wrong.by))
				continue
			}
			cs.Created(at, at)
			if got := cs.Existed(at, at); n > 10 && !got.Equal(at) {
				t.Fatalf("%s: arrival %d is dated %s off", name, n, got.Sub(at))
			}
		}
	}
}

// Rollspan's clock turns out to have been ahead. What a kubelet stated meanwhile is of no later time, so
// that what is stated when its clock jumps then is as doubtful as it would have been.
func TestAJumpIsDoubtedAfterOurClockWasAhead(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Hour} {
		cs := New(nil)
		kubelet, told := cs.Of("", Source{Node: "a"}), &Told{}
		state := func(at time.Time, offset time.Duration, version uint64) {
			arrival := cs.Existed(time.Time{}, at.Add(ahead+time.Second))
			s := Statement{Time: at.Add(offset), After: at.Add(-time.Minute), By: arrival, Fresh: true, Version: version}
			kubelet.Doubt(told, s, kubelet.Date(s))
		}
		at := noon
		for n := range uint64(5) {
			at = at.Add(20 * time.Second)
			state(at, ahead, n+1)
		}
		for range 3 {
			at = at.Add(2 * time.Second)
			cs.Created(at, at.Add(ahead))
		}
		if off := cs.Watch.offset - ahead; off.Abs() > time.Second {
			t.Fatalf("our clock is ahead by %s, want %s", cs.Watch.offset, ahead)
		}
		told.doubts = nil
		at = at.Add(20 * time.Second)
		state(at, 10*time.Minute, 7)
		if len(told.doubts) != 1 {
			t.Errorf("where our clock was ahead by %s, there are %d doubts: %v", ahead, len(told.doubts), told.doubts)
		}
	}
}

// Rollspan's clock is set ahead while nothing comes. Of what came before the news of a creation showed it,
// and until the clock is known, the objects say by how much their news may be dated too late. Where a
// creation comes at once after a pause, or nothing was silent for as long as the news is late, none does.
func TestWhatCameByAClockSetAheadIsDoubted(t *testing.T) {
	for _, c := range []struct {
		name  string
		quiet time.Duration
		late  time.Duration // of the news of creations
		want  int           // doubts about each object
	}{
		{"set ahead", 20 * time.Second, 20 * time.Second, 1},
		{"right", 20 * time.Second, 0, 0},
		{"late news in a busy stream", time.Second, 20 * time.Second, 0},
	} {
		cs, before, after, meanwhile := New(nil), &Told{}, &Told{}, &Told{}
		see := func(told *Told, shows time.Time) { cs.Watch.Arrived(told, noon, cs.Existed(time.Time{}, shows)) }
		create := func(stamp time.Time, late time.Duration) {
			cs.Created(stamp, stamp.Add(late))
			cs.Existed(stamp, stamp.Add(late))
		}
		create(noon, 0)
		see(before, noon.Add(time.Second))
		shows := noon.Add(time.Second + c.quiet)
		see(after, shows)
		create(shows.Add(time.Second-c.late), c.late)
		see(meanwhile, shows.Add(2*time.Second))
		if n := len(before.Doubts()); n != 0 {
			t.Errorf("%s: %d doubts about what came before", c.name, n)
		}
		for what, told := range map[string]*Told{"came before the creation": after, "came after it": meanwhile} {
			if n := len(told.Doubts()); n != c.want {
				t.Errorf("%s: %d doubts about what %s, want %d", c.name, n, what, c.want)
			}
			for _, d := range told.Doubts() {
				if got := d.Latest.Sub(d.Earliest); got != c.late {
					t.Errorf("%s: what %s is in doubt by %s, want %s", c.name, what, got, c.late)
				}
			}
		}
		if cs.Watch.doubtful > 0 {
			create(shows.Add(4*time.Second), 0)
			right := &Told{}
			see(right, shows.Add(5*time.Second))
			if n := len(right.Doubts()); n != 0 {
				t.Errorf("%s: %d doubts after a creation came at once", c.name, n)
			}
		}
	}
}

// Rollspan's clock turns out to be behind: what came since the last creation came later than it says.
func TestWhatCameByAClockThatIsBehindIsDoubted(t *testing.T) {
	cs, told := New(nil), &Told{}
	cs.Created(noon, noon)
	cs.Existed(noon, noon)
	cs.Watch.Arrived(told, noon, cs.Existed(time.Time{}, noon.Add(2*time.Second)))
	made := noon.Add(30 * time.Second)
	cs.Existed(made, made.Add(-10*time.Second))
	if d := told.Doubts(); len(d) != 1 || d[0].Latest.Sub(d[0].Earliest) != 10*time.Second || !d[0].Earliest.Equal(d[0].At) {
		t.Errorf("the doubts are %v, want one of the ten seconds that follow", d)
	}
}

// Rollspan's clock was put back, or ahead, and turns out to be off. A right clock is off by nothing
// before that and after it, and nobody is told of it. One that seemed to be ahead, as ours was behind
// from the first on, is right from then on, which follows from what is told of ours.
func TestOfOurClockOnlyOursIsTold(t *testing.T) {
	for _, c := range []struct {
		before, after time.Duration // how far ours is ahead
		want          int           // findings about the other
	}{{0, -10 * time.Second, 0}, {0, 20 * time.Second, 0}, {-10 * time.Second, -10 * time.Second, 1}} {
		var ours, other []Finding
		cs := New(func(f Finding) {
			if f.Source == Watcher {
				ours = append(ours, f)
			} else {
				other = append(other, f)
			}
		})
		right := cs.Of("shop", Source{Component: "deployment-controller"})
		says := func(at time.Time, ahead time.Duration) {
			shown := at.Add(10*time.Millisecond + ahead)
			right.Date(Statement{Time: at, By: cs.Existed(time.Time{}, shown)})
		}
		for i := range 30 {
			says(noon.Add(time.Duration(i)*time.Second), c.before)
		}
		for i := range 60 {
			at := noon.Add(time.Duration(60+i) * time.Second)
			cs.Created(at, at.Add(c.after))
			cs.Existed(at, at.Add(c.after))
			says(at, c.after)
		}
		if right.Offset() != 0 || len(ours) == 0 || len(other) != c.want {
			t.Errorf("%s, then %s: the other is off by %s, and these are told: %v, %v", c.before, c.after, right.Offset(), ours, other)
		}
	}
}

// Rollspan's clock is set back by a little, and nothing is created. What a known clock states then shows
// it, but nothing that is later than our clock can be behind, nor what streams do that overtake each other.
func TestAKnownClockShowsThatOursWasSetBack(t *testing.T) {
	for name, c := range map[string]struct {
		stated int           // times, before
		back   time.Duration // what comes next
		ahead  time.Duration // what that states, of when it came
		want   time.Duration // how far our clock is ahead
	}{
		"set back":      {few, 3 * time.Second, 3 * time.Second, -3 * time.Second},
		"not known":     {few - 1, 3 * time.Second, 3 * time.Second, 0},
		"overtaken":     {few, 3 * time.Second, -time.Millisecond, 0},
		"not earlier":   {few, 0, 3 * time.Second, 0},
		"anybody wrote": {few, 3 * time.Second, 2 * time.Minute, 0},
	} {
		cs := New(nil)
		kubelet := cs.Of("", Source{Node: "a"})
		at := noon
		for range c.stated {
			at = at.Add(10 * time.Second)
			kubelet.Date(Statement{Time: at, By: cs.Existed(time.Time{}, at)})
		}
		at = at.Add(time.Millisecond)
		arrival, created := at.Add(-c.back), time.Time{}
		if cs.Watch.IsBack(arrival) {
			created = Shows(created, kubelet.Known(arrival.Add(c.ahead)), arrival)
		}
		cs.Existed(created, arrival)
		if cs.Watch.offset != c.want {
			t.Errorf("%s: our clock is off by %s, want %s", name, cs.Watch.offset, c.want)
		}
	}
}

// That our clock was set back is known when something is created. What had come until then may have come
// later, by as much.
func TestWhatCameWhileOurClockWasBackIsInDoubt(t *testing.T) {
	cs, told := New(nil), &Told{}
	cs.Created(noon, noon)
	cs.Existed(noon, noon)
	at := noon.Add(time.Minute)
	cs.Watch.Arrived(told, noon, cs.Existed(time.Time{}, at.Add(-8*time.Second)))
	at = at.Add(time.Second)
	cs.Created(at, at.Add(-8*time.Second))
	cs.Existed(at, at.Add(-8*time.Second))
	if d := told.Doubts(); len(d) != 1 || d[0].Latest.Sub(d[0].At) != 8*time.Second {
		t.Errorf("what came then is in doubt by %v, want by 8s", d)
	}
}

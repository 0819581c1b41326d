package watcher

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// A process is killed again and again before it has caught up, and while it tells what it has missed.
// The API server tells each one only what none before was told: all else it has forgotten by then.
// What is told in the end is what one process tells that was told all of it at once.
func TestKilledBeforeItHasCaughtUp(t *testing.T) {
	compared, kept := 0, 0
	for seed, name := range []string{
		"rolling-update-undo-scale-restart.jsonl", "slow-image-pull.jsonl", "crash-loop.jsonl", "statefulset-rolling-update.jsonl", "jobs-and-cronjob.jsonl",
	} {
		for trial := range 3 {
			r := rand.New(rand.NewPCG(uint64(seed), uint64(trial))) //nolint:gosec // It is a seed.
			all := recorded(t, name)
			from := all[r.IntN(len(all))].Time
			until := from.Add(time.Duration(5+r.IntN(60)) * time.Second)
			want := bySpan(tellWithGap(t, name, from, until, true))
			c := &crashLoop{t: t, r: r, dir: t.TempDir(), from: from, until: until, all: all}
			got := bySpan(c.run())
			compared += compareSpans(t, fmt.Sprintf("%s, killed from %s until %s", name, from.Format(time.TimeOnly), until.Format(time.TimeOnly)), want, got)
			kept += c.kept
		}
	}
	if compared < 200 || kept < 100 {
		t.Errorf("%d spans were compared, and %d observations were left to the next process", compared, kept)
	}
}

// crashLoop is a recording that processes see of which some are killed.
type crashLoop struct {
	t           *testing.T
	r           *rand.Rand
	dir         string
	from, until time.Time
	all         []causality.Observation

	l     *Live
	k     *journal.Keeper
	clock *clocktesting.FakeClock
	now   time.Time
	told  collected
	// kept is how many observations a process had of those before it.
	kept int
}

// begin has a process begin. The one before it is left as it is.
func (c *crashLoop) begin(now time.Time) {
	c.t.Helper()
	c.l = newTestLive(c.t)
	c.l.options.DataDir = c.dir
	c.clock = clocktesting.NewFakeClock(now)
	c.l.options.Clock = c.clock
	k, err := c.l.keep(c.t.Context(), "", &c.told)
	if err != nil {
		c.t.Fatal(err)
	}
	c.k = k
	if c.l.catchUp(k); c.l.backlog != nil {
		c.kept += len(c.l.backlog.items)
	}
}

func (c *crashLoop) deliver(finished []spans.Trace) {
	if err := c.l.deliver(c.k, &c.told, finished); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crashLoop) sees(in queued) { c.deliver(c.l.observe(c.k, c.l.take(nil, in))) }

func (c *crashLoop) passes(to time.Time) {
	for !c.now.IsZero() && to.Sub(c.now) > time.Second {
		c.now = c.now.Add(time.Second)
		c.deliver(c.k.Advance(c.now))
	}
	c.now = to
}

// missed is what the API server has, by source, of what nobody was told.
func (c *crashLoop) missed() map[string][]causality.Observation {
	out := map[string][]causality.Observation{}
	for _, o := range c.all {
		source := c.l.sourceOf(o)
		if at := c.l.streams.resumed.positions[source]; o.Time.After(c.from) && o.Time.Before(c.until) && newer(versionOf(o.Object), at) {
			o.Since = statedBy(o.Object.(metav1.Object))
			out[source] = append(out[source], o)
		}
	}
	return out
}

// tells has the API server tell what was missed, one source after the other: up to how many of it.
func (c *crashLoop) tells(most int) {
	all := c.missed()
	for _, source := range slices.Sorted(maps.Keys(all)) {
		for _, o := range all[source] {
			if most--; most < 0 {
				return
			}
			o.Time = c.clock.Now()
			c.sees(queued{Observation: o})
		}
		c.sees(queued{mark: &sourceMark{source: source, version: versionOf(all[source][len(all[source])-1].Object)}})
	}
}

func (c *crashLoop) run() []spans.Trace {
	c.begin(c.from)
	behind := slices.IndexFunc(c.all, func(o causality.Observation) bool { return o.Time.After(c.from) })
	if behind < 0 {
		behind = len(c.all)
	}
	for _, o := range c.all[:behind] {
		c.passes(o.Time)
		c.sees(queued{Observation: o})
	}
	for i := range 3 {
		c.begin(c.until.Add(time.Duration(i-3) * time.Second / 2))
		n := 0
		for _, missed := range c.missed() {
			n += len(missed)
		}
		c.tells(c.r.IntN(n + 1))
	}
	c.begin(c.until)
	c.tells(len(c.all))
	segments, err := filepath.Glob(filepath.Join(c.dir, "journal", "observed-*.journal"))
	if err != nil || len(segments) == 0 {
		c.t.Fatalf("there is no journal: %v", err)
	}
	last := segments[len(segments)-1]
	before := sizeOfFile(c.t, last)
	c.l.tellBacklog(c.k) // nobody delivers what that finished
	if err := os.Truncate(last, before+c.r.Int64N(sizeOfFile(c.t, last)-before+1)); err != nil {
		c.t.Fatal(err)
	}
	c.begin(c.until)
	c.tells(len(c.all))
	c.deliver(c.l.tellBacklog(c.k))
	c.now = c.until
	for _, o := range c.all[behind:] {
		if !o.Time.Before(c.until) {
			c.passes(o.Time)
			c.sees(queued{Observation: o})
		}
	}
	c.passes(c.now.Add(5 * time.Minute))
	return c.told.traces
}

func sizeOfFile(t *testing.T, path string) int64 {
	t.Helper()
	about, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return about.Size()
}

// What makes a backlog may be in the middle of a batch. What came ahead of it is in the journal before
// what waits behind it, of the same source: else a process that is killed between the two leaves a gap, as
// the next one asks for what is behind the last.
func TestWhatWaitsIsBehindWhatCameBefore(t *testing.T) {
	pod := func(version string) queued {
		p := webAt(version)
		p.SetGroupVersionKind(podKind.GroupVersionKind)
		p.UID = types.UID(version)
		return queued{Observation: causality.Observation{Time: time.Unix(1000, 0), Type: watch.Added, Object: p}}
	}
	c := &crashLoop{t: t, dir: t.TempDir()}
	c.begin(time.Unix(1000, 0))
	c.l.listed = true
	c.sees(pod("9"))
	segments, err := filepath.Glob(filepath.Join(c.dir, "journal", "observed-*.journal"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("there are %d files: %v", len(segments), err)
	}
	before := sizeOfFile(t, segments[0])
	batch := c.l.take(nil, pod("10"))
	batch = c.l.take(batch, queued{mark: &sourceMark{source: "Node ", away: true}})
	batch = c.l.take(batch, pod("11"))
	c.deliver(c.l.observe(c.k, batch))
	content, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for size := before; size <= int64(len(content)); size++ {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "journal"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "journal", filepath.Base(segments[0])), content[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		next := &crashLoop{t: t, dir: dir}
		next.begin(time.Unix(1010, 0))
		told, asks := next.k.Positions()["Pod "], next.l.streams.resumed.positions["Pod "]
		seen[told+" "+asks] = true
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"10 10", "10 11", "9 9"}) {
		t.Errorf("what is told, and what the next process asks for what is behind of, are %q", got)
	}
}

// What a process before this one was told of comes before what is listed now, and was made by when it came,
// whatever time has passed since.
func TestWhatIsRestoredIsBeforeWhatIsListed(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	pod := func(version string, came int) causality.Observation {
		p := webAt(version)
		p.SetGroupVersionKind(podKind.GroupVersionKind)
		p.UID, p.CreationTimestamp = "web", metav1.NewTime(at(-1000))
		return causality.Observation{Time: at(came), Since: at(-1000), Type: watch.Modified, Object: p}
	}
	packed, err := journal.EncodeObservation(nil, pod("11", 30))
	if err != nil {
		t.Fatal(err)
	}
	b := newBacklog(map[string]string{"Pod ": "10"})
	b.restore([]journal.Missed{{At: journal.Position{Source: "Pod ", Version: "11"}, Observation: packed}}, at(3600))
	b.mark(sourceMark{source: "Pod ", listing: true}, true)
	b.add(pod("20", 3601), "Pod ", true)
	var got []string
	for _, m := range b.sorted(at(2), at(2), at(3605)) {
		got = append(got, fmt.Sprintf("%s %t", m.version, m.by.After(at(30))))
	}
	if !slices.Equal(got, []string{"11 false", "20 true"}) {
		t.Errorf("the order, and what is after what came first, are %q", got)
	}
}

package soak

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

var (
	inFull       = flag.Bool("soak", false, "disturb as often as docs/reliability.md says, times -soak.percent")
	percent      = flag.Int("soak.percent", 100, "how many hundredths of these")
	deployments  = flag.Int("soak.deployments", 6, "how many Deployments change all the time")
	podsOfEach   = flag.Int("soak.pods", 3, "how many pods each has")
	atOnce       = flag.Int("soak.at-once", 80, "how many Deployments change at a time at most; where all do, each takes as long as all")
	lasts        = flag.Duration("soak.for", 75*time.Second, "how long they do; at least as long as it takes to disturb as often")
	fiveHundreds = flag.Duration("soak.500s", 15*time.Second, "how long the API server answers by 500 at a time")
	only         = flag.String("soak.rows", "", "a regular expression: rows whose name has this, beside what is not disturbed")
	figures      = flag.String("soak.o", "", "a Markdown file that has the figures put between its marks")
	seeded       = flag.Uint64("soak.seed", 1, "what chance begins with")
	keep         = flag.String("soak.keep", "", "a directory for what the rollspans said")
)

func newRandom(seed, row uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, row)) } //nolint:gosec // Nothing secret.

// momentary are spans that are there or not by when somebody looked: two rollspans that nothing
// disturbs differ in these.
var momentary = []string{"status latency", "in progress", "late events", "remove pod"}

// compared says whether a span is the same for all who watch. Which Events make an activity of
// what does not change depends on when they were seen.
func compared(s *tracepb.Span) bool {
	return !strings.Contains(s.GetName(), " activity") && !slices.ContainsFunc(momentary, func(name string) bool { return strings.HasPrefix(s.GetName(), name) })
}

// result are the figures of a row.
type result struct {
	*running
	expected, lost, more, otherwise, same, different, notInJaeger int
	// changes are how many of those that are lost are roots: a change of which nothing is told.
	changes  int
	behind   time.Duration
	examples []string
	heard    []heard // of what it told beside spans
}

// TestTable has each fault of the table once or twice, beside one who is not disturbed.
func TestTable(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a cluster")
	}
	began := time.Now()
	wanted := regexp.MustCompile(*only)
	rows := slices.DeleteFunc(table(), func(r row) bool { return r.name != undisturbed && !wanted.MatchString(r.name) })
	if !canMount(t) {
		t.Log("rows with a small disk are left out: there is nobody here who may mount one")
		rows = slices.DeleteFunc(rows, func(r row) bool { return r.small != "" })
	}
	rows = append([]row{{name: "expected", tells: true}}, rows...)
	w := newWorld(t, 2+*deployments**podsOfEach/100, rows)
	l := &load{t: t, client: w.client, n: *deployments, pods: int32(*podsOfEach), atOnce: *atOnce, pause: 4 * time.Second} //nolint:gosec // It is small.
	if err := l.create(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []*running
	for _, r := range rows {
		all = append(all, w.begin(r, *seeded))
	}
	for _, r := range all {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if !r.says(ctx, "watching;") {
			t.Fatalf("%s does not watch:\n%s", r.name, r.programs[0].Stderr())
		}
		cancel()
	}
	t.Logf("%d rollspans watch after %s", len(all), time.Since(began).Round(time.Second))
	w.disturb(l, all)
	t.Logf("%d changes after %s", l.changes.Load(), time.Since(began).Round(time.Second))
	for _, r := range all {
		if r.row.behind != nil {
			r.row.behind(r)
		}
	}
	ended := time.Now()
	want := settled(t, all[0].collector)
	t.Logf("all is told after %s", time.Since(began).Round(time.Second))
	// What lacks after that is lost.
	limit, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	results := []*result{all[1].result(limit, want, nil, ended)}
	unsure := symmetric(want, all[1].collector.has())
	for _, r := range all[2:] {
		results = append(results, r.result(limit, want, unsure, ended))
	}
	t.Logf("%d changes\n%s", l.changes.Load(), tableOf(results))
	has := w.inJaeger(all)
	for _, r := range results {
		for id := range r.collector.has() {
			if !has[r.cluster()][hex.EncodeToString([]byte(id))] {
				r.notInJaeger++
			}
		}
	}
	for i, r := range results {
		r.check(t)
		r.checkTold(t, all[0], all[1])
		slices.Sort(r.examples)
		all[i+1].said.WriteString(strings.Join(r.examples, ""))
		all[i+1].keep(t)
	}
	t.Log("beside spans\n" + heardTable(results))
	if *figures != "" {
		writeFigures(t, results, l)
	}
}

const (
	// mostExamples is how many differences of a row are said.
	mostExamples = 2000
	undisturbed  = "undisturbed"
	patience     = 5 * time.Minute
	// silence is how long nothing comes any more when all is told: what is waited for longest
	// is an Event about what does not change, and a pod that stops.
	silence = 40 * time.Second
)

// disturb has the load change, and all rows disturbed, until that is done.
func (w *world) disturb(l *load, all []*running) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	stop := make(chan struct{})
	loaded := make(chan error, 1)
	go func() { loaded <- l.run(ctx, stop, *seeded) }()
	least := time.After(*lasts)
	var disturbing sync.WaitGroup
	for _, r := range all {
		disturbing.Go(func() { r.run(ctx) })
	}
	disturbing.Wait()
	select {
	case <-least:
	case err := <-loaded:
		w.t.Fatal(err)
	}
	close(stop)
	if err := <-loaded; err != nil {
		w.t.Fatal(err)
	}
}

// settled is what has arrived when nothing comes any more.
func settled(t testing.TB, c *collector) map[string]seen {
	began := time.Now()
	_ = wait.PollUntilContextCancel(t.Context(), time.Second, true, func(context.Context) (bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		last := c.last
		if last.Before(began) {
			last = began
		}
		return time.Since(last) > silence, nil
	})
	return c.has()
}

// symmetric are the spans that one of two has whom nothing disturbs, and not the other: such as
// depend on how busy the machine was.
func symmetric(a, b map[string]seen) map[string]bool {
	out := map[string]bool{}
	for _, of := range [][2]map[string]seen{{a, b}, {b, a}} {
		for id := range of[0] {
			if _, ok := of[1][id]; !ok {
				out[id] = true
			}
		}
	}
	return out
}

// result waits until a row has all that is expected, and compares.
func (r *running) result(limit context.Context, want map[string]seen, unsure map[string]bool, ended time.Time) *result {
	out := &result{running: r}
	_ = wait.PollUntilContextCancel(limit, time.Second, true, func(context.Context) (bool, error) {
		got := r.collector.has()
		for id := range want {
			if _, ok := got[id]; !ok && !unsure[id] && compared(want[id].Span) {
				return false, nil
			}
		}
		return true, nil
	})
	got := r.collector.has()
	roots := map[string]string{}
	for _, all := range []map[string]seen{got, want} {
		for id := range all {
			if s := all[id]; len(s.GetParentSpanId()) == 0 {
				roots[string(s.GetTraceId())] = s.GetName()
			}
		}
	}
	example := func(what string, s seen, more ...any) {
		if len(out.examples) < mostExamples {
			out.examples = append(out.examples, fmt.Sprintf("%s: %s of %s %s, in %s (%x) %s", what, s.GetName(), s.namespace, s.subject,
				roots[string(s.GetTraceId())], s.GetTraceId()[:4], outcome(s.Span))+" "+fmt.Sprintln(more...))
		}
	}
	for id, w := range want {
		if unsure[id] || !compared(w.Span) {
			continue
		}
		out.expected++
		g, ok := got[id]
		switch {
		case !ok:
			out.lost++
			if len(w.GetParentSpanId()) == 0 {
				out.changes++
			}
			example("lost", w)
			continue
		case g.GetName() != w.GetName() || string(g.GetParentSpanId()) != string(w.GetParentSpanId()) || outcome(g.Span) != outcome(w.Span):
			out.otherwise++
			example("otherwise", g, "below", nameOf(got, g.Span), "and not", nameOf(want, w.Span), outcome(w.Span))
		}
		if late := g.first.Sub(ended); late > out.behind {
			out.behind = late
		}
	}
	for id, g := range got {
		if _, ok := want[id]; !ok && !unsure[id] && compared(g.Span) {
			out.more++
			example("more", g)
		}
		out.same += g.theSame
		if g.inAnother > 0 {
			out.different++
			example("different", g, differences(g))
		}
	}
	return out
}

// nameOf is the name of a span's parent.
func nameOf(in map[string]seen, s *tracepb.Span) string {
	if p, ok := in[string(s.GetTraceId())+string(s.GetParentSpanId())]; ok {
		return p.GetName() + " " + p.subject
	}
	return "nothing"
}

func outcome(s *tracepb.Span) string { return value(s.GetAttributes(), "rollspan.outcome") }

// differences are the lines in which the two forms of a span differ.
func differences(s seen) string {
	var b strings.Builder
	for _, body := range [][]byte{s.body, s.another} {
		b.WriteString("\n    ")
		b.WriteString(text(body))
	}
	return b.String()
}

// inJaeger are the spans that Jaeger has, by the row that they came from. The rows tell of the
// same traces.
func (w *world) inJaeger(all []*running) map[string]map[string]bool {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	traces := map[string]bool{}
	for _, r := range all {
		for id := range r.collector.has() {
			traces[hex.EncodeToString([]byte(id[:16]))] = true
		}
	}
	has := map[string]map[string]bool{}
	for id := range traces {
		found, err := w.jaeger.Trace(ctx, id)
		if err != nil {
			w.t.Errorf("trace %s: %v", id, err)
			continue
		}
		for i := range found.Spans {
			s := &found.Spans[i]
			row, _ := s.Resource["k8s.cluster.name"].(string)
			if has[row] == nil {
				has[row] = map[string]bool{}
			}
			has[row][id+s.ID] = true
		}
	}
	return has
}

// check holds a row to what is promised. That two whom nothing disturbs tell the same is for
// others to test: what they differ in is not expected of anybody.
func (r *result) check(t *testing.T) {
	t.Helper()
	wrong := r.different > 0 || r.notInJaeger > 0 || r.expected == 0
	wrong = wrong || r.whole && r.changes > 0
	if r.exact {
		wrong = wrong || r.lost+r.more+r.otherwise > 0
	}
	if wrong {
		t.Errorf("%s: %d expected, %d lost, %d more, %d otherwise, %d twice in other bytes, %d not in Jaeger\n%s",
			r.name, r.expected, r.lost, r.more, r.otherwise, r.different, r.notInJaeger, strings.Join(r.examples[:min(len(r.examples), 60)], ""))
	}
}

// keep leaves what was said to who looks.
func (r *running) keep(t *testing.T) {
	for _, p := range r.programs {
		r.gone(p)
	}
	if *keep == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*keep, r.cluster()+".log"), []byte(r.name+"\n"+r.said.String()), 0o600); err != nil {
		t.Error(err)
	}
}

// tableOf are the figures as Markdown.
func tableOf(results []*result) string {
	var b strings.Builder
	b.WriteString("| fault | times | expected | lost | of these, whole changes | more | otherwise | twice the same | twice different | all there after |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %d | %d | %d | %.0f s |\n",
			r.name, r.howOften(), r.expected, r.lost, r.changes, r.more, r.otherwise, r.same, r.different, r.behind.Seconds())
	}
	return b.String()
}

const beginMark, endMark = "<!-- soak: what is between these marks is written by make soak -->", "<!-- soak ends -->"

// writeFigures puts the figures into a file.
func writeFigures(t *testing.T, results []*result, l *load) {
	t.Helper()
	content, err := os.ReadFile(*figures)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), beginMark)
	_, behind, ended := strings.Cut(rest, endMark)
	if !ok || !ended {
		t.Fatalf("%s has no line %q, or none %q behind it", *figures, beginMark, endMark)
	}
	head := fmt.Sprintf("\nOn %s: %d Deployments with %d pods each, of which %d change at a time, %d changes, %d %% of the counts, with the real API server, scheduler, controllers and Jaeger, and kwok's nodes.\n\n",
		time.Now().UTC().Format(time.DateOnly), l.n, l.pods, min(l.n, l.atOnce), l.changes.Load(), *percent)
	if err := os.WriteFile(*figures, []byte(before+beginMark+head+tableOf(results)+"\n"+heardTable(results)+endMark+behind), 0o600); err != nil {
		t.Fatal(err)
	}
}

package soak

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

var (
	inFull       = flag.Bool("soak", false, "disturb as often as delivery.md says, times -soak.percent")
	percent      = flag.Int("soak.percent", 100, "how many hundredths of these")
	deployments  = flag.Int("soak.deployments", 6, "how many Deployments change all the time")
	podsOfEach   = flag.Int("soak.pods", 3, "how many pods each has")
	lasts        = flag.Duration("soak.for", 75*time.Second, "how long they do; at least as long as it takes to disturb as often")
	fiveHundreds = flag.Duration("soak.500s", 15*time.Second, "how long the API server answers by 500 at a time")
	only         = flag.String("soak.rows", "", "rows whose name has this, beside what is not disturbed")
	figures      = flag.String("soak.o", "", "a Markdown file that has the figures put between its marks")
	seeded       = flag.Uint64("soak.seed", 1, "what chance begins with")
	keep         = flag.String("soak.keep", "", "a directory for what the rollspans said")
)

func newRandom(seed, row uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, row)) } //nolint:gosec // Nothing secret.

// momentary are spans that are there or not by when somebody looked: two rollspans that nothing
// disturbs differ in these.
var momentary = []string{"status latency", "in progress", "late Events", "remove Pod"}

// compared says whether a span is the same for all who watch.
func compared(s *tracepb.Span) bool {
	return !slices.ContainsFunc(momentary, func(name string) bool { return strings.HasPrefix(s.GetName(), name) })
}

// result are the figures of a row.
type result struct {
	*running
	expected, lost, more, otherwise, same, different, notInJaeger int
	behind                                                        time.Duration
	examples                                                      []string
}

// TestTable has each fault of the table once or twice, beside one who is not disturbed.
func TestTable(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a cluster")
	}
	began := time.Now()
	rows := slices.DeleteFunc(table(), func(r row) bool { return r.name != undisturbed && !strings.Contains(r.name, *only) })
	if !canMount(t) {
		rows = slices.DeleteFunc(rows, func(r row) bool { return r.small != "" })
	}
	rows = append([]row{{name: "expected"}}, rows...)
	w := newWorld(t, 2+*deployments**podsOfEach/100, rows)
	l := &load{t: t, client: w.client, n: *deployments, pods: int32(*podsOfEach), pause: 4 * time.Second} //nolint:gosec // It is small.
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
	var results []*result
	for _, r := range all[1:] {
		results = append(results, r.result(limit, want, ended))
	}
	t.Logf("%d changes\n%s", l.changes.Load(), tableOf(results))
	for i, r := range results {
		r.check(t, results[0])
		all[i+1].keep(t)
	}
	if *figures != "" {
		writeFigures(t, results, l)
	}
}

const (
	undisturbed = "undisturbed"
	patience    = 5 * time.Minute
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
	_ = poll(t.Context(), time.Second, func() (bool, error) {
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

// result waits until a row has all that is expected, and compares.
func (r *running) result(limit context.Context, want map[string]seen, ended time.Time) *result {
	out := &result{running: r}
	_ = poll(limit, time.Second, func() (bool, error) {
		got := r.collector.has()
		for id := range want {
			if _, ok := got[id]; !ok && compared(want[id].Span) {
				return false, nil
			}
		}
		return true, nil
	})
	got := r.collector.has()
	example := func(what string, s seen, more ...any) {
		if out.examples = append(out.examples, fmt.Sprintf("%s: %s %s %s/%s %x", what, s.GetName(), outcome(s.Span), s.namespace, s.workload, s.GetSpanId())+fmt.Sprintln(more...)); len(out.examples) > 40 {
			out.examples = out.examples[:40]
		}
	}
	for id, w := range want {
		if !compared(w.Span) {
			continue
		}
		out.expected++
		g, ok := got[id]
		switch {
		case !ok:
			out.lost++
			example("lost", w)
			continue
		case g.GetName() != w.GetName() || string(g.GetParentSpanId()) != string(w.GetParentSpanId()) || outcome(g.Span) != outcome(w.Span):
			out.otherwise++
			example("otherwise", g, "want", w.GetName(), outcome(w.Span), hex.EncodeToString(w.GetParentSpanId()))
		}
		if late := g.first.Sub(ended); late > out.behind {
			out.behind = late
		}
	}
	for id, g := range got {
		if _, ok := want[id]; !ok && compared(g.Span) {
			out.more++
			example("more", g)
		}
		out.same += g.theSame
		if g.inAnother > 0 {
			out.different++
			example("different", g, differences(g))
		}
	}
	out.notInJaeger = r.notInJaeger(got)
	return out
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

// notInJaeger is how many spans the collector has noted, and Jaeger has not.
func (r *running) notInJaeger(got map[string]seen) (lacks int) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	traces := map[string]map[string]bool{}
	for id := range got {
		traces[hex.EncodeToString([]byte(id[:16]))] = map[string]bool{}
	}
	for id, has := range traces {
		found, err := r.world.jaeger.Trace(ctx, id)
		if err != nil {
			r.t.Errorf("%s: trace %s: %v", r.name, id, err)
			continue
		}
		for i := range found.Spans {
			if s := &found.Spans[i]; s.Resource["k8s.cluster.name"] == r.cluster() {
				has[s.ID] = true
			}
		}
	}
	for id := range got {
		if !traces[hex.EncodeToString([]byte(id[:16]))][hex.EncodeToString([]byte(id[16:]))] {
			lacks++
		}
	}
	return lacks
}

// check holds a row to what is promised.
func (r *result) check(t *testing.T, control *result) {
	t.Helper()
	wrong := r.different > 0 || r.notInJaeger > 0 || r.expected == 0
	if r.exact {
		wrong = wrong || r.lost+r.more+r.otherwise > 0
	}
	if wrong {
		t.Errorf("%s: %d expected, %d lost, %d more, %d otherwise, %d twice in other bytes, %d not in Jaeger\n%s",
			r.name, r.expected, r.lost, r.more, r.otherwise, r.different, r.notInJaeger, strings.Join(r.examples, ""))
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
	b.WriteString("| fault | times | expected | lost | more | otherwise | twice the same | twice different | all there after |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %.0f s |\n",
			r.name, r.disturbed.Load(), r.expected, r.lost, r.more, r.otherwise, r.same, r.different, r.behind.Seconds())
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
	head := fmt.Sprintf("\nOn %s: %d Deployments with %d pods each, %d changes in %s, with the real API server, scheduler, controllers and Jaeger, and kwok's nodes.\n\n",
		time.Now().UTC().Format(time.DateOnly), l.n, l.pods, l.changes.Load(), *lasts)
	if err := os.WriteFile(*figures, []byte(before+beginMark+head+tableOf(results)+endMark+behind), 0o600); err != nil {
		t.Fatal(err)
	}
}

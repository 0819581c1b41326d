package ui

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/history"
)

const (
	// steps is how many columns the overview has.
	steps = 80
	// podsListed is how many pods of a lane are listed.
	podsListed = 100
)

// overviewPage shows what happened together.
type overviewPage struct {
	frame
	Wrong, Empty     string
	From, To         string
	Windows          []choice
	Earlier, Later   string
	Everything       string
	Narrowed         []fact
	List             string
	Columns          []column
	Reasons          []history.Facet
	Warnings, Events int
	Workloads, Nodes []lane
	Ticks            []tick
	LeftOut          int
}

// column is a step of the time: how many Events there were.
type column struct {
	X, Width float64
	// Normal and Warning are the heights of the bars, of 40, the latter at the bottom.
	Normal, Warning float64
	// Address leads to what went on then.
	Address, Title string
}

// lane is what happened to a workload or on a node.
type lane struct {
	Namespace, Kind, Name string
	Address               string
	Bars                  []laneBar
	Height                int
	Events                []heat
	EventCount, Warnings  int
	Started, Gone         []heat
	// Said counts the pods.
	Said     string
	Pods     []podRow
	MorePods int
}

// FullHeight is that of the lane with what is below the bars.
func (l lane) FullHeight() int { return l.Height + 20 }

// laneBar is a change.
type laneBar struct {
	X, Width       float64
	Y              int
	Class          string
	Address, Title string
}

// heat is a mark in a step, the stronger the more there was: Level is 1 to 4.
type heat struct {
	X, Width float64
	Level    int
	Warning  bool
	Title    string
}

// podRow is a pod that is gone, or that failed.
type podRow struct {
	Name, Of, Node, Began, Gone, Lived, Why, Address string
}

const (
	laneBarHeight = 14
	maxStack      = 4
)

// window is the time that an overview shows: what is asked for, or else the last hour in which
// anything happened. Of what began within minutes, as in most recordings, it is those minutes.
func (p *pages) window(ctx context.Context, a *asked) error {
	now := p.Now()
	if a.To.IsZero() && a.From.IsZero() {
		page, err := p.History.List(ctx, history.Query{Limit: 1})
		if err != nil {
			return err
		}
		a.To = now
		whole := time.Hour
		if len(page.Changes) > 0 {
			if last := page.Changes[0].Last; now.Sub(last) > time.Hour {
				a.To = last.Add(time.Minute)
				before, err := p.History.List(ctx, history.Query{Filter: history.Filter{To: last.Add(-4 * time.Minute)}, Limit: 1})
				if err != nil {
					return err
				}
				if len(before.Changes) == 0 {
					whole = 5 * time.Minute
				}
			}
		}
		a.From = a.To.Add(-whole)
		return nil
	}
	if a.To.IsZero() {
		a.To = now
	}
	if a.From.IsZero() {
		a.From = a.To.Add(-time.Hour)
	}
	if !a.From.Before(a.To) {
		return wrongRequest{fmt.Errorf("from %s to %s is no time: it ends before it begins", clockTime(a.From), clockTime(a.To))}
	}
	return nil
}

func (p *pages) overview(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	a, err := p.readFilter(r.URL.Query())
	if err != nil {
		p.fail(w, r, wrongRequest{err})
		return
	}
	if err := p.window(ctx, &a); err != nil {
		p.fail(w, r, err)
		return
	}
	o, err := p.History.Overview(ctx, history.OverviewQuery{Filter: a.Filter, Steps: steps})
	if err != nil {
		p.fail(w, r, err)
		return
	}
	page := overviewPage{
		frame: newFrame(r, "overview", "Overview", p.About),
		From:  clockTime(o.From), To: clockTime(o.To), LeftOut: o.LeftOut, Reasons: o.Reasons,
	}
	d := &drawing{Overview: o, whole: o.To.Sub(o.From)}
	for _, c := range o.Events {
		page.Events += c.Normal + c.Warning
		page.Warnings += c.Warning
	}
	page.Columns = d.columns(a)
	for i := range o.Workloads {
		page.Workloads = append(page.Workloads, d.workload(&o.Workloads[i]))
	}
	slices.SortStableFunc(page.Workloads, func(a, b lane) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	for i := range o.Nodes {
		page.Nodes = append(page.Nodes, d.node(&o.Nodes[i]))
	}
	page.Ticks = d.ticks()
	page.ways(a, o)
	for i := range page.Reasons {
		page.Reasons[i].Value = visible(page.Reasons[i].Value)
	}
	page.Reasons = page.Reasons[:min(12, len(page.Reasons))]
	if len(page.Workloads) == 0 {
		page.Empty = p.Empty
		stats := p.History.Stats()
		if stats.Changes > 0 {
			page.Empty = "Nothing happened in this time."
			page.Everything = addressOf("overview", a, stats.Oldest.Add(-time.Hour), p.Now())
		}
	}
	render(w, http.StatusOK, page.html())
}

// ways fills in where to go from here.
func (p *overviewPage) ways(a asked, o *history.Overview) {
	whole := o.To.Sub(o.From)
	for _, d := range []struct {
		label string
		d     time.Duration
	}{{"5 min", 5 * time.Minute}, {"1 h", time.Hour}, {"6 h", 6 * time.Hour}, {"24 h", 24 * time.Hour}, {"7 d", 7 * 24 * time.Hour}, {"14 d", 14 * 24 * time.Hour}} {
		p.Windows = append(p.Windows, choice{addressOf("overview", a, o.To.Add(-d.d), o.To), d.label, d.d == whole})
	}
	p.Earlier = addressOf("overview", a, o.From.Add(-whole/2), o.To.Add(-whole/2))
	p.Later = addressOf("overview", a, o.From.Add(whole/2), o.To.Add(whole/2))
	p.List = addressOf("", a, o.From, o.To)
	v := a.narrowed()
	for _, key := range filterKeys {
		if key != "from" && key != "to" && key != "since" {
			for _, value := range v[key] {
				p.Narrowed = append(p.Narrowed, fact{key, visible(value)})
			}
		}
	}
}

// addressOf is a page with the filter of an address, and another time.
func addressOf(page string, a asked, from, to time.Time) string {
	v := a.narrowed()
	v.Del("since")
	v.Set("from", machineTime(from))
	v.Set("to", machineTime(to))
	return page + "?" + v.Encode()
}

// drawing is an overview as it is drawn.
type drawing struct {
	*history.Overview
	whole time.Duration
}

func (d *drawing) x(t time.Time) float64 {
	return percent(100 * min(1, max(0, float64(t.Sub(d.From))/float64(d.whole))))
}

func (d *drawing) stepAt(i int) (x, width float64, from, to time.Time) {
	from = d.From.Add(time.Duration(i) * d.Step)
	to = from.Add(d.Step)
	return d.x(from), percent(100 * float64(d.Step) / float64(d.whole)), from, to
}

func (d *drawing) columns(a asked) (list []column) {
	most := 1
	for _, c := range d.Events {
		most = max(most, c.Normal+c.Warning)
	}
	for i, c := range d.Events {
		x, width, from, to := d.stepAt(i)
		list = append(list, column{
			X: x, Width: width, Normal: percent(40 * float64(c.Normal) / float64(most)), Warning: percent(40 * float64(c.Warning) / float64(most)),
			Address: addressOf("overview", a, from, to),
			Title:   fmt.Sprintf("%s: %s", from.UTC().Format("15:04:05"), countsOf(c)),
		})
	}
	return list
}

// Top is where the bar of a column begins.
func (c column) Top() float64 { return percent(40 - c.Normal - c.Warning) }

// WarningTop is where that of its warnings does.
func (c column) WarningTop() float64 { return percent(40 - c.Warning) }

func countsOf(c history.EventCount) string {
	return fmt.Sprintf("%d Events, %d of them warnings", c.Normal+c.Warning, c.Warning)
}

func (d *drawing) workload(l *history.Lane) lane {
	out := lane{
		Namespace: visible(l.Namespace), Kind: visible(l.Kind), Name: visible(l.Name),
		Address: "?" + url.Values{"namespace": {l.Namespace}, "kind": {l.Kind}, "name": {l.Name}}.Encode(),
	}
	out.Bars, out.Height = d.bars(l.Changes)
	out.Events, out.EventCount, out.Warnings = d.heats(l.Events)
	d.pods(&out, l.Pods)
	return out
}

func (d *drawing) node(n *history.NodeLane) lane {
	out := lane{Kind: "Node", Name: visible(n.Name), Address: "?" + url.Values{"kind": {"Node"}, "name": {n.Name}}.Encode()}
	if n.Name == "" {
		out.Name, out.Address = "node not known", ""
	}
	out.Bars, out.Height = d.bars(n.Changes)
	d.pods(&out, n.Pods)
	return out
}

// bars are changes, those that overlap one below the other.
func (d *drawing) bars(list []history.Summary) (out []laneBar, height int) {
	var free [maxStack]float64
	rows := 1
	for i := range list {
		s := &list[i]
		x, to := d.x(s.Start), d.x(s.End)
		width := max(0.35, percent(to-x))
		row := slices.IndexFunc(free[:], func(until float64) bool { return until <= x })
		if row < 0 {
			row = maxStack - 1
		}
		free[row] = x + width + 0.1
		rows = max(rows, row+1)
		title := fmt.Sprintf("%s, %s, %s, %s", changeOf(s), outcomeOf(s.Outcome).Word, took(s.Took()), clockTime(s.Start))
		if s.Message != "" {
			title += ": " + visible(s.Message)
		}
		out = append(out, laneBar{
			X: x, Width: width, Y: 3 + row*(laneBarHeight+3), Class: outcomeOf(s.Outcome).Class, Address: "change/" + s.ID.String(), Title: title,
		})
	}
	return out, 4 + rows*(laneBarHeight+3)
}

// heats are marks for counts, by the most that there is in a step.
func (d *drawing) heats(list []history.EventCount) (out []heat, total, warnings int) {
	most := 1
	for _, c := range d.Events {
		most = max(most, c.Normal+c.Warning)
	}
	for i, c := range list {
		n := c.Normal + c.Warning
		if n == 0 {
			continue
		}
		total += n
		warnings += c.Warning
		x, width, from, _ := d.stepAt(i)
		out = append(out, heat{x, width, level(n, most), c.Warning > 0, fmt.Sprintf("%s: %s", from.UTC().Format("15:04:05"), countsOf(c))})
	}
	return out, total, warnings
}

func level(n, most int) int { return min(4, 1+4*n/(most+1)) }

// pods counts those that were created and that went in each step, and lists those that are gone
// or failed.
func (d *drawing) pods(out *lane, list []history.Pod) {
	started, gone := make([]int, steps), make([]int, steps)
	created, left := 0, 0
	for i := range list {
		pod := &list[i]
		if at, ok := d.step(pod.Created); ok {
			started[at]++
			created++
		}
		at, went := d.step(pod.Gone)
		if went {
			gone[at]++
			left++
		}
		if !went && !pod.Failed {
			continue
		}
		if len(out.Pods) == podsListed {
			out.MorePods++
			continue
		}
		row := podRow{
			Name: visible(pod.Namespace + "/" + pod.Name), Of: visible(strings.TrimSpace(pod.Kind + " " + pod.Workload)),
			Node: visible(pod.Node), Why: visible(pod.Reason), Address: "change/" + pod.Change.String(),
		}
		if !pod.Created.IsZero() {
			row.Began = clockTime(pod.Created)
		}
		if !pod.Gone.IsZero() {
			row.Gone = clockTime(pod.Gone)
			if !pod.Created.IsZero() {
				row.Lived = took(pod.Gone.Sub(pod.Created))
			}
		}
		out.Pods = append(out.Pods, row)
	}
	switch {
	case left > 0:
		out.Said = fmt.Sprintf("%s gone, %d created", pods(left), created)
	case created > 0:
		out.Said = pods(created) + " created"
	default:
		out.Said = "pods that failed"
	}
	out.Started, out.Gone = d.podMarks(started, "created"), d.podMarks(gone, "gone")
}

func (d *drawing) podMarks(counts []int, what string) (out []heat) {
	for i, n := range counts {
		if n > 0 {
			x, width, from, _ := d.stepAt(i)
			out = append(out, heat{x, width, level(n, 8), false, fmt.Sprintf("%s: %s %s", from.UTC().Format("15:04:05"), pods(n), what)})
		}
	}
	return out
}

func pods(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

func (d *drawing) step(t time.Time) (int, bool) {
	if t.IsZero() || t.Before(d.From) || !t.Before(d.To) {
		return 0, false
	}
	return min(int(t.Sub(d.From)/d.Step), steps-1), true
}

// ticks are times at round distances.
func (d *drawing) ticks() (list []tick) {
	step := time.Duration(roundStep(float64(d.whole.Milliseconds())/6)) * time.Millisecond
	form := "15:04"
	switch {
	case step < time.Minute:
		form = "15:04:05"
	case step >= 24*time.Hour:
		form = "Jan 2"
	case d.whole > 24*time.Hour:
		form = "Jan 2 15:04"
	}
	for t := d.From.UTC().Truncate(step).Add(step); t.Before(d.To); t = t.Add(step) {
		list = append(list, tick{d.x(t), t.Format(form)})
	}
	return list
}

package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

const (
	// maxRows is how many spans a waterfall has: more than a budget of a trace lets through.
	maxRows = 50_000
	// foldFrom is from how many spans on only what the change waited for, and what failed, is
	// unfolded at first.
	foldFrom = 60
	// plainRows is how many rows the page has before the script has taken over.
	plainRows = 200
	// maxMarks is how many Events a row has marks of.
	maxMarks = 100
)

// bar is a span in the waterfall. Times are in milliseconds since the change began.
type bar struct {
	ID    string  `json:"id"`
	Depth int     `json:"depth"`
	Name  string  `json:"name"`
	About string  `json:"about,omitempty"`
	Phase string  `json:"phase"`
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Took  string  `json:"took"`
	// Before and After are how much earlier and later the boundaries may have been.
	Before   float64 `json:"before,omitempty"`
	After    float64 `json:"after,omitempty"`
	Critical bool    `json:"critical,omitempty"`
	Failed   bool    `json:"failed,omitempty"`
	// Folded says that what is below is not shown at first. Below is how many rows that are.
	Folded bool `json:"folded,omitempty"`
	Below  int  `json:"below,omitempty"`
	// Note says what matters most: an error, what is waited for, or why it was over early.
	Note  string `json:"note,omitempty"`
	Marks []mark `json:"marks,omitempty"`

	span *spans.Span
}

// Level is the depth as ARIA counts it, and Indent that which there is a style for.
func (b bar) Level() int { return b.Depth + 1 }

func (b bar) Indent() int { return min(b.Depth, 8) }

// mark is an Event.
type mark struct {
	At      float64 `json:"at"`
	Warning bool    `json:"warning,omitempty"`
	Title   string  `json:"title"`
}

// waterfall is a trace as bars, each below its parent.
type waterfall struct {
	// Whole is how long all of it takes, in milliseconds.
	Whole float64 `json:"whole"`
	// End is where the change itself ended: spans may be over later.
	End  float64 `json:"end"`
	Bars []bar   `json:"bars"`
	// LeftOut is how many spans there was no room for.
	LeftOut int `json:"leftOut,omitempty"`

	start time.Time
}

// newWaterfall lays out a change, of which the first span is the root.
func newWaterfall(list []spans.Span) *waterfall {
	root := &list[0]
	w := &waterfall{start: root.Start, End: 1}
	index := make(map[trace.SpanID]int, len(list))
	for i := range list {
		index[list[i].SpanID] = i
	}
	below := make([][]int, len(list))
	for i := range list {
		if i == 0 {
			continue
		}
		parent, ok := index[list[i].ParentID]
		if !ok || parent == i {
			parent = 0 // that was left out
		}
		below[parent] = append(below[parent], i)
	}
	for _, children := range below {
		slices.SortStableFunc(children, func(a, b int) int { return list[a].Start.Compare(list[b].Start) })
	}
	w.End = w.at(root.End)
	w.lay(list, below, 0, 0, kind.Kind(0))
	w.LeftOut = max(0, len(list)-len(w.Bars))
	for i := range w.Bars {
		w.Whole = max(w.Whole, w.Bars[i].To)
		for _, m := range w.Bars[i].Marks {
			w.Whole = max(w.Whole, m.At)
		}
	}
	w.Whole = max(w.Whole, 1)
	w.fold()
	return w
}

// at is a time in milliseconds since the change began.
func (w *waterfall) at(t time.Time) float64 {
	return float64(t.Sub(w.start).Microseconds()) / 1000
}

// deepest is how deep rows are laid: a cycle of parents has to end.
const deepest = 30

func (w *waterfall) lay(list []spans.Span, below [][]int, i, depth int, parent kind.Kind) {
	if len(w.Bars) == maxRows || depth > deepest {
		return
	}
	here := len(w.Bars)
	w.Bars = append(w.Bars, w.bar(&list[i], depth, parent))
	for _, child := range below[i] {
		w.lay(list, below, child, depth+1, kindOf(&list[i]))
	}
	w.Bars[here].Below = len(w.Bars) - here - 1
}

// kindOf is the kind of a span, also of one that was read back and has none: by its name.
func kindOf(s *spans.Span) kind.Kind {
	if s.Kind != 0 {
		return s.Kind
	}
	return kind.Named(s.Name)
}

func (w *waterfall) bar(s *spans.Span, depth int, parent kind.Kind) bar {
	b := bar{
		ID: s.SpanID.String(), Depth: depth, Name: visible(s.Name), About: visible(s.Subject),
		Phase: phaseOf(kindOf(s).Phase(parent)),
		From:  w.at(s.Start), To: w.at(s.End), Took: took(s.End.Sub(s.Start)),
		Before: 1000 * number(s, attr.StartPrecisionKey), After: 1000 * number(s, attr.EndPrecisionKey),
		Failed: s.Status == codes.Error, Note: visible(s.Message), span: s,
	}
	critical, _ := s.Attribute(attr.CriticalKey)
	b.Critical = critical.Type() == attribute.BOOL && critical.AsBool()
	if b.Note == "" {
		b.Note = visible(cmp.Or(s.Text(attr.WaitingForKey), s.Text(attr.WaitingReasonKey)))
	}
	if cut := s.Text(attr.CutShortKey); cut != "" {
		b.Note = strings.TrimPrefix(b.Note+", cut short: "+visible(cut), ", ")
	}
	for _, e := range s.Events[:min(len(s.Events), maxMarks)] {
		said := eventOf(w, &e)
		title := said.Name
		if said.Message != "" {
			title += ": " + said.Message
		}
		b.Marks = append(b.Marks, mark{At: w.at(e.Time), Warning: said.Warning, Title: title})
	}
	return b
}

// noPhase is the class of spans that are made of their parts.
const noPhase = "none"

// phaseOf is a phase as a class.
func phaseOf(p attr.Phase) string {
	if p == attr.PhaseUnknown {
		return noPhase
	}
	return string(known(p))
}

// fold folds what neither the change waited for nor failed, where there is much.
func (w *waterfall) fold() {
	if len(w.Bars) <= foldFrom {
		return
	}
	for i := range w.Bars {
		b := &w.Bars[i]
		if b.Below == 0 || b.Depth == 0 {
			continue
		}
		b.Folded = !slices.ContainsFunc(w.Bars[i+1:i+1+b.Below], func(c bar) bool { return c.Critical })
	}
}

// shown are the rows that are not folded away, and how many more there are.
func (w *waterfall) shown() (rows []bar, more int) {
	for i := 0; i < len(w.Bars); i++ {
		if len(rows) < plainRows {
			rows = append(rows, w.Bars[i])
		} else {
			more++
		}
		if w.Bars[i].Folded {
			i += w.Bars[i].Below
		}
	}
	return rows, more
}

// unfold shows a span, if it is there.
func (w *waterfall) unfold(id string) (at int, ok bool) {
	at = slices.IndexFunc(w.Bars, func(b bar) bool { return b.ID == id })
	if at < 0 {
		return 0, false
	}
	for i := range at {
		if i+w.Bars[i].Below >= at {
			w.Bars[i].Folded = false
		}
	}
	return at, true
}

// X and Width are where a bar is, in percent of the whole.
func (w *waterfall) X(ms float64) float64 { return percent(100 * ms / w.Whole) }

func (w *waterfall) Width(b bar) float64 { return max(0.15, percent(100*(b.To-b.From)/w.Whole)) }

// tick is a line with a time.
type tick struct {
	At    float64
	Label string
}

// Ticks are some five times at round distances.
func (w *waterfall) Ticks() (list []tick) {
	step := roundStep(w.Whole / 5)
	for at := 0.0; at <= w.Whole; at += step {
		list = append(list, tick{w.X(at), offset(time.Duration(at * float64(time.Millisecond)))})
	}
	return list
}

// roundStep is the next round distance in milliseconds.
func roundStep(ms float64) float64 {
	steps := []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 6 * 3600e3, 12 * 3600e3, 24 * 3600e3}
	for _, s := range steps {
		if s >= ms {
			return s
		}
	}
	day := 24 * 3600e3
	return day * float64(int(ms/day)+1)
}

// offset is a time since the begin.
func offset(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	if d > 0 && d < time.Minute && d%time.Second == 0 {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return took(d)
}

// number is a number of a span; zero for none.
func number(s *spans.Span, key attribute.Key) float64 {
	v, ok := s.Attribute(key)
	if !ok || v.Type() != attribute.FLOAT64 {
		return 0
	}
	return v.AsFloat64()
}

func texts(s *spans.Span, key attribute.Key) (list []string) {
	v, ok := s.Attribute(key)
	if !ok || v.Type() != attribute.STRINGSLICE {
		return nil
	}
	for _, t := range v.AsStringSlice() {
		list = append(list, visible(t))
	}
	return list
}

// details are all that a span says.
type details struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	About string `json:"about"`
	// Facts are what is said first.
	Facts []fact `json:"facts"`
	// Message is why it failed.
	Message    string    `json:"message"`
	Attributes []fact    `json:"attributes"`
	Resource   []fact    `json:"resource"`
	Events     []said    `json:"events"`
	Links      []related `json:"links"`
}

// fact is a name and what goes with it.
type fact struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// said is an Event.
type said struct {
	At      string `json:"at"`
	Name    string `json:"name"`
	Message string `json:"message"`
	Warning bool   `json:"warning"`
	// Times says how often it came, if that was more than once, and by whom.
	Times string `json:"times"`
}

func eventOf(w *waterfall, e *spans.Event) said {
	out := said{At: "+" + took(e.Time.Sub(w.start)), Name: visible(e.Name)}
	if e.Time.Before(w.start) {
		out.At = took(e.Time.Sub(w.start))
	}
	var notes []string
	for _, kv := range e.Attributes {
		switch kv.Key {
		case attr.K8SEventMessageKey:
			out.Message = visible(kv.Value.AsString())
		case attr.K8SEventTypeKey:
			out.Warning = kv.Value.AsString() == "Warning"
		case attr.K8SEventCountKey:
			if n := kv.Value.AsInt64(); kv.Value.Type() == attribute.INT64 && n > 1 {
				notes = append(notes, fmt.Sprintf("%d times", n))
			}
		case attr.K8SEventSourceKey:
			notes = append(notes, visible(kv.Value.AsString()))
		}
	}
	out.Times = strings.Join(notes, ", ")
	return out
}

// detailsOf says all of a span.
func (w *waterfall) detailsOf(b *bar) details {
	s := b.span
	d := details{ID: b.ID, Name: b.Name, About: b.About, Message: visible(s.Message), Facts: []fact{
		{"began", fmt.Sprintf("%s (+%s)", s.Start.UTC().Format("15:04:05.000"), took(s.Start.Sub(w.start)))},
		{"took", b.Took},
		{"work of", visible(s.Service)},
	}}
	if b.Critical {
		d.Facts = append(d.Facts, fact{"critical path", "the change waited for this"})
	}
	d.Facts = append(d.Facts, precision(s)...)
	d.Attributes, d.Resource = facts(s.Attributes), facts(s.Resource)
	for i := range s.Events {
		d.Events = append(d.Events, eventOf(w, &s.Events[i]))
	}
	return d
}

// precision is how well the boundaries of a span are known, where that is not exactly.
func precision(s *spans.Span) (list []fact) {
	for _, k := range []struct {
		what              string
		precision, source attribute.Key
	}{{"began within", attr.StartPrecisionKey, attr.StartSourceKey}, {"ended within", attr.EndPrecisionKey, attr.EndSourceKey}} {
		if by := number(s, k.precision); by > 0 {
			list = append(list, fact{k.what, fmt.Sprintf("± %s, as it is known by %s", took(time.Duration(by*float64(time.Second))), visible(source(s.Text(k.source))))})
		}
	}
	return list
}

// source is what tells of a boundary, in words.
func source(s string) string {
	switch attr.Source(s) {
	case attr.SourceEvent:
		return "an Event that stands for several"
	case attr.SourceCondition:
		return "a condition that states only the latest change"
	case attr.SourceArrival:
		return "when the news of it came"
	case attr.SourceInferred:
		return "what was seen before and after it"
	}
	return cmp.Or(s, "what is there")
}

func facts(list []attribute.KeyValue) (out []fact) {
	for _, kv := range list {
		value := kv.Value.String()
		if kv.Value.Type() == attribute.STRINGSLICE {
			value = strings.Join(kv.Value.AsStringSlice(), ", ")
		}
		out = append(out, fact{visible(string(kv.Key)), visible(value)})
	}
	slices.SortStableFunc(out, func(a, b fact) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

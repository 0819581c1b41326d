package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
	textual "github.com/rollspan/rollspan/pkg/spans/text"
)

// changePage is a change.
type changePage struct {
	frame
	row
	Standing standing
	ID       string
	// Backend leads to the trace in a backend; empty for none.
	Backend string
	// Of leads to the other changes of the object, and Meanwhile to what happened at the time.
	Of, Meanwhile string
	Facts         []fact
	// Changed is what the change made another, by name.
	Changed     []string
	ChangedMore int64
	Images      []imageChange
	// Path are the pieces of the critical path, in order.
	Path      []segment
	Unknown   string
	Before    *before
	Legend    []legendItem
	Related   []related
	Waterfall *waterfall
	Rows      []bar
	More      int
	// Selected is the span that the address names.
	Selected *details
	Spans    int
	Errors   int
}

// Open reports whether the change is in progress.
func (c changePage) Open() bool { return c.Standing.Open }

// IsSelected reports whether the address names a span.
func (c changePage) IsSelected(id string) bool { return c.Selected != nil && c.Selected.ID == id }

// standing is what moves while a change is in progress.
type standing struct {
	Outcome   outcome  `json:"outcome"`
	Took      string   `json:"took"`
	Sentences []string `json:"sentences"`
	Open      bool     `json:"open"`
}

// imageChange is an image that is another now.
type imageChange struct{ Before, After string }

// segment is a piece of the critical path.
type segment struct {
	piece
	// Label is there where there is room for it.
	Label string
}

// legendItem is a phase that the change waited for.
type legendItem struct {
	Phase, Name, Took, Share string
	Width                    float64
	// Before is how long it took in the rollout before, and Delta how much more or less that
	// is.
	Before, Delta string
	BeforeWidth   float64
	Grew          bool
}

// before is the rollout before.
type before struct {
	Address, Name, Took, Delta string
	Slower                     bool
	// Kept says that it is here to be looked at.
	Kept bool
}

// related is a change that a link leads to.
type related struct {
	// Meaning is what the link means, in words.
	Meaning string `json:"meaning"`
	// Address leads to it; empty where it is not here. It is a page here, or External.
	Address  string `json:"address"`
	External bool   `json:"external"`
	Name     string `json:"name"`
}

func (p *pages) find(r *http.Request) (*history.Change, error) {
	id, err := history.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, wrongRequest{err}
	}
	c, err := p.History.Change(r.Context(), id)
	if err == nil && len(c.Spans) == 0 {
		err = history.ErrNotFound
	}
	return c, err
}

// change shows a change.
func (p *pages) change(w http.ResponseWriter, r *http.Request) {
	c, err := p.find(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	ctx, root := r.Context(), &c.Spans[0]
	page := changePage{
		row: p.rowOf(&c.Summary), Standing: standingOf(c), ID: c.ID.String(), Backend: p.link(c.ID.Trace, c.ID.Root, c.Summary.Start, c.Summary.End),
		Facts: rootFacts(root, &c.Summary), Changed: texts(root, attr.ChangedFieldsKey), Unknown: visible(root.Text(attr.UnknownKey)),
		Waterfall: newWaterfall(c.Spans), Spans: c.Summary.Spans, Errors: c.Errors,
	}
	page.Path = page.Waterfall.criticalPath()
	page.frame = newFrame(r, "change", page.Kind+" "+page.Name+": "+page.Change, p.About)
	if v, ok := root.Attribute(attr.ChangedLeftOutKey); ok {
		page.ChangedMore = v.AsInt64()
	}
	page.Images = images(texts(root, attr.ImagesBeforeKey), texts(root, attr.ImagesAfterKey))
	page.Of = "?" + url.Values{"namespace": {c.Namespace}, "kind": {c.Kind}, "name": {cmp.Or(c.Owner, c.Name)}}.Encode()
	if c.Owner != "" {
		page.Of = "?" + url.Values{"namespace": {c.Namespace}, "kind": {"CronJob"}, "name": {c.Owner}}.Encode()
	}
	around := max(30*time.Second, c.Took()/4)
	page.Meanwhile = "overview?" + url.Values{"from": {machineTime(c.Start.Add(-around))}, "to": {machineTime(c.Last.Add(around))}}.Encode()
	earlier := p.earlier(ctx, c)
	page.Before, page.Legend = compare(&c.Summary, earlier)
	page.Related = p.related(ctx, c.Spans, c.ID)
	if at, ok := page.Waterfall.unfold(r.URL.Query().Get("span")); ok {
		d := page.Waterfall.detailsOf(&page.Waterfall.Bars[at])
		d.Links = p.linksOf(ctx, c, page.Waterfall.Bars[at].span)
		page.Selected = &d
	}
	page.Rows, page.More = page.Waterfall.shown()
	render(w, http.StatusOK, page.html())
}

func standingOf(c *history.Change) standing {
	t := spans.Trace{Spans: c.Spans}
	s := standing{Outcome: outcomeOf(c.Outcome), Took: took(c.Took()), Open: c.Open()}
	for _, sentence := range textual.Why(&t) {
		s.Sentences = append(s.Sentences, visible(sentence))
	}
	return s
}

// spansJSON is what the script shows of a change.
func (p *pages) spansJSON(w http.ResponseWriter, r *http.Request) {
	c, err := p.find(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	renderJSON(w, r, struct {
		standing
		*waterfall
	}{standingOf(c), newWaterfall(c.Spans)})
}

// spanJSON is all that a span says.
func (p *pages) spanJSON(w http.ResponseWriter, r *http.Request) {
	c, err := p.find(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	i := slices.IndexFunc(c.Spans, func(s spans.Span) bool { return s.SpanID.String() == r.PathValue("span") })
	if i < 0 {
		p.fail(w, r, history.ErrNotFound)
		return
	}
	falls := &waterfall{start: c.Spans[0].Start}
	b := falls.bar(&c.Spans[i], 0, 0)
	d := falls.detailsOf(&b)
	d.Links = p.linksOf(r.Context(), c, &c.Spans[i])
	renderJSON(w, r, d)
}

// tree is the change as `rollspan replay` prints it.
func (p *pages) tree(w http.ResponseWriter, r *http.Request) {
	c, err := p.find(r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = textual.WriteTree(w, spans.Trace{Spans: c.Spans}) // who does not take it has gone
}

// trace leads to the change of a trace, or lists those that share it.
func (p *pages) trace(w http.ResponseWriter, r *http.Request) {
	id, err := trace.TraceIDFromHex(r.PathValue("trace"))
	if err != nil {
		p.fail(w, r, wrongRequest{fmt.Errorf("%q is no ID of a trace: it has 32 hex digits", r.PathValue("trace"))})
		return
	}
	list, err := p.History.Trace(r.Context(), id)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	to := "../change/" + list[0].ID.String()
	if len(list) > 1 {
		to = "../?" + url.Values{"q": {id.String()}}.Encode()
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// earlier is the completed rollout before, nil if it is not here.
func (p *pages) earlier(ctx context.Context, c *history.Change) *history.Summary {
	f := history.Filter{Changes: []attr.Change{c.Summary.Change}, Outcomes: []attr.Outcome{attr.OutcomeComplete}}
	s, err := p.History.Before(ctx, c.ID, f)
	if err != nil {
		if !errors.Is(err, history.ErrNotFound) {
			p.Log.Warn("the change before could not be read", "change", c.ID, "error", err)
		}
		return nil
	}
	return &s
}

// compare puts the phases of a change beside those of the one before it.
func compare(s, earlier *history.Summary) (*before, []legendItem) {
	now, then := sums(s), map[attr.Phase]time.Duration{}
	var b *before
	if earlier != nil {
		then = sums(earlier)
		b = &before{Address: earlier.ID.String(), Name: changeOf(earlier), Took: took(earlier.Took()), Kept: true}
		b.Delta, b.Slower = difference(s.Took() - earlier.Took())
	} else if s.Before > 0 {
		b = &before{Name: "the rollout before", Took: took(s.Before)}
		b.Delta, b.Slower = difference(s.Took() - s.Before)
	}
	longest := time.Duration(1)
	for _, d := range now {
		longest = max(longest, d)
	}
	for _, d := range then {
		longest = max(longest, d)
	}
	var list []legendItem
	for _, ph := range phases {
		d, was := now[ph], then[ph]
		if d == 0 && was == 0 {
			continue
		}
		item := legendItem{
			Phase: string(ph), Name: ph.String(), Took: orNone(d), Width: percent(100 * float64(d) / float64(longest)),
		}
		if whole := s.Took(); whole > 0 {
			item.Share = fmt.Sprintf("%.0f %%", 100*float64(d)/float64(whole))
		}
		if earlier != nil {
			item.Before, item.BeforeWidth = orNone(was), percent(100*float64(was)/float64(longest))
			item.Delta, item.Grew = difference(d - was)
		}
		list = append(list, item)
	}
	slices.SortStableFunc(list, func(a, b legendItem) int { return cmp.Compare(b.Width, a.Width) })
	return b, list
}

// orNone is a time, if there was any.
func orNone(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return took(d)
}

// difference is how much more or less something took. A tenth of a second is as good as nothing.
func difference(d time.Duration) (words string, more bool) {
	switch {
	case d > 50*time.Millisecond:
		return "+" + took(d), true
	case d < -50*time.Millisecond:
		return took(d), false
	}
	return "the same", false
}

func sums(s *history.Summary) map[attr.Phase]time.Duration {
	all := map[attr.Phase]time.Duration{}
	for _, ph := range s.Phases {
		all[known(ph.Phase)] += ph.Took
	}
	return all
}

// labeledFrom is from how many percent of the whole on a piece has room for its name.
const labeledFrom = 13

// criticalPath are the pieces of the critical path. They tile the change, unless some were left out.
func (w *waterfall) criticalPath() (list []segment) {
	root := w.Bars[0].span
	v, ok := root.Attribute(attr.CriticalPathSegmentsKey)
	if !ok || v.Type() != attribute.STRINGSLICE {
		return nil
	}
	// The phase of a span depends on what it is a part of.
	phases := map[string]attr.Phase{}
	for i := range w.Bars {
		if b := &w.Bars[i]; b.Phase != noPhase {
			phases[b.span.Name+" "+b.span.Subject] = attr.Phase(b.Phase)
		}
	}
	whole := root.End.Sub(root.Start)
	at := 0.0
	for _, s := range v.AsStringSlice() {
		seconds, what, _ := strings.Cut(s, " ")
		d, err := time.ParseDuration(seconds)
		if err != nil || whole <= 0 {
			continue
		}
		width := 100 * float64(d) / float64(whole)
		phase, ok := phases[what]
		if !ok {
			phase = phaseOfSegment(what)
		}
		one := segment{piece: piece{Phase: string(phase), From: percent(at), Width: percent(width), Title: visible(s)}}
		if width > labeledFrom {
			one.Label = phase.String() + " " + took(d)
		}
		list = append(list, one)
		at += width
	}
	return list
}

// phaseOfSegment is what a piece counts as, by the words that it begins with: those of a phase, or
// of a kind of span.
func phaseOfSegment(what string) attr.Phase {
	best, length := attr.PhaseUnknown, 0
	for words, phase := range segmentWords {
		if len(words) > length && (what == words || strings.HasPrefix(what, words+" ")) {
			best, length = phase, len(words)
		}
	}
	return best
}

var segmentWords = func() map[string]attr.Phase {
	all := map[string]attr.Phase{}
	for _, k := range kind.All() {
		all[k.String()] = k.Phase(0)
	}
	for _, ph := range phases {
		all[ph.String()] = ph
	}
	return all
}()

// rootFacts are what the root says of its change, in words.
func rootFacts(root *spans.Span, s *history.Summary) []fact {
	var list []fact
	add := func(key, value string) {
		if value != "" {
			list = append(list, fact{key, visible(value)})
		}
	}
	value := func(key attribute.Key) string {
		v, ok := root.Attribute(key)
		if !ok {
			return ""
		}
		if v.Type() == attribute.STRINGSLICE {
			return strings.Join(v.AsStringSlice(), ", ")
		}
		return v.String()
	}
	add("cause", s.Cause)
	manager := value(attr.ManagerNameKey)
	if through := value(attr.ManagerSubresourceKey); through != "" {
		manager += " (" + through + ")"
	}
	add("written by", manager)
	if from, to := value(attr.ScaleFromKey), value(attr.ScaleToKey); to != "" {
		add("replicas", cmp.Or(from, "?")+" → "+to)
	}
	if ready, wanted := value(attr.PodsReadyKey), value(attr.PodsWantedKey); wanted != "" {
		add("pods ready", cmp.Or(ready, "not known")+" of "+wanted)
	}
	add("because of", value(attr.AutoscaleReasonKey))
	add("back to revision", value(attr.RollbackRevisionKey))
	add("owned by", value(attr.OwnersKey))
	add("succeeded", value(attr.JobSucceededKey))
	add("condition", strings.TrimSpace(value(attr.ConditionReasonKey)+" "+value(attr.ConditionMessageKey)))
	add("disruption", value(attr.DisruptionKey))
	if by := number(root, attr.SinceRolloutKey); by > 0 {
		add("after its rollout", took(time.Duration(by*float64(time.Second))))
	}
	return append(list, precision(root)...)
}

// images are those that are others now: what one is called tells which it was.
func images(was, is []string) (list []imageChange) {
	gone := slices.DeleteFunc(slices.Clone(was), func(i string) bool { return slices.Contains(is, i) })
	come := slices.DeleteFunc(slices.Clone(is), func(i string) bool { return slices.Contains(was, i) })
	for _, i := range come {
		c := imageChange{After: i}
		if at := slices.IndexFunc(gone, func(g string) bool { return repository(g) == repository(i) }); at >= 0 {
			c.Before = gone[at]
			gone = slices.Delete(gone, at, at+1)
		} else if len(gone) == 1 && len(come) == 1 {
			c.Before = gone[0]
			gone = nil
		}
		list = append(list, c)
	}
	for _, g := range gone {
		list = append(list, imageChange{Before: g})
	}
	return list
}

// repository is an image without its tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		image = image[:at]
	}
	return image
}

// maxRelated is how many links are shown.
const maxRelated = 60

// meanings are links in words.
var meanings = map[attr.Link]string{
	attr.LinkSupersedes: "cut short", attr.LinkSupersededBy: "was cut short by", attr.LinkRollsBack: "rolls back to",
	attr.LinkRollout: "brought by", attr.LinkCausedBy: "caused by", attr.LinkCauses: "causes", attr.LinkContext: "deployed by",
}

// related are the changes that links of spans lead to.
func (p *pages) related(ctx context.Context, list []spans.Span, own history.ID) (out []related) {
	seen := map[string]bool{}
	for i := range list {
		for _, l := range list[i].Links {
			meaning := attr.LinkType(l.Attributes)
			key := string(meaning) + l.TraceID.String() + l.SpanID.String() // changes may share a trace
			if meaning == attr.LinkUnblockedBy || l.TraceID == own.Trace && l.SpanID == own.Root || seen[key] || len(out) == maxRelated {
				continue
			}
			seen[key] = true
			to := related{Meaning: cmp.Or(meanings[meaning], visible(strings.ReplaceAll(string(meaning), "_", " ")), "linked to"), Name: "trace " + l.TraceID.String()}
			if s := p.linked(ctx, l); s != nil {
				to.Address = "change/" + s.ID.String()
				to.Name = fmt.Sprintf("%s, %s, %s", visible(s.Object()), changeOf(s), outcomeOf(s.Outcome).Word)
			} else if out := p.link(l.TraceID, l.SpanID, list[i].Start, list[i].End); out != "" {
				to.Address, to.External = out, true
			}
			out = append(out, to)
		}
	}
	return out
}

// linked is the change that a link leads to; nil if it is not here. The trace alone does not say which it is: a
// deployer's changes share one, and a link to his own span leads to none of them.
func (p *pages) linked(ctx context.Context, l spans.Link) *history.Summary {
	told, err := p.History.Trace(ctx, l.TraceID)
	if err != nil {
		return nil
	}
	at := slices.IndexFunc(told, func(s history.Summary) bool { return s.ID.Root == l.SpanID })
	if at < 0 {
		return nil
	}
	return &told[at]
}

// linksOf are those of a span, also to other spans of its change.
func (p *pages) linksOf(ctx context.Context, c *history.Change, s *spans.Span) []related {
	var list []related
	for _, l := range s.Links {
		i := slices.IndexFunc(c.Spans, func(o spans.Span) bool { return o.SpanID == l.SpanID })
		if attr.LinkType(l.Attributes) == attr.LinkUnblockedBy && i >= 0 && len(list) < maxRelated {
			list = append(list, related{
				Meaning: "had to wait for", Name: visible(c.Spans[i].Name + " " + c.Spans[i].Subject),
				Address: "change/" + c.ID.String() + "?" + url.Values{"span": {l.SpanID.String()}}.Encode(),
			})
		}
	}
	return append(list, p.related(ctx, []spans.Span{*s}, c.ID)...)
}

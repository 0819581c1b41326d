package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// perPage is how many changes a page of the list has.
const perPage = 50

// maxOpen is how many changes that are in progress are shown: as many as a Reader lists at once.
const maxOpen = 1000

// listPage is the list of changes.
type listPage struct {
	frame
	listing
	Form form
	// Wrong says what is wrong with the filter.
	Wrong string
	// Empty says what to do where there is nothing at all.
	Empty string
	// Newer leads to the first page, and Older to the next; empty for none.
	Newer, Older string
	Overview     string
	// Blank is what the script makes rows of.
	Blank row
}

// listing is what moves in a list.
type listing struct {
	Open []row `json:"open"`
	// More says what is left out of Open; empty for nothing.
	More    string `json:"more"`
	Changes []row  `json:"changes"`
	Said    string `json:"said"`
}

// row is a change in the list.
type row struct {
	Address string  `json:"address"`
	Outcome outcome `json:"outcome"`
	// Began is for people, Stamp for the element time.
	Began string `json:"began"`
	Stamp string `json:"stamp"`
	Ago   string `json:"-"` // the script knows what time it is
	Took  string `json:"took"`
	// Change is "rollout of revision 3".
	Change    string  `json:"change"`
	Namespace string  `json:"namespace"`
	Kind      string  `json:"kind"`
	Name      string  `json:"name"`
	Subject   string  `json:"subject"`
	Phases    []piece `json:"phases"`
	// Most is what was waited for most, and Slower what grew.
	Most   string `json:"most"`
	Slower string `json:"slower"`
	Why    string `json:"why"`
}

// piece is a part of a bar, in percent of its length.
type piece struct {
	Phase string  `json:"phase"`
	From  float64 `json:"from"`
	Width float64 `json:"width"`
	// Title says what it is.
	Title string `json:"title"`
}

func (p *pages) rowOf(s *history.Summary) row {
	r := row{
		Address: "change/" + s.ID.String(), Outcome: outcomeOf(s.Outcome),
		Began: clockTime(s.Start), Stamp: machineTime(s.Start), Ago: ago(p.Now(), s.Start), Took: took(s.Took()),
		Change: changeOf(s), Namespace: visible(s.Namespace), Kind: visible(s.Kind), Name: visible(s.Name),
		Phases: tiles(s), Why: visible(s.Message),
	}
	if r.Name == "" {
		r.Name = visible(s.Subject)
	}
	if !strings.HasSuffix(s.Subject, "/"+s.Name) {
		r.Subject = visible(s.Subject) // the pod of a restart, or of an activity
	}
	if most := s.Biggest(); most.Took > 0 {
		r.Most = fmt.Sprintf("%s %s", most.Phase, took(most.Took))
	}
	if s.SlowerBy.Took > 0 && s.Before > 0 && s.Took() > s.Before {
		r.Slower = fmt.Sprintf("%s +%s", visible(s.SlowerBy.Phase.String()), took(s.SlowerBy.Took))
	}
	if r.Why == "" {
		r.Why = visible(s.Reason)
	}
	return r
}

// changeOf names a change.
func changeOf(s *history.Summary) string {
	switch {
	case s.Change == attr.ChangeRollout && s.Revision > 0:
		return fmt.Sprintf("rollout of revision %d", s.Revision)
	case s.Change == "":
		return visible(s.Title)
	}
	return visible(string(s.Change))
}

// tiles are the phases of a change, one after the other, the longest first.
func tiles(s *history.Summary) (list []piece) {
	whole := time.Duration(0)
	for _, ph := range s.Phases {
		whole += max(ph.Took, 0)
	}
	at := 0.0
	for _, ph := range s.Phases {
		if ph.Took <= 0 || whole <= 0 {
			continue
		}
		width := 100 * float64(ph.Took) / float64(whole)
		list = append(list, piece{string(known(ph.Phase)), percent(at), percent(width), fmt.Sprintf("%s %s", visible(ph.Phase.String()), took(ph.Took))})
		at += width
	}
	return list
}

// percent is good enough to draw by.
func percent(x float64) float64 { return float64(int64(x*1000+0.5)) / 1000 }

// asked is a filter as an address has it.
type asked struct {
	history.Filter
	values url.Values
	after  string
}

// form is what the filter's form shows.
type form struct {
	Text, Name, Took, From, To, Since    string
	Namespaces, Kinds, Changes, Outcomes []choice
	Reasons                              []choice
	Names                                []history.Facet
	// Narrowed says that not everything is shown.
	Narrowed bool
	// More says that a part of the form that is folded away is in use.
	More bool
}

// choice is an option of a select.
type choice struct {
	Value, Label string
	Chosen       bool
}

// filterKeys are those of an address that narrow the list.
var filterKeys = []string{"q", "namespace", "kind", "name", "change", "outcome", "reason", "took", "since", "from", "to"}

// readFilter reads what an address asks for. The error says which part of it is wrong.
func (p *pages) readFilter(values url.Values) (asked, error) {
	a := asked{values: values, after: values.Get("after")}
	var wrong []error
	a.Text = strings.Join(values["q"], " ")
	a.Namespaces, a.Kinds, a.Names, a.Reasons = given(values, "namespace"), given(values, "kind"), given(values, "name"), given(values, "reason")
	for _, c := range given(values, "change") {
		a.Changes = append(a.Changes, attr.Change(c))
	}
	for _, o := range given(values, "outcome") {
		a.Outcomes = append(a.Outcomes, attr.Outcome(o))
	}
	if v := strings.TrimSpace(values.Get("took")); v != "" {
		d, err := time.ParseDuration(strings.ReplaceAll(v, " ", ""))
		if err != nil || d < 0 {
			wrong = append(wrong, fmt.Errorf("%q is not how long a change takes; write it as 30s, 5m or 1h30m", v))
		}
		a.MinDuration = d
	}
	var err error
	if a.From, err = p.readTime(values.Get("from")); err != nil {
		wrong = append(wrong, err)
	}
	if a.To, err = p.readTime(values.Get("to")); err != nil {
		wrong = append(wrong, err)
	}
	if v := values.Get("since"); v != "" && a.From.IsZero() {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			wrong = append(wrong, fmt.Errorf("%q is not a time to look back; write it as 15m or 24h", v))
		}
		a.From = p.Now().Add(-d)
	}
	return a, errors.Join(wrong...)
}

// given are the values of a key that are not empty.
func given(values url.Values, key string) (list []string) {
	for _, v := range values[key] {
		if v = strings.TrimSpace(v); v != "" {
			list = append(list, v)
		}
	}
	return list
}

// timeForms are how a time may be written, in UTC.
var timeForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// readTime reads a time; zero for none.
func (p *pages) readTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 1e9 && n < 1e11 {
		return time.Unix(n, 0).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write it as 2026-03-01 08:30, in UTC", text)
}

// narrowed are the parts of an address that narrow the list.
func (a *asked) narrowed() url.Values {
	v := url.Values{}
	for _, key := range filterKeys {
		if list := given(a.values, key); len(list) > 0 {
			v[key] = list
		}
	}
	return v
}

func (p *pages) list(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	a, wrong := p.readFilter(r.URL.Query())
	page := listPage{frame: newFrame(r, "list", "Changes", p.About), Empty: p.Empty}
	if wrong != nil {
		page.Wrong = visible(wrong.Error())
	} else {
		var err error
		if page.listing, page.Older, err = p.look(ctx, a); err != nil {
			p.fail(w, r, err)
			return
		}
	}
	facets, err := p.History.Facets(ctx, history.Filter{})
	if err != nil {
		p.fail(w, r, err)
		return
	}
	page.Form = formOf(a, facets)
	if a.after != "" {
		page.Newer = "?" + a.narrowed().Encode()
	}
	if page.Older != "" {
		v := a.narrowed()
		v.Set("after", page.Older)
		page.Older = "?" + v.Encode()
	}
	page.Overview = "overview"
	if v := a.narrowed(); len(v) > 0 {
		page.Overview += "?" + v.Encode()
	}
	if wrong == nil && (page.Form.Narrowed || len(facets.Outcomes) > 0) {
		page.Empty = ""
	}
	render(w, http.StatusOK, page.html())
}

func (p *pages) listJSON(w http.ResponseWriter, r *http.Request) {
	a, err := p.readFilter(r.URL.Query())
	if err != nil {
		p.fail(w, r, wrongRequest{err})
		return
	}
	l, _, err := p.look(r.Context(), a)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	renderJSON(w, r, l)
}

// look returns what a page of the list has: what is in progress, all of it, on the first one alone.
func (p *pages) look(ctx context.Context, a asked) (l listing, next string, err error) {
	if a.after == "" && (len(a.Outcomes) == 0 || slices.Contains(a.Outcomes, attr.OutcomeOpen)) {
		if err := p.lookAtOpen(ctx, a.Filter, &l); err != nil {
			return listing{}, "", err
		}
	}
	if len(a.Outcomes) == 0 || slices.ContainsFunc(a.Outcomes, func(o attr.Outcome) bool { return o != attr.OutcomeOpen }) {
		over := a.Filter
		over.Over = true
		page, err := p.History.List(ctx, history.Query{Filter: over, After: a.after, Limit: perPage})
		if err != nil {
			return listing{}, "", err
		}
		next = page.Next
		for i := range page.Changes {
			l.Changes = append(l.Changes, p.rowOf(&page.Changes[i]))
		}
	}
	// What has ended since it was asked for is in progress no more.
	l.Open = slices.DeleteFunc(l.Open, func(o row) bool {
		return slices.ContainsFunc(l.Changes, func(c row) bool { return c.Address == o.Address })
	})
	switch {
	case l.More != "":
		l.Said = "more than 1,000 in progress"
	case len(l.Open) > 0:
		l.Said = fmt.Sprintf("%d in progress", len(l.Open))
	case len(l.Changes) == 0:
		l.Said = "nothing"
	}
	return l, next, nil
}

// lookAtOpen adds what is in progress.
func (p *pages) lookAtOpen(ctx context.Context, f history.Filter, l *listing) error {
	f.Outcomes = []attr.Outcome{attr.OutcomeOpen}
	page, err := p.History.List(ctx, history.Query{Filter: f, Limit: maxOpen})
	if err != nil {
		return err
	}
	for i := range page.Changes {
		l.Open = append(l.Open, p.rowOf(&page.Changes[i]))
	}
	if page.Next != "" {
		l.More = "More than 1,000 changes are in progress. These began last."
	}
	return nil
}

func formOf(a asked, f history.Facets) form {
	v := a.values
	more := slices.ContainsFunc([]string{"reason", "took", "since", "from", "to"}, func(key string) bool { return v.Get(key) != "" })
	return form{
		Text: v.Get("q"), Name: v.Get("name"), Took: v.Get("took"), From: v.Get("from"), To: v.Get("to"), Since: v.Get("since"),
		Namespaces: choices(f.Namespaces, given(v, "namespace")), Kinds: choices(f.Kinds, given(v, "kind")),
		Changes: choices(f.Changes, given(v, "change")), Outcomes: choices(f.Outcomes, given(v, "outcome")),
		Reasons: choices(f.Reasons, given(v, "reason")), Names: f.Names,
		Narrowed: len(a.narrowed()) > 0, More: more,
	}
}

// choices are the values that there are, and those that were chosen.
func choices(there []history.Facet, chosen []string) (list []choice) {
	for _, f := range there {
		label := visible(f.Value)
		if f.Value == string(attr.OutcomeOpen) {
			label = "in progress"
		}
		list = append(list, choice{f.Value, fmt.Sprintf("%s (%d)", label, f.Count), slices.Contains(chosen, f.Value)})
	}
	for _, c := range chosen {
		if !slices.ContainsFunc(there, func(f history.Facet) bool { return f.Value == c }) {
			list = append(list, choice{c, visible(c) + " (0)", true})
		}
	}
	return list
}

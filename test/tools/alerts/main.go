// Command alerts evaluates rules of Prometheus, with Prometheus' own parser and engine, on what
// /metrics gave at some times. It reads a question from its standard input, and writes the
// answer to its standard output, both as JSON.
//
// Package rules of Prometheus, which has what `promtool test rules` does, imports all of its
// service discovery and takes minutes to build. What is left here is little: an alert is pending
// from the first evaluation on that its expression has a value, and fires when that has been so
// for its "for".
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/prometheus/prometheus/model/histogram"
)

// question is what is asked.
type question struct {
	// Rules is a file of rules; each is evaluated every 15 seconds from the first scrape to the
	// last one.
	Rules   string
	Scrapes []scrape
	// Exprs are expressions of which it is to be told what they name.
	Exprs []string
}

// scrape is what /metrics gave at a time.
type scrape struct {
	At   time.Time
	Text string
}

type answer struct {
	Alerts []alert  `json:"alerts"`
	Exprs  [][]name `json:"exprs"`
	Rules  []rule   `json:"rules"`
}

// alert is a time in which an alert fired, or was pending and did not.
type alert struct {
	Name     string            `json:"name"`
	Labels   map[string]string `json:"labels"`
	Since    time.Time         `json:"since"`
	Fired    time.Time         `json:"fired"`
	Resolved time.Time         `json:"resolved"`
	at       time.Time
}

// rule is one of the file's.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// name is a metric that an expression names, and the labels of it.
type name struct {
	Metric string   `json:"metric"`
	Labels []string `json:"labels"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "alerts:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var q question
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return err
	}
	language := parser.NewParser(parser.Options{})
	var a answer
	for _, expr := range q.Exprs {
		parsed, err := language.ParseExpr(expr)
		if err != nil {
			return fmt.Errorf("%s: %w", expr, err)
		}
		a.Exprs = append(a.Exprs, names(parsed))
	}
	if q.Rules != "" {
		groups, errs := rulefmt.ParseFile(q.Rules, false, model.UTF8Validation, language, slog.New(slog.DiscardHandler))
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
		memory, err := take(q.Scrapes)
		if err != nil {
			return err
		}
		for _, g := range groups.Groups {
			for _, r := range g.Rules {
				a.Rules = append(a.Rules, rule{r.Alert, r.Expr, r.Labels, r.Annotations})
				found, err := evaluate(memory, &r, q.Scrapes)
				if err != nil {
					return fmt.Errorf("%s: %w", r.Alert, err)
				}
				a.Alerts = append(a.Alerts, found...)
			}
		}
	}
	return json.NewEncoder(out).Encode(a)
}

// every is how often rules are evaluated.
const every = 15 * time.Second

// evaluate finds when the alert of a rule fired.
func evaluate(memory series, r *rulefmt.Rule, scrapes []scrape) (all []alert, err error) {
	if len(scrapes) == 0 {
		return nil, nil
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e7, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{})})
	last := scrapes[len(scrapes)-1].At
	active := map[string]*alert{}
	for at := scrapes[0].At; !at.After(last); at = at.Add(every) {
		query, err := engine.NewInstantQuery(context.Background(), memory, nil, r.Expr, at)
		if err != nil {
			return nil, err
		}
		result := query.Exec(context.Background())
		vector, err := result.Vector()
		if err != nil {
			return nil, err
		}
		for _, sample := range vector {
			metric := labels.NewBuilder(sample.Metric).Del(labels.MetricName).Labels()
			key := metric.String()
			if active[key] == nil {
				active[key] = &alert{Name: r.Alert, Labels: metric.Map(), Since: at}
			}
			active[key].at = at
			if active[key].Fired.IsZero() && at.Sub(active[key].Since) >= time.Duration(r.For) {
				active[key].Fired = at
			}
		}
		for key, a := range active {
			if !a.at.Equal(at) {
				a.Resolved = at
				all = append(all, *a)
				delete(active, key)
			}
		}
		query.Close()
	}
	for _, a := range active {
		all = append(all, *a)
	}
	slices.SortFunc(all, func(a, b alert) int {
		return strings.Compare(a.Since.Format(time.RFC3339)+fmt.Sprint(a.Labels), b.Since.Format(time.RFC3339)+fmt.Sprint(b.Labels))
	})
	return all, nil
}

// names are the metrics in an expression, with the labels that it selects by, or that
// aggregations around it, and operators that match, go by.
func names(expr parser.Expr) (all []name) {
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		selector, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		found := name{Metric: selector.Name, Labels: []string{}}
		for _, m := range selector.LabelMatchers {
			if m.Name == labels.MetricName {
				found.Metric = m.Value
				continue
			}
			found.Labels = append(found.Labels, m.Name)
		}
		for _, above := range path {
			switch above := above.(type) {
			case *parser.AggregateExpr:
				if !above.Without {
					found.Labels = append(found.Labels, above.Grouping...)
				}
			case *parser.BinaryExpr:
				if above.VectorMatching != nil && above.VectorMatching.On {
					found.Labels = append(found.Labels, above.VectorMatching.MatchingLabels...)
				}
			}
		}
		slices.Sort(found.Labels)
		found.Labels = slices.Compact(found.Labels)
		all = append(all, found)
		return nil
	})
	return all
}

// series are samples in memory, by their labels.
type series map[string]*samples

type samples struct {
	labels labels.Labels
	list   []chunks.Sample
}

// take reads scrapes as Prometheus does: a series that is not in the next scrape ends there.
func take(scrapes []scrape) (series, error) {
	all := series{}
	for _, s := range scrapes {
		at := s.At.UnixMilli()
		p, err := textparse.New([]byte(s.Text), "text/plain; version=0.0.4", labels.NewSymbolTable(), textparse.ParserOptions{})
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for {
			entry, err := p.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			if entry != textparse.EntrySeries {
				continue
			}
			var metric labels.Labels
			p.Labels(&metric)
			metric = labels.NewBuilder(metric).Set("job", "rollspan").Set("instance", "rollspan:8080").Labels()
			_, _, v := p.Series()
			key := metric.String()
			if all[key] == nil {
				all[key] = &samples{labels: metric}
			}
			all[key].list = append(all[key].list, sample{at, v})
			seen[key] = true
		}
		for key, s := range all {
			if last := s.list[len(s.list)-1]; !seen[key] && !value.IsStaleNaN(last.F()) {
				s.list = append(s.list, sample{at, math.Float64frombits(value.StaleNaN)})
			}
		}
	}
	return all, nil
}

type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// Querier implements storage.Queryable.
func (m series) Querier(int64, int64) (storage.Querier, error) { return m, nil }

// Select implements storage.Querier.
func (m series) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{at: -1}
	for _, s := range m {
		if !slices.ContainsFunc(matchers, func(by *labels.Matcher) bool { return !by.Matches(s.labels.Get(by.Name)) }) {
			set.list = append(set.list, storage.NewListSeries(s.labels, s.list))
		}
	}
	slices.SortFunc(set.list, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return set
}

// LabelValues implements storage.Querier.
func (m series) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier.
func (m series) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (m series) Close() error { return nil }

type seriesSet struct {
	list []storage.Series
	at   int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.list) }
func (s *seriesSet) At() storage.Series                { return s.list[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

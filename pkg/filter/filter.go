// Package filter selects what is sent by what people know of it: the reason and the namespace of an
// Event, the outcome of a change.
//
// A rule is a list, as in `type=Warning,reason=BackOff|FailedScheduling,namespace=shop*`, and not an
// expression in a language such as CEL: it can be written from what `kubectl get events` prints, and
// be read by whoever finds it in a manifest; what is wrong in it can be said with the field's name;
// and it takes no time and no library. What it cannot say, such as the text of a message, a Collector
// or the log store selects by.
package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollspan/rollspan/pkg/internal/spelling"
)

// Field is what a rule can ask for.
type Field struct {
	Name string
	// Values are those that there are; nil where there may be any.
	Values []string
	// Known are some of those that there are, where there may be any: what is one of them but for
	// its case, or in the plural, as kubectl takes it, matches nothing and is refused.
	Known []string
}

// Kinds are the Known values of a field that has the kinds of objects.
func Kinds() []string {
	return []string{
		"Pod", "Node", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController", "Job", "CronJob", "Rollout",
		"PersistentVolumeClaim", "HorizontalPodAutoscaler", "Service", "Namespace",
	}
}

// Facts returns the value of a field; empty for none, which no rule asks for.
type Facts func(field string) string

// Filter passes what a rule of Include matches, where there are any, and none of Exclude does. The
// zero value passes all.
type Filter struct{ Include, Exclude []Rule }

// Passes reports whether something passes.
func (f Filter) Passes(of Facts) bool {
	matches := func(r Rule) bool { return r.matches(of) }
	return (len(f.Include) == 0 || slices.ContainsFunc(f.Include, matches)) && !slices.ContainsFunc(f.Exclude, matches)
}

// Rule matches what has, of each field that it names, one of the values.
type Rule struct{ terms []term }

// term is what a rule says of one field.
type term struct {
	field  string
	values []string
}

// Parse reads the rules of the flags --NAME-include and --NAME-exclude, each as in
// "type=Warning,reason=BackOff|Failed*". In a value * stands for any text. Its errors name the flag
// and the field, and what was probably meant.
func Parse(name string, fields []Field, include, exclude []string) (f Filter, err error) {
	var wrong []error
	read := func(flag string, texts []string) (rules []Rule) {
		for _, text := range texts {
			rule, err := parse(fields, text)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("--%s: %q: %w", flag, text, err))
				continue
			}
			rules = append(rules, rule)
		}
		return rules
	}
	f = Filter{Include: read(name+"-include", include), Exclude: read(name+"-exclude", exclude)}
	return f, errors.Join(wrong...)
}

func parse(fields []Field, text string) (rule Rule, err error) {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	for part := range strings.SplitSeq(text, ",") {
		field, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		field = strings.TrimSpace(field)
		at := slices.Index(names, field)
		switch {
		case strings.HasSuffix(field, "!"):
			return Rule{}, fmt.Errorf("%s: a rule says what a value is, and not what it is not; exclude what is not wanted", strings.TrimSuffix(field, "!"))
		case at < 0:
			return Rule{}, unknown("field", field, names)
		case !ok:
			return Rule{}, fmt.Errorf("%s: there is no value; write %s=VALUE, or %s=VALUE|VALUE", field, field, field)
		case slices.ContainsFunc(rule.terms, func(t term) bool { return t.field == field }):
			return Rule{}, fmt.Errorf("%s: it is there twice, and nothing has two; write %s=VALUE|VALUE for either of two", field, field)
		}
		t := term{field: field}
		for one := range strings.SplitSeq(value, "|") {
			one = strings.TrimSpace(one)
			if err := fields[at].check(one); err != nil {
				return Rule{}, fmt.Errorf("%s: %w", field, err)
			}
			t.values = append(t.values, one)
		}
		rule.terms = append(rule.terms, t)
	}
	return rule, nil
}

// noValueHas are what patterns and expressions of other languages have, and no value of a field.
const noValueHas = `?[]\/="'`

// check finds what is wrong with a value that a rule has.
func (f *Field) check(value string) error {
	switch {
	case value == "":
		return fmt.Errorf("it has an empty value; write %s=VALUE, %s=VALUE|VALUE, or %s=* for any", f.Name, f.Name, f.Name)
	case strings.ContainsAny(value, noValueHas):
		return fmt.Errorf(`no value has a character of %s, as %q does; only * stands for others`, noValueHas, value)
	case f.Values != nil && !slices.ContainsFunc(f.Values, func(there string) bool { return like(there, value) }):
		return unknown(f.Name, value, f.Values)
	}
	// Kinds begin with a capital. Within one, as in Microservice, the word may have none.
	bare := strings.TrimRight(value, "*")
	for _, known := range f.Known {
		if bare != known && (strings.EqualFold(bare, known) || strings.EqualFold(bare, known+"s")) {
			return fmt.Errorf("there is no %s %q; did you mean %q?", f.Name, value, known)
		}
	}
	return nil
}

func (r Rule) matches(of Facts) bool {
	for _, t := range r.terms {
		has := of(t.field)
		if has == "" || !slices.ContainsFunc(t.values, func(pattern string) bool { return like(has, pattern) }) {
			return false
		}
	}
	return true
}

// like reports whether a text is as a pattern says, in which * stands for any text.
func like(text, pattern string) bool {
	first, rest, more := strings.Cut(pattern, "*")
	text, ok := strings.CutPrefix(text, first)
	if !ok || !more {
		return ok && text == ""
	}
	parts := strings.Split(rest, "*")
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

// unknown is the error about a word that is none of those that there are.
func unknown(what, word string, known []string) error {
	if best := spelling.Nearest(word, known, 3); best != "" {
		return fmt.Errorf("there is no %s %q; did you mean %q? There are %s", what, word, best, strings.Join(known, ", "))
	}
	return fmt.Errorf("there is no %s %q; there are %s", what, word, strings.Join(known, ", "))
}

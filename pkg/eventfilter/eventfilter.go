// Package eventfilter selects Kubernetes Events by what people know of them: their type, reason and
// namespace, and the kind of the object that they are about.
//
// A rule is a list, as in `type=Warning,reason=BackOff|FailedScheduling,namespace=shop*`, and not an
// expression in a language such as CEL: it can be written from what `kubectl get events` prints, and
// be read by whoever finds it in a manifest; what is wrong in it can be said with the field's name;
// and it takes no time and no library. What it cannot say, such as the text of a message, a Collector
// or the log store selects by.
package eventfilter

import (
	"fmt"
	"slices"
	"strings"
)

// Event is what an Event is selected by.
type Event struct {
	// Namespace is that of the Event itself, as `kubectl get events --all-namespaces` shows it:
	// Events about Nodes are in default.
	Namespace string
	// Type is "Normal" or "Warning".
	Type string
	// Reason is the Event's reason: "BackOff".
	Reason string
	// Kind is that of the object that it is about: "Pod".
	Kind string
}

// Filter passes the Events that a rule of Include matches, where there are any, and none of
// Exclude does. The zero value passes all.
type Filter struct{ Include, Exclude []Rule }

// Passes reports whether an Event passes.
func (f Filter) Passes(e Event) bool {
	matches := func(r Rule) bool { return r.Matches(e) }
	return (len(f.Include) == 0 || slices.ContainsFunc(f.Include, matches)) && !slices.ContainsFunc(f.Exclude, matches)
}

// Rule matches Events that have, of each field that it names, one of the values.
type Rule struct{ terms []term }

// term is what a rule says of one field.
type term struct {
	field  string
	values []string
}

// Fields are those that a rule can name.
var Fields = []string{"namespace", "type", "reason", "kind"}

// types are those that an Event has (k8s.io/kubernetes/pkg/apis/core/validation/events.go).
var types = []string{"Normal", "Warning"}

// Parse reads a rule, as in "type=Warning,reason=BackOff|Failed*". In a value * stands for any
// text. Its errors name the field, and what was probably meant.
func Parse(text string) (Rule, error) {
	var rule Rule
	for part := range strings.SplitSeq(text, ",") {
		field, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		field = strings.TrimSpace(field)
		switch {
		case !slices.Contains(Fields, field):
			return Rule{}, unknown("field", field, Fields)
		case !ok:
			return Rule{}, fmt.Errorf("%s: there is no value; write %s=VALUE, or %s=VALUE|VALUE", field, field, field)
		case slices.ContainsFunc(rule.terms, func(t term) bool { return t.field == field }):
			return Rule{}, fmt.Errorf("%s: it is there twice, and no Event has two; write %s=VALUE|VALUE for either of two", field, field)
		}
		t := term{field: field}
		for one := range strings.SplitSeq(value, "|") {
			one = strings.TrimSpace(one)
			if one == "" {
				return Rule{}, fmt.Errorf("%s: %q has an empty value; write %s=VALUE, or %s=VALUE|VALUE", field, value, field, field)
			}
			if field == "type" && !slices.Contains(types, one) {
				return Rule{}, fmt.Errorf("%s: %w", field, unknown("type", one, types))
			}
			t.values = append(t.values, one)
		}
		rule.terms = append(rule.terms, t)
	}
	return rule, nil
}

// ParseAll reads rules. An error says which flag they are of.
func ParseAll(flag string, texts []string) (rules []Rule, err error) {
	for _, text := range texts {
		rule, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("--%s: %q: %w", flag, text, err)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// Matches reports whether the rule matches an Event.
func (r Rule) Matches(e Event) bool {
	for _, t := range r.terms {
		has := e.Namespace
		switch t.field {
		case "type":
			has = e.Type
		case "reason":
			has = e.Reason
		case "kind":
			has = e.Kind
		}
		if !slices.ContainsFunc(t.values, func(pattern string) bool { return like(has, pattern) }) {
			return false
		}
	}
	return true
}

// String is the rule as it is written.
func (r Rule) String() string {
	var parts []string
	for _, t := range r.terms {
		parts = append(parts, t.field+"="+strings.Join(t.values, "|"))
	}
	return strings.Join(parts, ",")
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
	best := slices.MinFunc(known, func(a, b string) int {
		return distance(strings.ToLower(word), strings.ToLower(a)) - distance(strings.ToLower(word), strings.ToLower(b))
	})
	if distance(strings.ToLower(word), strings.ToLower(best)) <= 3 {
		return fmt.Errorf("there is no %s %q; did you mean %q? There are %s", what, word, best, strings.Join(known, ", "))
	}
	return fmt.Errorf("there is no %s %q; there are %s", what, word, strings.Join(known, ", "))
}

// distance is how many letters must be added, dropped or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

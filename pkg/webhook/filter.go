package webhook

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// What a filter can ask for.
const (
	fieldType      = "type"
	fieldNamespace = "namespace"
	fieldKind      = "kind"
	fieldChange    = "change"
	fieldOutcome   = "outcome"
	fieldReason    = "reason"
	fieldAlarm     = "alarm"
)

// fields are these, each with the values that there are; nil where there may be any.
var fields = map[string][]string{
	fieldType: {"alarm", "change"}, fieldNamespace: nil, fieldKind: nil, fieldReason: nil, fieldAlarm: nil,
	fieldChange: words(attr.ChangeRollout, attr.ChangeScale, attr.ChangeDelete, attr.ChangeJob, attr.ChangeSchedule,
		attr.ChangeRun, attr.ChangeReplacement, attr.ChangeRestart, attr.ChangeDisruption),
	fieldOutcome: words(attr.OutcomeComplete, attr.OutcomeFailed, attr.OutcomeSuperseded, attr.OutcomeSuspended,
		attr.OutcomeSkipped, attr.OutcomeDeleted),
}

func words[T ~string](list ...T) (out []string) {
	for _, one := range list {
		out = append(out, string(one))
	}
	return out
}

// facts are what filters know of an event. What is not there, as the outcome of an alarm, is no
// value, and * is none either.
type facts map[string]string

// clause asks for one value of several in each of its fields.
type clause map[string][]string

// Filter says which events are sent: those that any of the included clauses asks for, or all if
// there is none, without those that any of the excluded asks for.
type Filter struct{ include, exclude []clause }

// ParseFilter reads clauses, "reason=A|B,namespace=shop": fields are joined by commas, and all of
// them have to fit; their values by |, of which one has to, and in which * stands for any
// characters. Errors name the flags, which are --webhook-include and --webhook-exclude.
func ParseFilter(include, exclude []string) (f Filter, err error) {
	var errs []error
	for _, list := range []struct {
		flag    string
		texts   []string
		clauses *[]clause
	}{{"--webhook-include", include, &f.include}, {"--webhook-exclude", exclude, &f.exclude}} {
		for _, text := range list.texts {
			c, err := parseClause(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", list.flag, err))
				continue
			}
			*list.clauses = append(*list.clauses, c)
		}
	}
	return f, errors.Join(errs...)
}

func parseClause(text string) (clause, error) {
	c := clause{}
	for part := range strings.SplitSeq(text, ",") {
		field, values, ok := strings.Cut(part, "=")
		field = strings.TrimSpace(field)
		known, there := fields[field]
		switch {
		case !ok:
			return nil, fmt.Errorf("%q is not field=value; write as in outcome=failed,namespace=shop|prod", part)
		case !there:
			return nil, fmt.Errorf("%q is not a field: there are %s", field, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case c[field] != nil:
			return nil, fmt.Errorf("%s is there twice; join its values as in %s=A|B", field, field)
		}
		for value := range strings.SplitSeq(values, "|") {
			value = strings.TrimSpace(value)
			switch {
			case value == "":
				return nil, fmt.Errorf("%s has an empty value; leave it out, or write * for any", field)
			case strings.ContainsAny(value, `?[]\/`):
				return nil, fmt.Errorf("%s=%s: no value has a character of ?[]\\/; only * stands for others", field, value)
			case known != nil && !slices.ContainsFunc(known, func(k string) bool { return fits(value, k) }):
				return nil, fmt.Errorf("%s=%s: there is no such %s, but %s", field, value, field, strings.Join(known, ", "))
			}
			c[field] = append(c[field], value)
		}
	}
	return c, nil
}

// fits says whether a value is what a pattern asks for.
func fits(pattern, value string) bool {
	ok, err := path.Match(pattern, value)
	return err == nil && ok && value != ""
}

func (c clause) wants(of facts) bool {
	for field, patterns := range c {
		if !slices.ContainsFunc(patterns, func(p string) bool { return fits(p, of[field]) }) {
			return false
		}
	}
	return true
}

func (f Filter) wants(of facts) bool {
	asked := func(c clause) bool { return c.wants(of) }
	return (len(f.include) == 0 || slices.ContainsFunc(f.include, asked)) && !slices.ContainsFunc(f.exclude, asked)
}

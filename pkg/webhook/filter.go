package webhook

import (
	"maps"
	"slices"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/filter"
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

var fields = []filter.Field{
	{Name: fieldType, Values: []string{"alarm", "change"}}, {Name: fieldNamespace},
	{Name: fieldKind, Known: filter.Kinds()},
	{Name: fieldChange, Values: words(attr.ChangeRollout, attr.ChangeScale, attr.ChangeDelete, attr.ChangeJob, attr.ChangeSchedule,
		attr.ChangeRun, attr.ChangeReplacement, attr.ChangeRestart, attr.ChangeDisruption)},
	{Name: fieldOutcome, Values: words(attr.OutcomeComplete, attr.OutcomeFailed, attr.OutcomeSuperseded, attr.OutcomeSuspended,
		attr.OutcomeSkipped, attr.OutcomeDeleted)},
	{Name: fieldReason}, {Name: fieldAlarm, Values: slices.Sorted(maps.Keys(alarms.Names()))},
}

func words[T ~string](list ...T) (out []string) {
	for _, one := range list {
		out = append(out, string(one))
	}
	return out
}

// facts are what filters know of an event.
type facts map[string]string

func (f facts) get(field string) string { return f[field] }

// filter says which events are sent.
func (c *Config) filter() (filter.Filter, error) {
	return filter.Parse("webhook", fields, c.Include, c.Exclude)
}

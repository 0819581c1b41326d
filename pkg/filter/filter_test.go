package filter_test

import (
	"strings"
	"testing"

	"github.com/rollspan/rollspan/pkg/filter"
)

var fields = []filter.Field{{Name: "namespace"}, {Name: "type", Values: []string{"Normal", "Warning"}}, {Name: "reason"}, {Name: "kind", Known: filter.Kinds()}, {Name: "node"}}

func TestFilter(t *testing.T) {
	backOff := map[string]string{"namespace": "shop", "type": "Warning", "reason": "BackOff", "kind": "Pod"}
	for _, c := range []struct {
		include, exclude []string
		want             bool
	}{
		{want: true},
		{include: []string{"type=Warning"}, want: true},
		{include: []string{"type=Normal"}},
		{include: []string{"type=Normal", "reason=BackOff"}, want: true},
		{include: []string{"type=Warning,reason=BackOff|FailedScheduling,namespace=shop"}, want: true},
		{include: []string{"type=Warning,reason=BackOff,namespace=other"}},
		{include: []string{"namespace=sh*"}, want: true},
		{include: []string{"namespace=*op , kind=Pod"}, want: true},
		{include: []string{"namespace=s*h*p"}, want: true},
		{include: []string{"namespace=s*p*p"}},
		{include: []string{"namespace=shop*p"}},
		{include: []string{"reason=Back"}},
		{include: []string{"reason=backoff"}}, // reasons have a case
		{exclude: []string{"reason=*"}},
		{exclude: []string{"node=*"}, want: true}, // it has none
		{include: []string{"type=W*"}, want: true},
		{exclude: []string{"kind=Node"}, want: true},
		{include: []string{"kind=Po*|*Pod*"}, want: true},
		{include: []string{"kind=PodGroup|pinguin"}},
		{include: []string{"kind=*service|*node*"}}, // as in Microservice and Supernode
		{include: []string{"type=Warning"}, exclude: []string{"namespace=shop,kind=Pod"}},
	} {
		f, err := filter.Parse("events", fields, c.include, c.exclude)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Passes(func(field string) string { return backOff[field] }); got != c.want {
			t.Errorf("include %q, exclude %q: %t", c.include, c.exclude, got)
		}
	}
}

// What is wrong is refused with the flag, the field, and what was probably meant.
func TestWrongRules(t *testing.T) {
	for text, want := range map[string]string{
		"reson=BackOff":                `there is no field "reson"; did you mean "reason"?`,
		"Type=Warning":                 `there is no field "Type"; did you mean "type"?`,
		"message=no":                   `there is no field "message"; there are namespace, type, reason, kind, node`,
		"":                             `there is no field ""`,
		"type=Warn":                    `type: there is no type "Warn"; did you mean "Warning"?`,
		"type=normal":                  `type: there is no type "normal"; did you mean "Normal"?`,
		"reason!=BackOff":              `reason: a rule says what a value is`,
		"reason==BackOff":              `reason: no value has a character of`,
		`reason="BackOff"`:             `reason: no value has a character of`,
		"kind=pod":                     `kind: there is no kind "pod"; did you mean "Pod"?`,
		"kind=Job|deployments":         `kind: there is no kind "deployments"; did you mean "Deployment"?`,
		"kind=statefulset*":            `kind: there is no kind "statefulset*"; did you mean "StatefulSet"?`,
		"reason":                       `reason: there is no value`,
		"reason=":                      `reason: it has an empty value`,
		"reason=A|":                    `reason: it has an empty value`,
		"kind=Pod,kind=Node":           `kind: it is there twice`,
		"namespace=[a-z]":              `namespace: no value has a character of ?[]\/="', as "[a-z]" does`,
		"namespace=shop,,type=Warning": `there is no field ""`,
	} {
		_, err := filter.Parse("events", fields, nil, []string{"kind=Pod", text})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--events-exclude: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

package eventfilter_test

import (
	"strings"
	"testing"

	"github.com/rollspan/rollspan/pkg/eventfilter"
)

func rules(t *testing.T, texts ...string) []eventfilter.Rule {
	t.Helper()
	out, err := eventfilter.ParseAll("events-include", texts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFilter(t *testing.T) {
	backOff := eventfilter.Event{Namespace: "shop", Type: "Warning", Reason: "BackOff", Kind: "Pod"}
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
		{exclude: []string{"kind=Node"}, want: true},
		{include: []string{"type=Warning"}, exclude: []string{"namespace=shop,kind=Pod"}},
	} {
		f := eventfilter.Filter{Include: rules(t, c.include...), Exclude: rules(t, c.exclude...)}
		if got := f.Passes(backOff); got != c.want {
			t.Errorf("include %q, exclude %q: %t", c.include, c.exclude, got)
		}
	}
}

// What is wrong is refused with the flag, the field, and what was probably meant.
func TestWrongRules(t *testing.T) {
	for text, want := range map[string]string{
		"reson=BackOff":                `there is no field "reson"; did you mean "reason"?`,
		"Type=Warning":                 `there is no field "Type"; did you mean "type"?`,
		"message=no":                   `there is no field "message"; there are namespace, type, reason, kind`,
		"":                             `there is no field ""`,
		"type=Warn":                    `type: there is no type "Warn"; did you mean "Warning"?`,
		"type=normal":                  `type: there is no type "normal"; did you mean "Normal"?`,
		"reason":                       `reason: there is no value`,
		"reason=":                      `reason: "" has an empty value`,
		"reason=A|":                    `reason: "A|" has an empty value`,
		"kind=Pod,kind=Node":           `kind: it is there twice`,
		"namespace=shop,,type=Warning": `there is no field ""`,
	} {
		_, err := eventfilter.ParseAll("events-exclude", []string{"kind=Pod", text})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--events-exclude: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRuleIsPrintedAsItIsWritten(t *testing.T) {
	if got := rules(t, "type=Warning, reason=A|B*")[0].String(); got != "type=Warning,reason=A|B*" {
		t.Error(got)
	}
}

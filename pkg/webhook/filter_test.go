package webhook

import (
	"strings"
	"testing"
)

// TestFilters asks for what people ask for.
func TestFilters(t *testing.T) {
	failed := facts{fieldType: "change", fieldNamespace: "shop", fieldKind: "Deployment", fieldChange: "rollout", fieldOutcome: "failed", fieldReason: "ProgressDeadlineExceeded"}
	restart := facts{fieldType: "change", fieldNamespace: "shop-eu", fieldKind: "StatefulSet", fieldChange: "restart", fieldOutcome: "complete"}
	alarm := facts{fieldType: "alarm", fieldKind: "Node", fieldAlarm: "RollspanNodeNotReady", fieldReason: "KubeletNotReady"}
	for _, test := range []struct {
		include, exclude       string // clauses apart by a space
		failed, restart, alarm bool
	}{
		{"", "", true, true, true},
		{"outcome=failed", "", true, false, false},
		{"outcome=failed type=alarm", "", true, false, true},
		{"namespace=shop,change=rollout|scale", "", true, false, false},
		{"namespace=shop*", "", true, true, false},
		{"reason=*DeadlineExceeded|Kubelet*", "", true, false, true},
		{"", "kind=Deployment|StatefulSet,change=restart", true, false, true},
		{"type=change", "namespace=shop", false, true, false},
		{"alarm=*", "", false, false, true},
		{" kind = Node | Deployment ", "reason=KubeletNotReady", true, false, false},
	} {
		split := func(s string) []string {
			if strings.HasPrefix(s, " ") {
				return []string{s}
			}
			return strings.Fields(s)
		}
		f, err := ParseFilter(split(test.include), split(test.exclude))
		if err != nil {
			t.Fatalf("%q, %q: %v", test.include, test.exclude, err)
		}
		if a, b, c := f.wants(failed), f.wants(restart), f.wants(alarm); a != test.failed || b != test.restart || c != test.alarm {
			t.Errorf("include %q, exclude %q: the rollout %t, the restart %t, the alarm %t", test.include, test.exclude, a, b, c)
		}
	}
}

// TestWrongFilters are refused with the name of the flag and of the field.
func TestWrongFilters(t *testing.T) {
	for clause, want := range map[string]string{
		"":                             `"" is not field=value`,
		"failed":                       `"failed" is not field=value`,
		"outcom=failed":                `"outcom" is not a field: there are alarm, change,`,
		"outcome=fail":                 "outcome=fail: there is no such outcome, but complete, failed,",
		"outcome=open":                 "there is no such outcome",
		"change=activity":              "there is no such change",
		"type=trace":                   "there is no such type, but alarm, change",
		"namespace=":                   "namespace has an empty value",
		"namespace=a||b":               "namespace has an empty value",
		"namespace=a,namespace=b":      "namespace is there twice; join its values as in namespace=A|B",
		"namespace=[a-z]":              "no value has a character of",
		"outcome=failed,namespace":     `"namespace" is not field=value`,
		"outcome=failed, kind=Job,x=y": `"x" is not a field`,
	} {
		for flag, lists := range map[string][2][]string{"--webhook-include: ": {{clause}, nil}, "--webhook-exclude: ": {nil, {clause}}} {
			if _, err := ParseFilter(lists[0], lists[1]); err == nil || !strings.HasPrefix(err.Error(), flag) || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: the error is %v, want %s…%s", clause, err, flag, want)
			}
		}
	}
}

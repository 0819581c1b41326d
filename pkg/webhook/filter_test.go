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
		f, err := (&Config{Include: split(test.include), Exclude: split(test.exclude)}).filter()
		if err != nil {
			t.Fatalf("%q, %q: %v", test.include, test.exclude, err)
		}
		if a, b, c := f.Passes(failed.get), f.Passes(restart.get), f.Passes(alarm.get); a != test.failed || b != test.restart || c != test.alarm {
			t.Errorf("include %q, exclude %q: the rollout %t, the restart %t, the alarm %t", test.include, test.exclude, a, b, c)
		}
	}
}

// TestWrongFilters are refused with the name of the flag and of the field.
func TestWrongFilters(t *testing.T) {
	for clause, want := range map[string]string{
		"":                             `there is no field ""`,
		"failed":                       `there is no field "failed"; there are type, namespace,`,
		"outcom=failed":                `there is no field "outcom"; did you mean "outcome"?`,
		"outcome=fail":                 `outcome: there is no outcome "fail"; did you mean "failed"? There are complete, failed,`,
		"outcome=open":                 `there is no outcome "open"`,
		"change=activity":              `there is no change "activity"`,
		"alarm=NodeNotReady":           `alarm: there is no alarm "NodeNotReady"; there are RollspanCrashLoop, RollspanNodeNotReady,`,
		"alarm=RollspanPodBackoff":     `alarm: there is no alarm "RollspanPodBackoff"; did you mean "RollspanPodBackOff"?`,
		"kind=deployment":              `kind: there is no kind "deployment"; did you mean "Deployment"?`,
		"type=trace":                   `there is no type "trace"; there are alarm, change`,
		"namespace=":                   "namespace: it has an empty value",
		"namespace=a||b":               "namespace: it has an empty value",
		"namespace=a,namespace=b":      "namespace: it is there twice, and nothing has two; write namespace=VALUE|VALUE",
		"namespace=[a-z]":              "no value has a character of",
		"outcome=failed,namespace":     "namespace: there is no value; write namespace=VALUE",
		"outcome=failed, kind=Job,x=y": `there is no field "x"`,
	} {
		for flag, lists := range map[string][2][]string{"--webhook-include: ": {{clause}, nil}, "--webhook-exclude: ": {nil, {clause}}} {
			if _, err := (&Config{Include: lists[0], Exclude: lists[1]}).filter(); err == nil || !strings.HasPrefix(err.Error(), flag) || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: the error is %v, want %s…%s", clause, err, flag, want)
			}
		}
	}
}

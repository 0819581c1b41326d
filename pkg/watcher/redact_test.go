package watcher

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func redacted(t *testing.T, r *redactor, object string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		t.Fatal(err)
	}
	r.object(m)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const secretEnv = `"env":[{"name":"A","value":"s3cret"},{"name":"B","value":""},{"name":"C","valueFrom":{"secretKeyRef":{"name":"n","key":"k"}}}]`

// Wherever a recorded kind has containers, and wherever a copy of those is kept.
func TestRedact(t *testing.T) {
	r := newRedactor()
	template := `"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c",` + secretEnv + `}]}}`
	applied := func(object string) string {
		return `"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quote(object) + `}`
	}
	cases := map[string]string{
		"init containers": `{"kind":"Pod","spec":{"initContainers":[{` + secretEnv + `}],"ephemeralContainers":[{` + secretEnv + `}]}}`,
		"a template's annotation": `{"kind":"StatefulSet","spec":{"template":{"metadata":{` +
			applied(`{"spec":{"containers":[{`+secretEnv+`}]}}`) + `}}}}`,
		"an annotation in an annotation": `{"metadata":{` +
			applied(`{"spec":{"template":{"metadata":{`+applied(`{"spec":{"containers":[{`+secretEnv+`}]}}`)+`}}}}`) + `}}`,
		"a revision of another kind": `{"data":{"spec":{` + template + `}}}`,
	}
	for _, kind := range []string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicationController", "Pod", "Shop"} {
		spec := template
		switch kind {
		case "CronJob":
			spec = `"jobTemplate":{"spec":{` + template + `}}`
		case "Pod":
			spec = `"containers":[{"name":"c",` + secretEnv + `}]`
		}
		object := `{"kind":"` + kind + `","spec":{` + spec + `}`
		cases[kind] = object + `}`
		cases[kind+" as applied"] = object + `,"metadata":{` + applied(cases[kind]) + `}}`
	}
	for name, object := range cases {
		got := redacted(t, r, object)
		if strings.Contains(got, "s3cret") || !regexp.MustCompile(`redacted:[0-9a-f]{8}`).MatchString(got) {
			t.Errorf("%s: %s", name, got)
		}
		if !strings.Contains(got, "secretKeyRef") || strings.Count(got, "redacted:") != strings.Count(object, "s3cret") {
			t.Errorf("%s: too much or too little: %s", name, got)
		}
	}
}

// Of a ControllerRevision the number is kept, and nothing of what it holds,
// which is for its controller to know.
func TestRedactControllerRevision(t *testing.T) {
	got := redacted(t, newRedactor(), `{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"db-1"},"revision":3,
		"data":{"spec":{"template":{"spec":{"containers":[{`+secretEnv+`}]}},"password":"s3cret"}}}`)
	if strings.Contains(got, "s3cret") || strings.Contains(got, `"data"`) || !strings.Contains(got, `"revision":3`) || !strings.Contains(got, `"db-1"`) {
		t.Error(got)
	}
}

// What cannot be looked through is not let through, and what need not be is as
// it was.
func TestRedactAnnotations(t *testing.T) {
	for annotation, kept := range map[string]bool{
		`plain`: true,
		`00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`: true,
		`{"replicas":1, "n":1}`:                                   true,
		`{"env":"prod"}`:                                          true,
		`{"env": s3cret`:                                          false,
		`{"env":"prod"} {"env": [{}]}`:                            false,
		`"env": [{"value": "s3cret"}]`:                            false,
		`H4sIAAAAAAAA/8pIzcnJBwAAAP//`:                            false, // "hello", as rancher and others keep what they applied
		`UEsDBBQAAAAIAA`:                                          false,
	} {
		got := redacted(t, newRedactor(), `{"metadata":{"annotations":{"a":`+quote(annotation)+`}}}`)
		if strings.Contains(got, quote(annotation)) != kept {
			t.Errorf("%s: %s", annotation, got)
		}
	}
	got := redacted(t, newRedactor(), `{"metadata":{"annotations":{"a":`+quote(`{"n":12345678901234567890,`+secretEnv+`}`)+`}}}`)
	if !strings.Contains(got, "12345678901234567890") || strings.Contains(got, "s3cret") {
		t.Errorf("a number changed: %s", got)
	}
}

// Changes between values show, and are the same everywhere in one recording,
// but not in another.
func TestRedactKeepsDifferences(t *testing.T) {
	r := newRedactor()
	first, again := r.value("a"), r.value("a")
	if first != again || first == r.value("b") {
		t.Error("values cannot be compared")
	}
	if r.value("a") == newRedactor().value("a") {
		t.Error("two recordings have one key")
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

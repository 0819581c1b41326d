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

func TestRedact(t *testing.T) {
	r := newRedactor()
	env := `"env":[{"name":"A","value":"s3cret"},{"name":"B","value":""},{"name":"C","valueFrom":{"secretKeyRef":{"name":"n","key":"k"}}}]`
	for name, object := range map[string]string{
		"pod":        `{"spec":{"containers":[{"name":"c",` + env + `}]}}`,
		"init":       `{"spec":{"initContainers":[{` + env + `}],"ephemeralContainers":[{` + env + `}]}}`,
		"template":   `{"spec":{"template":{"spec":{"containers":[{` + env + `}]}}}}`,
		"cron job":   `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{` + env + `}]}}}}}}`,
		"revision":   `{"data":{"spec":{"template":{"spec":{"containers":[{` + env + `}]}}}}}`,
		"annotation": `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quote(`{"spec":{"containers":[{`+env+`}]},"n":12345678901234567890}`) + `}}}`,
	} {
		got := redacted(t, r, object)
		if strings.Contains(got, "s3cret") || !regexp.MustCompile(`redacted:[0-9a-f]{8}`).MatchString(got) {
			t.Errorf("%s: %s", name, got)
		}
		if !strings.Contains(got, "secretKeyRef") || strings.Count(got, "redacted:") != strings.Count(object, "s3cret") {
			t.Errorf("%s: too much or too little: %s", name, got)
		}
		if name == "annotation" && !strings.Contains(got, "12345678901234567890") {
			t.Errorf("a number changed: %s", got)
		}
	}

	// An annotation that cannot be looked through is not let through.
	got := redacted(t, r, `{"metadata":{"annotations":{"a":"{\"env\": s3cret","b":"plain"}}}`)
	if strings.Contains(got, "s3cret") || !strings.Contains(got, "plain") {
		t.Error(got)
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

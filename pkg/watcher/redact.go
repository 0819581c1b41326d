package watcher

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// redactor replaces the literal values of environment variables, which often
// are secrets, by "redacted:" and 8 hex digits that are the same for the same
// value. So it still shows that a value changed, and a workload whose template
// changed is still seen to have changed. The digits are of an HMAC under a key
// that is made for one recording and kept nowhere, so they cannot be tried
// out against guesses.
type redactor struct{ key []byte }

func newRedactor() *redactor {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return &redactor{key}
}

func (r *redactor) value(v string) string {
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(v))
	return "redacted:" + hex.EncodeToString(mac.Sum(nil)[:4])
}

// object redacts an object in place: each list of environment variables,
// wherever it is (pods, templates of any depth, custom resources), also in
// JSON inside of an annotation of the object or of a template, as kubectl apply
// keeps it. An annotation that looks like such JSON and is none, or that nobody
// can look into, is replaced as a whole.
//
// The data of a ControllerRevision is left out: it is whatever its controller
// keeps there, and a replay needs its number only.
func (r *redactor) object(object map[string]any) {
	if object["kind"] == controllerRevisionKind.Kind {
		delete(object, "data")
	}
	r.walk(object)
}

// walk redacts below v and says whether there was anything to redact.
func (r *redactor) walk(v any) (changed bool) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			changed = r.walk(element) || changed
		}
	case map[string]any:
		for key, inner := range v {
			switch inner := inner.(type) {
			case []any:
				if key == "env" {
					changed = r.variables(inner) || changed
				}
			case map[string]any:
				if key == "annotations" {
					changed = r.annotations(inner) || changed
				}
			}
			changed = r.walk(inner) || changed
		}
	}
	return changed
}

func (r *redactor) annotations(annotations map[string]any) (changed bool) {
	for key, v := range annotations {
		s, ok := v.(string)
		if !ok {
			continue
		}
		if redacted := r.annotation(s); redacted != s {
			annotations[key] = redacted
			changed = true
		}
	}
	return changed
}

func (r *redactor) annotation(s string) string {
	switch {
	case strings.HasPrefix(s, "H4sI"), strings.HasPrefix(s, "UEsD"):
		// gzip or zip in base64, as some deployers keep what they applied.
		return r.value(s)
	case !strings.Contains(s, `"env"`) && !strings.Contains(s, `"env\`):
		return s // the second is how it looks within JSON within JSON
	}
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return r.value(s)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return r.value(s) // more than one document
	}
	if !r.walk(document) {
		return s
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		return r.value(s)
	}
	return out.String()
}

func (r *redactor) variables(list []any) (changed bool) {
	for _, element := range list {
		variable, _ := element.(map[string]any)
		if value, ok := variable["value"].(string); ok && value != "" {
			variable["value"] = r.value(value)
			changed = true
		}
	}
	return changed
}

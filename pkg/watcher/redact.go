package watcher

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
// JSON inside of an annotation, as kubectl apply keeps it. An annotation that
// looks like such JSON and is none is replaced as a whole.
func (r *redactor) object(object map[string]any) {
	r.walk(object)
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	for key, v := range annotations {
		if s, ok := v.(string); ok {
			annotations[key] = r.annotation(s)
		}
	}
}

func (r *redactor) annotation(s string) string {
	if !bytes.Contains([]byte(s), []byte(`"env"`)) {
		return s
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(s)))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return r.value(s)
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

// walk redacts below v and says whether there was anything to redact.
func (r *redactor) walk(v any) (changed bool) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			changed = r.walk(element) || changed
		}
	case map[string]any:
		for key, inner := range v {
			if variables, ok := inner.([]any); ok && key == "env" {
				changed = r.variables(variables) || changed
			}
			changed = r.walk(inner) || changed
		}
	}
	return changed
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

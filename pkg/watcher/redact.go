package watcher

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rollspan/rollspan/pkg/causality"
)

// Redactor makes of an object what may be in a recording that is given to others.
// It keeps what it is told to keep (kept.go) and replaces every other string, also
// those of fields that it does not know, such as a later version of the API may
// have: by "redacted:" and 8 hex digits, which are the same for the same value. So
// it still shows that a value changed, and a workload whose template changed is
// still seen to have changed. The digits are of an HMAC under a key that is made
// for one recording and kept nowhere, so they cannot be tried out against guesses.
//
// Names of fields and keys of maps stay, and so do numbers, booleans, times and
// what is empty.
type Redactor struct {
	key  []byte
	keep []string
}

// redactorKeyBytes is the length of a key, that of the hash.
const redactorKeyBytes = sha256.Size

// NewRedactor returns a Redactor with a new key. It keeps what the names of
// Keepable say besides what is always kept; CheckKeep says what is wrong with them.
func NewRedactor(keep ...string) *Redactor {
	key := make([]byte, redactorKeyBytes)
	_, _ = rand.Read(key) // never fails
	return &Redactor{key: key, keep: keep}
}

// Keepable returns the names of what is replaced unless it is to be kept.
func Keepable() []string {
	return []string{keepArgs, keepCommands, keepHeaders, keepAnnotations, keepVolumeAttributes, keepTerminationMessages}
}

// CheckKeep returns what is wrong with names that are to be of Keepable.
func CheckKeep(names []string) error {
	for _, name := range names {
		switch {
		case slices.Contains(Keepable(), name):
		case name == "env":
			return fmt.Errorf("the values of environment variables are never recorded; what can be kept is %s", strings.Join(Keepable(), ", "))
		default:
			return fmt.Errorf("%q is nothing that can be kept; that is %s", name, strings.Join(Keepable(), ", "))
		}
	}
	return nil
}

// Object redacts an object in place.
//
// The data of a ControllerRevision is left out: it is whatever its controller
// keeps there, and a replay needs its number only. So are the field managers of
// objects of which only the metadata is recorded, where they are not read.
func (r *Redactor) Object(object map[string]any) {
	kind, _ := object["kind"].(string)
	kept, known := keptOf(kind)
	switch {
	case kind == controllerRevisionKind.Kind:
		delete(object, "data")
	case !known && !isCustomWorkload(groupKindOf(object)):
		if metadata, ok := object["metadata"].(map[string]any); ok {
			delete(metadata, "managedFields")
		}
	}
	r.redact(object, kept)
}

func groupKindOf(object map[string]any) schema.GroupKind {
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	return schema.FromAPIVersionAndKind(apiVersion, kind).GroupKind()
}

// redact returns what is recorded of a value, given the kept fields below it.
func (r *Redactor) redact(v any, kept *keptTree) any {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			below := kept.below(key)
			if below != nil && below.special != nil {
				v[key] = below.special(r, inner)
				continue
			}
			v[key] = r.redact(inner, below)
		}
	case []any:
		for i, element := range v {
			v[i] = r.redact(element, kept)
		}
	case string:
		whole := kept != nil && kept.whole && (kept.ask == "" || slices.Contains(r.keep, kept.ask))
		if !whole && !isTime(v) {
			return r.value(v)
		}
	}
	return v
}

// isTime reports whether a text is a time as the API has it. Times say nothing, and
// who reads a recording cannot read an object in which one was replaced.
func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil && len(s) <= len(time.RFC3339Nano)
}

// value is what stands for a string.
func (r *Redactor) value(v string) string {
	if v == "" {
		return v
	}
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(v))
	return "redacted:" + hex.EncodeToString(mac.Sum(nil)[:4])
}

// annotations keeps the values that the engine reads. Of the others, where they
// are to be kept, those are not that may be copies of objects, as kubectl apply and
// others leave them behind: there are environment variables within.
func (r *Redactor) annotations(v any) any {
	annotations, ok := v.(map[string]any)
	if !ok {
		return r.redact(v, nil)
	}
	for key, value := range annotations {
		text, ok := value.(string)
		if !ok || !slices.Contains(keptAnnotations, key) && (!slices.Contains(r.keep, keepAnnotations) || causality.IsCopy(key) || mayBeCopy(text)) {
			annotations[key] = r.redact(value, nil)
		}
	}
	return annotations
}

// mayBeCopy says whether a text may hold an object with containers, in whatever
// format, or is packed so that nobody can say.
func mayBeCopy(text string) bool {
	for _, packed := range []string{"H4sI", "UEsD", "KLUv", "QlpoO", "/Td6"} { // gzip, zip, zstd, bzip2, xz in base64
		if strings.HasPrefix(text, packed) {
			return true
		}
	}
	texts := []string{text}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if plain, err := encoding.DecodeString(strings.TrimSpace(text)); err == nil {
			texts = append(texts, string(plain))
		}
	}
	return slices.ContainsFunc(texts, func(t string) bool {
		t = strings.ToLower(withoutEscapes(t))
		return strings.Contains(t, "env") || strings.Contains(t, "containers")
	})
}

var escapedCharacter = regexp.MustCompile(`\\+(?:u00|U000000|x)([0-9a-fA-F]{2})`)

// withoutEscapes undoes how JSON and YAML may write letters, however often.
func withoutEscapes(text string) string {
	return escapedCharacter.ReplaceAllStringFunc(text, func(e string) string {
		b, _ := hex.DecodeString(e[len(e)-2:]) // the expression is of two such digits
		return string(b)
	})
}

// ownedFields keeps a managedFields entry's set of fields, whose keys are the names
// of fields, and of list elements what tells them apart. Of some lists that is the
// value itself.
func (r *Redactor) ownedFields(v any) any {
	set, ok := v.(map[string]any)
	if !ok {
		return r.redact(v, nil)
	}
	out := make(map[string]any, len(set))
	for key, below := range set {
		if key != "f:finalizers" { // which are kept themselves
			below = r.ownedFields(below)
		}
		out[r.ownedField(key)] = below
	}
	return out
}

func (r *Redactor) ownedField(key string) string {
	prefix, rest, _ := strings.Cut(key, ":")
	switch prefix {
	case "v":
		return prefix + ":" + quoted(r.value(rest))
	case "k":
		var names map[string]any
		if json.Unmarshal([]byte(rest), &names) != nil {
			return prefix + ":" + quoted(r.value(rest))
		}
		for name, value := range names {
			if text, ok := value.(string); ok && !slices.Contains(keptListKeys, name) {
				names[name] = r.value(text)
			}
		}
		b, _ := json.Marshal(names) // it was JSON
		return prefix + ":" + string(b)
	}
	return key
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // never fails for a string
	return string(b)
}

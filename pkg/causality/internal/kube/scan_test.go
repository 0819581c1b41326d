package kube

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestScanReadsWhatJSONSays compares what is read of documents, with quotes and backslashes
// in any place of theirs, with what package encoding/json says is in them.
func TestScanReadsWhatJSONSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := json.Marshal(drawDocument(t, 3))
		if err != nil {
			t.Fatal(err)
		}
		if end := valueEnd(raw, 0); end != len(raw) {
			t.Fatalf("%s ends at %d, want %d", raw, end, len(raw))
		}
		got, want := map[string]string{}, map[string]json.RawMessage{}
		for name, value := range fieldsOf(raw) {
			got[name] = string(value)
		}
		if raw[0] == '{' {
			_ = json.Unmarshal(raw, &want)
		}
		if !maps.EqualFunc(got, want, func(a string, b json.RawMessage) bool { return a == string(b) }) {
			t.Fatalf("fields of %s are %q, want %q", raw, got, want)
		}
		var list []struct {
			Name any `json:"name"`
		}
		var names []string
		named := raw[0] == '[' && json.Unmarshal(raw, &list) == nil
		for _, thing := range list {
			name, _ := thing.Name.(string)
			named, names = named && name != "", append(names, name)
		}
		var things []string
		for _, thing := range namedThings(raw) {
			things = append(things, thing.name)
		}
		if !named {
			names = nil
		}
		if !slices.Equal(things, names) {
			t.Fatalf("%s names %q, want %q", raw, things, names)
		}
	})
}

func drawDocument(t *rapid.T, depth int) any {
	text := rapid.StringMatching("[a\"\\\\,:{}<\u00e9 \\[\\]]{0,6}")
	shape := rapid.IntRange(0, 6).Draw(t, "shape")
	if depth == 0 {
		shape %= 4
	}
	switch shape {
	case 0:
		return text.Draw(t, "text")
	case 1:
		return rapid.IntRange(-3, 30).Draw(t, "number")
	case 2:
		return nil
	case 3:
		return rapid.Bool().Draw(t, "bool")
	case 4:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, drawDocument(t, depth-1))
		}
		return list
	case 5: // things of which most have names
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			thing := map[string]any{"a": drawDocument(t, depth-1), "name": text.Draw(t, "name")}
			if rapid.IntRange(0, 9).Draw(t, "nameless") == 0 {
				thing["name"] = drawDocument(t, depth-1)
			}
			list = append(list, thing)
		}
		return list
	default:
		object := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			object[text.Draw(t, "field")] = drawDocument(t, depth-1)
		}
		return object
	}
}

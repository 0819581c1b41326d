package kube

import (
	"bytes"
	"encoding/json"
	"iter"
)

// A pod template is taken apart at each write of it. Package encoding/json would go through
// what lies within a field once for each level above it, and copy it: that takes ten times as
// long. What is taken apart here was made by encoding/json, so it is valid, without blanks.

// valueEnd is where the JSON value ends that begins at i.
func valueEnd(raw []byte, i int) int {
	switch raw[i] {
	case '"':
		return stringEnd(raw, i)
	case '{', '[':
		for depth := 0; ; {
			switch raw[i] {
			case '"':
				i = stringEnd(raw, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if i++; depth == 0 {
				return i
			}
		}
	default:
		for i < len(raw) && raw[i] != ',' && raw[i] != '}' && raw[i] != ']' {
			i++
		}
		return i
	}
}

// stringEnd is where the JSON string ends that begins at i.
func stringEnd(raw []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(raw[i:], '"')
		escapes := 0
		for raw[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// text is what a JSON string says.
func text(raw []byte) (s string) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	_ = json.Unmarshal(raw, &s) // it is a string
	return s
}

// fieldsOf are a JSON object's, in order; none if it is no object.
func fieldsOf(raw []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if len(raw) < 3 || raw[0] != '{' {
			return
		}
		for i := 1; i < len(raw); {
			end := stringEnd(raw, i)
			name := text(raw[i:end])
			i = valueEnd(raw, end+1)
			if !yield(name, raw[end+1:i]) {
				return
			}
			i++ // the comma
		}
	}
}

// namedThing is an entry of a list in a pod template whose entries have names: a container, a
// volume, an environment variable.
type namedThing struct {
	name string
	raw  []byte
}

// namedThings are the elements of a JSON list of objects that all have a name;
// nil if it is none.
func namedThings(raw []byte) []namedThing {
	if len(raw) < 3 || raw[0] != '[' {
		return nil
	}
	var things []namedThing
	for i := 1; i < len(raw); i++ {
		end := valueEnd(raw, i)
		thing := namedThing{raw: raw[i:end]}
		for field, value := range fieldsOf(thing.raw) {
			if field == "name" && value[0] == '"' {
				thing.name = text(value)
				break
			}
		}
		if thing.name == "" {
			return nil
		}
		things = append(things, thing)
		i = end
	}
	return things
}

package watcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	kjson "sigs.k8s.io/json"
)

// salvage decodes JSON that does not fit its type as a whole, such as an Event
// with a time that is none: it leaves out the smallest parts that do not fit,
// decodes the rest into target, and returns an error that names those parts.
// It returns nil if nothing can be saved. newTarget returns another empty
// target, to try parts with.
func salvage(raw []byte, target any, newTarget func() any) error {
	var document map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &document); err != nil {
		return nil
	}
	p := pruner{fits: func(part any) bool {
		b, err := json.Marshal(part)
		return err == nil && kjson.UnmarshalCaseSensitivePreserveInts(b, newTarget()) == nil
	}}
	pruned, ok := p.prune(document, func(v any) any { return v }, nil)
	if !ok || len(p.dropped) == 0 {
		return nil
	}
	b, err := json.Marshal(pruned)
	if err != nil || kjson.UnmarshalCaseSensitivePreserveInts(b, target) != nil {
		return nil
	}
	return errors.New("object: left out what cannot be read: " + strings.Join(p.dropped, ", "))
}

type pruner struct {
	// fits tells whether a document can be decoded.
	fits    func(document any) bool
	dropped []string
}

// maxNamed keeps a message about an object that is all rubbish short.
const maxNamed = 5

// prune returns what fits of value; ok is false if nothing does. wrap puts a
// value at value's place in an otherwise empty document, path is that place.
func (p *pruner) prune(value any, wrap func(any) any, path []string) (kept any, ok bool) {
	if p.fits(wrap(value)) {
		return value, true
	}
	switch v := value.(type) {
	case map[string]any:
		kept := make(map[string]any, len(v))
		for _, key := range sortedKeys(v) {
			inside := func(x any) any { return wrap(map[string]any{key: x}) }
			if k, ok := p.prune(v[key], inside, append(slices.Clone(path), key)); ok {
				kept[key] = k
			}
		}
		if p.fits(wrap(kept)) {
			return kept, true
		}
	case []any:
		kept := make([]any, 0, len(v))
		for i, element := range v {
			inside := func(x any) any { return wrap([]any{x}) }
			if k, ok := p.prune(element, inside, append(slices.Clone(path), fmt.Sprint(i))); ok {
				kept = append(kept, k)
			}
		}
		if p.fits(wrap(kept)) {
			return kept, true
		}
	}
	switch {
	case len(p.dropped) < maxNamed:
		p.dropped = append(p.dropped, strings.Join(path, "."))
	case len(p.dropped) == maxNamed:
		p.dropped = append(p.dropped, "and more")
	}
	return nil, false
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

package watcher

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A process that goes on where the one before has stopped waits until each watch has told what it
// has missed. Of a kind that is not served any more, as its definition was deleted, or that may not
// be read any more, nothing comes: that is known as soon as the API server says so, and nobody waits
// for it longer. Nor is a kind waited for that nothing names any more: nobody asks for it.

// position is up to where a source was seen by the run before; empty where that is not known.
func (r *resumption) position(source string) string {
	if r == nil {
		return ""
	}
	return r.positions[source]
}

// sourcesOf are the sources of a kind that the run before has seen.
func (r *resumption) sourcesOf(gk schema.GroupKind) (sources []string) {
	if r == nil {
		return nil
	}
	for _, source := range slices.Sorted(maps.Keys(r.positions)) {
		if strings.HasPrefix(source, sourceKey(gk, "")) {
			sources = append(sources, source)
		}
	}
	return sources
}

// passOver says of a source that cannot be read that nobody is to wait for what it has missed. It was
// seen up to a version, from where it is watched on when it can be read again; where that is empty it
// is listed then.
func (s *streams) passOver(source, version string) {
	if s.reached == nil || s.resumed.position(source) == "" {
		return
	}
	_ = s.reached(sourceMark{source: source, version: version}) // which fails when all is to end only
}

// follows reports whether a source is watched, or is to be as something names its kind.
func (s *streams) follows(key string) bool {
	is := func(gk schema.GroupKind) bool { return strings.HasPrefix(key, sourceKey(gk, "")) }
	return slices.ContainsFunc(s.sources, func(src source) bool { return is(src.kind.GroupKind()) }) || s.owners.follows(is)
}

// follows reports whether one of the kinds that were met is meant.
func (o *owners) follows(is func(schema.GroupKind) bool) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for gk := range o.met {
		if is(gk) {
			return true
		}
	}
	return false
}

// waitOnly has only those sources waited for that are followed.
func (b *backlog) waitOnly(follows func(source string) bool) {
	maps.DeleteFunc(b.waits, func(source string, _ bool) bool { return !follows(source) })
}

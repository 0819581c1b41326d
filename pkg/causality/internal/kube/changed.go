package kube

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"unique"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// templateField is one field that is set in a pod template. Of its value there
// is only a hash: it may be an environment variable's, and secret. Paths are much
// the same in all workloads of a cluster, so each is kept once.
type templateField struct {
	path unique.Handle[string]
	hash uint64
}

// A typical template has some dozens of fields in a few KiB. Beyond these bounds it
// is not told what of it has changed: of the largest that the API server stores some MB
// would have to be kept.
const (
	maxTemplate = 256 << 10 // bytes of JSON
	maxFields   = 4096
)

// fieldSeed is of this process. Hashes are compared with each other and never
// shown, and what they were made of cannot be guessed from a memory dump.
var fieldSeed = maphash.MakeSeed()

// templateFields takes a pod template's JSON apart, by one rule for all that it
// holds or may come to hold:
//
//   - a field of an object is told by its name, down to what is no object: a
//     value, or a list, which is one thing with all that it holds;
//   - of a list of things that all have a name, each thing is told by its name;
//   - a container's own fields are told apart.
//
// The paths read "container/web env LOG_LEVEL", "container/web resources
// limits.memory", "nodeSelector disktype": the container, the field, what is
// within it. They come sorted, a container's fields right after the container.
//
// A template that is too large is not taken apart: the fields are nil. Most paths are those
// of the template before, and are shared with it.
func templateFields(template []byte, before []templateField) []templateField {
	if len(template) > maxTemplate {
		return nil
	}
	d := make(digester, 0, 32)
	for part, raw := range fieldsOf(template) {
		if part != "metadata" && part != "spec" {
			d.within(part, raw)
			continue
		}
		for name, field := range fieldsOf(raw) {
			switch name {
			case "containers":
				d.containers("container/", field)
			case "initContainers":
				d.containers("init container/", field)
			case "annotations", "labels", "volumes":
				d.within(strings.TrimSuffix(name, "s"), field)
			default:
				d.within(name, field)
			}
		}
	}
	return d.fields(before)
}

// digester has the values that were found, as hashes, with their paths.
type digester []pathValue

// pathValue is a value at a path.
type pathValue struct {
	path string
	raw  []byte
}

func (d *digester) containers(prefix string, raw []byte) {
	for _, c := range namedThings(raw) {
		d.leaf(prefix+c.name, nil)
		for name, field := range fieldsOf(c.raw) {
			if name != "name" {
				d.within(prefix+c.name+" "+name, field)
			}
		}
	}
}

// within adds what a field holds.
func (d *digester) within(path string, raw []byte) { d.walk(path, " ", raw) }

func (d *digester) walk(path, separator string, raw []byte) {
	things := namedThings(raw)
	for _, thing := range things {
		d.leaf(path+separator+thing.name, thing.raw)
	}
	fields := false
	for name, field := range fieldsOf(raw) {
		fields = true
		d.walk(path+separator+name, ".", field)
	}
	if len(things) == 0 && !fields {
		d.leaf(path, raw)
	}
}

// leaf adds a value at a path.
func (d *digester) leaf(path string, raw []byte) {
	*d = append(*d, pathValue{identity(path), raw}) // it has names in it, of which not all are bounded
}

func hashOf(raw []byte) uint64 { return maphash.Bytes(fieldSeed, raw) }

// hashAfter is that of a value which comes after others at one path.
func hashAfter(before uint64, raw []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(fieldSeed)
	maphash.WriteComparable(&h, before)
	_, _ = h.Write(raw) // never fails
	return h.Sum64()
}

// fields are in the order of their paths. There may be several values at one, such as the
// mounts of one volume; their order counts.
func (d digester) fields(before []templateField) []templateField {
	slices.SortStableFunc(d, func(a, b pathValue) int { return strings.Compare(a.path, b.path) })
	fields := make([]templateField, 0, len(d))
	for len(d) > 0 {
		path, sum := d[0].path, hashOf(d[0].raw)
		for d = d[1:]; len(d) > 0 && d[0].path == path; d = d[1:] {
			sum = hashAfter(sum, d[0].raw)
		}
		for len(before) > 0 && before[0].path.Value() < path {
			before = before[1:]
		}
		if len(before) > 0 && before[0].path.Value() == path {
			fields = append(fields, templateField{before[0].path, sum})
		} else {
			fields = append(fields, templateField{unique.Make(path), sum})
		}
	}
	if len(fields) > maxFields {
		return nil
	}
	return fields
}

// onlyOrder is what has changed where nothing else has: the order of things that
// are told by their names, or of what has the same name.
const onlyOrder = "order"

// ChangedFrom lists, in order, what of a template is not as it was before: what
// was added, removed or given another value. Of a container that was added or
// removed only that is said. It is nil if the template before is not known, or
// the same, or if one of them is too large.
func (t *PodTemplate) ChangedFrom(before *PodTemplate) []string {
	if len(before.Images) == 0 || t.Hash == before.Hash || t.fields == nil || before.fields == nil {
		return nil
	}
	var changed []string
	whole := "" // prefix of the fields of a container that came or went
	differs := func(f templateField, how string) {
		path := f.path.Value()
		if whole != "" && strings.HasPrefix(path, whole) {
			return
		}
		if isContainer(path) {
			whole = path + " "
			path = whole + how
		}
		changed = append(changed, path)
	}
	was, is := before.fields, t.fields
	for len(was) > 0 || len(is) > 0 {
		switch order := compareHeads(was, is); {
		case order < 0:
			differs(was[0], "removed")
			was = was[1:]
		case order > 0:
			differs(is[0], "added")
			is = is[1:]
		default:
			if was[0].hash != is[0].hash {
				differs(is[0], "")
			}
			was, is = was[1:], is[1:]
		}
	}
	if len(changed) == 0 {
		return []string{onlyOrder}
	}
	return withoutEmpty(changed)
}

// withoutEmpty leaves out a field that was empty, or is, where what came into
// it or left it is told.
func withoutEmpty(changed []string) []string {
	kept := changed[:0]
	for i, path := range changed {
		if i+1 < len(changed) {
			if within, ok := strings.CutPrefix(changed[i+1], path); ok && (within[0] == ' ' || within[0] == '.') {
				continue
			}
		}
		kept = append(kept, path)
	}
	return kept
}

// compareHeads says which of two sorted lists has the first path that is next;
// a list that is over has none.
func compareHeads(a, b []templateField) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	case a[0].path == b[0].path:
		return 0
	default:
		return cmp.Compare(a[0].path.Value(), b[0].path.Value())
	}
}

// isContainer reports whether a path is a container's itself; its fields' have
// a space after its name.
func isContainer(path string) bool {
	name, ok := strings.CutPrefix(strings.TrimPrefix(path, "init "), "container/")
	return ok && !strings.Contains(name, " ")
}

// IsRestart reports whether what `kubectl rollout restart` writes is all that
// has changed.
func IsRestart(changed []string) bool {
	return len(changed) == 1 && changed[0] == "annotation "+restartedAtAnnotation
}

// maxChanged bounds what a span says has changed.
const maxChanged = 32

// ChangedAttributes say by name what a rollout changed.
func ChangedAttributes(changed []string) []attribute.KeyValue {
	if len(changed) == 0 {
		return nil
	}
	left := len(changed) - maxChanged
	if left <= 0 {
		return []attribute.KeyValue{attr.ChangedFieldsKey.StringSlice(changed)}
	}
	return []attribute.KeyValue{attr.ChangedFieldsKey.StringSlice(changed[:maxChanged]), attr.ChangedLeftOutKey.Int(left)}
}

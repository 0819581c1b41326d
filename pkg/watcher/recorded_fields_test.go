package watcher

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
)

// filler puts a text of its own into every field of an object that is text.
type filler struct {
	t *testing.T
	// places are where the texts are, as in "PodSpec nodeName".
	places []string
}

// sections are the types that a place begins with, because many fields have them.
var sections = map[string]bool{
	"ObjectMeta": true, "PodSpec": true, "Container": true, "EphemeralContainerCommon": true, "Probe": true, "LifecycleHandler": true,
	"Volume": true, "PersistentVolumeClaimSpec": true, "LabelSelector": true, "Affinity": true, "PodAffinityTerm": true,
	"NodeSelectorTerm": true, "ContainerStatus": true, "ContainerState": true, "MetricSpec": true, "MetricStatus": true,
	"JobSpec": true, "ResourceRequirements": true, "HPAScalingRules": true,
}

func (f *filler) mark(place string) string {
	f.places = append(f.places, place)
	return fmt.Sprintf("mark-%d-", len(f.places)-1)
}

func (f *filler) fill(v reflect.Value, place string) {
	switch known := v.Addr().Interface().(type) {
	case *metav1.TypeMeta:
		if !strings.Contains(place, " ") {
			return // says what the object is
		}
	case *metav1.Time:
		known.Time = time.Unix(1_700_000_000, 0)
		return
	case *metav1.MicroTime:
		known.Time = time.Unix(1_700_000_000, 0)
		return
	case *resource.Quantity:
		*known = resource.MustParse("1")
		return
	case *intstr.IntOrString:
		*known = intstr.FromString(f.mark(place))
		return
	case *metav1.FieldsV1:
		known.SetRawString(`{"f:spec":{"v:\"` + f.mark(place+" v:") + `\"":{},"k:{\"name\":\"` + f.mark(place+" k:name") + `\"}":{},"k:{\"ip\":\"` + f.mark(place+" k:ip") + `\"}":{}}}`)
		return
	case *kruntime.RawExtension:
		known.Raw = []byte(`{"x":"` + f.mark(place) + `"}`)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if sections[v.Type().Name()] {
			place = v.Type().Name()
		}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			below := place
			if name != "" {
				below = place + "." + name
				if !strings.Contains(place, " ") {
					below = place + " " + name
				}
			}
			f.fill(v.Field(i), below)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), place)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.fill(v.Index(0), place)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		f.fill(value, place+".*")
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), value)
	case reflect.String:
		v.SetString(f.mark(place))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint8:
		v.Set(reflect.ValueOf(1).Convert(v.Type()))
	default:
		f.t.Fatalf("%s is a %s: say how to fill it", place, v.Type())
	}
}

// filled returns an object of each kind that is recorded, and one of a kind of
// which only the metadata is.
func filled(t *testing.T, f *filler) []map[string]any {
	t.Helper()
	var objects []map[string]any
	for _, k := range append(slices.Clone(recordKinds), newKind("example.com", "v1", "Shop", "shops", "")) {
		var object kruntime.Object = &metav1.PartialObjectMetadata{}
		if k.Group != "example.com" {
			var err error
			if object, err = scheme.Scheme.New(k.GroupVersionKind); err != nil {
				t.Fatal(err)
			}
		}
		f.fill(reflect.ValueOf(object).Elem(), k.Kind)
		object.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
		u, err := kruntime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, u)
	}
	return objects
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRecordedFields fills every text of every kind that is recorded, and holds
// what comes through to a list that was read. A new version of the API brings new
// lines, which say "replaced"; to keep a field is a decision (kept.go). What is a
// quantity must come through: every object can be read afterwards.
//
//	go test ./pkg/watcher -run RecordedFields -rewrite
func TestRecordedFields(t *testing.T) {
	datadriven.RunTest(t, "testdata/recorded.txt", func(t *testing.T, _ *datadriven.TestData) string {
		var f filler
		f.t = t
		objects := filled(t, &f)
		if len(f.places) < 2000 {
			t.Fatalf("only %d texts are planted", len(f.places))
		}
		through := func(keep ...string) []bool {
			var all strings.Builder
			r := NewRedactor(keep...)
			for _, object := range objects {
				object = kruntime.DeepCopyJSON(object)
				r.Object(object)
				line := marshal(t, object)
				if _, err := decodeObject(json.RawMessage(line)); err != nil {
					t.Errorf("%v cannot be read any more: %v", object["kind"], err)
				}
				all.WriteString(line)
			}
			text, found := all.String(), make([]bool, len(f.places))
			for rest := text; ; {
				_, after, ok := strings.Cut(rest, "mark-")
				if !ok {
					return found
				}
				var n int
				if _, err := fmt.Sscanf(after, "%d-", &n); err != nil {
					t.Fatal(err)
				}
				found[n], rest = true, after
			}
		}
		fates := map[string]map[string]bool{}
		always := through()
		asked := map[string][]bool{}
		for _, name := range Keepable() {
			asked[name] = through(name)
		}
		for i, place := range f.places {
			fate := "replaced"
			if always[i] {
				fate = "kept"
			}
			for _, name := range Keepable() {
				if asked[name][i] != always[i] {
					fate = "--keep " + name
				}
			}
			if fates[place] == nil {
				fates[place] = map[string]bool{}
			}
			fates[place][fate] = true
		}
		var out strings.Builder
		for _, place := range slices.Sorted(maps.Keys(fates)) {
			fmt.Fprintf(&out, "%-18s %s\n", strings.Join(slices.Sorted(maps.Keys(fates[place])), ", "), place)
		}
		return out.String()
	})
}

// TestRecordedUnknownFields has fields everywhere that no version of the API that
// rollspan knows has.
func TestRecordedUnknownFields(t *testing.T) {
	const unknown = "unknown-to-us"
	var plant func(v any, key string)
	plant = func(v any, key string) {
		switch v := v.(type) {
		case map[string]any:
			for k, below := range v {
				plant(below, k)
			}
			if key != "fieldsV1" && !strings.HasPrefix(key, "f:") {
				v["later"] = unknown
				v["laterStill"] = map[string]any{"key": unknown, "list": []any{unknown, []any{unknown}}}
			}
		case []any:
			for _, below := range v {
				plant(below, key)
			}
		}
	}
	isMap := map[string]bool{} // what holds any keys that somebody chose
	var look func(v any, key string)
	look = func(v any, key string) {
		switch v := v.(type) {
		case map[string]any:
			if v["later"] == unknown {
				isMap[key] = true
				delete(v, "later")
			}
			for k, below := range v {
				look(below, k)
			}
		case []any:
			for _, below := range v {
				look(below, key)
			}
		case string:
			if v == unknown {
				t.Errorf("a field below %s that nobody knows is kept", key)
			}
		}
	}
	r := NewRedactor(Keepable()...)
	f := filler{t: t}
	for _, object := range filled(t, &f) {
		plant(object, "")
		r.Object(object)
		look(object, "")
	}
	want := []string{
		"allocatable", "allocatedResourceStatuses", "allocatedResources", "annotations", "capacity", "labels", "limits", "matchLabels",
		"nodeSelector", "options", "overhead", "requests", "selector", "volumeAttributes",
	}
	if got := slices.Sorted(maps.Keys(isMap)); !slices.Equal(got, want) {
		t.Errorf("any field is kept below %q, want %q", got, want)
	}
}

// TestKeptFieldsExist finds typing errors in keptFields: every path leads to a field
// of the API.
func TestKeptFieldsExist(t *testing.T) {
	var check func(kept *keptTree, v any, path string)
	check = func(kept *keptTree, v any, path string) {
		if list, ok := v.([]any); ok && len(list) > 0 {
			check(kept, list[0], path)
			return
		}
		object, _ := v.(map[string]any)
		for name, below := range kept.byName {
			inner, ok := object[name]
			if name == "*" && len(object) > 0 {
				for _, inner = range object {
					ok = true
				}
			}
			if !ok {
				t.Errorf("keptFields names %s.%s, which the API does not have", path, name)
				continue
			}
			check(below, inner, path+"."+name)
		}
	}
	f := filler{t: t}
	for _, object := range filled(t, &f) {
		kept, _ := keptOf(object["kind"].(string))
		if object["kind"] == "Shop" {
			continue
		}
		check(kept, object, object["kind"].(string))
	}
}

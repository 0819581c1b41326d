package watcher

import (
	"bytes"
	"math/rand"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/randfill"
)

var wireSerializer = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)

// inWire is an object as the API server sends it. ok is false for what it sends as JSON.
func inWire(t testing.TB, object runtime.Object) (data []byte, ok bool) {
	t.Helper()
	var out bytes.Buffer
	if !scheme.Scheme.Recognizes(object.GetObjectKind().GroupVersionKind()) {
		return nil, false
	}
	if err := wireSerializer.Encode(object, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), true
}

func fromWire(data []byte) (runtime.Object, error) {
	object, _, err := wireSerializer.Decode(data, nil, nil)
	return object, err
}

// readBeforeTrim is what is read of an object before it is trimmed: when it was written at the latest,
// and whether it says that a list is at its end, which is a bookmark's annotation.
func readBeforeTrim(object runtime.Object) (stated time.Time, isEnd string) {
	m := object.(metav1.Object)
	return statedBy(m), m.GetAnnotations()[metav1.InitialEventsAnnotationKey]
}

// whatTrimLeaves decodes, with and without cutting before, and trims.
func whatTrimLeaves(data []byte) (whole, cut runtime.Object, saved int, err error) {
	if whole, err = fromWire(data); err != nil {
		return nil, nil, 0, err
	}
	trim(whole)
	left, err := cutObject(bytes.Clone(data))
	if err != nil {
		return whole, nil, 0, err
	}
	if cut, err = fromWire(left); err != nil {
		return whole, nil, 0, err
	}
	trim(cut)
	return whole, cut, len(data) - len(left), nil
}

// What is cut is what trim drops: nothing else is missing.
func TestCutIsNotMissed(t *testing.T) {
	all, saved := map[string]int{}, map[string]int{}
	compare := func(t *testing.T, object runtime.Object) {
		t.Helper()
		data, ok := inWire(t, object)
		if !ok {
			return
		}
		whole, cut, n, err := whatTrimLeaves(data)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(whole, cut) {
			t.Fatalf("cutting leaves\n%+v\nand trimming\n%+v", cut, whole)
		}
		kind := whole.GetObjectKind().GroupVersionKind().Kind
		all[kind] += len(data)
		saved[kind] += n
	}
	for _, file := range recordingFiles(t) {
		for _, o := range recorded(t, file) {
			compare(t, o.Object)
		}
	}
	for kind := range wireCuts {
		if share := float64(saved[kind.Kind]) / float64(all[kind.Kind]); all[kind.Kind] > 0 && share < 0.1 {
			t.Errorf("of the recordings' %ss %.0f %% are cut, at least a tenth should be", kind.Kind, 100*share)
		}
	}
	t.Run("objects that nobody would write", func(t *testing.T) {
		fill := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, func(serializer.CodecFactory) []any {
			return []any{oneSource}
		}), rand.NewSource(1), scheme.Codecs)
		for kind := range wireCuts {
			for range 200 {
				object, err := scheme.Scheme.New(kind)
				if err != nil {
					t.Fatal(err)
				}
				fill.Fill(object)
				object.GetObjectKind().SetGroupVersionKind(kind)
				compare(t, object)
			}
		}
	})
}

// oneSource fills a volume's source: there is one, as the API server makes sure.
func oneSource(v *corev1.VolumeSource, c randfill.Continue) {
	sources := reflect.ValueOf(v).Elem()
	source := sources.Field(c.Intn(sources.NumField()))
	source.Set(reflect.New(source.Type().Elem()))
	c.Fill(source.Interface())
}

// What is read of an object before it is trimmed is not cut: by its managed fields what a watch has
// missed is dated, and without its annotation a list that is streamed has no end.
func TestCutLeavesWhatIsReadBeforeTrim(t *testing.T) {
	made, written := metav1.NewTime(time.Unix(1000, 0)), metav1.NewTime(time.Unix(1500, 0))
	for kind := range wireCuts {
		object, err := scheme.Scheme.New(kind)
		if err != nil {
			t.Fatal(err)
		}
		object.GetObjectKind().SetGroupVersionKind(kind)
		m := object.(metav1.Object)
		m.SetCreationTimestamp(made)
		m.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		m.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubelet", Time: &written, FieldsV1: metav1.NewFieldsV1(`{"f:count":{}}`)}})
		data, _ := inWire(t, object)
		left, err := cutObject(data)
		if err != nil {
			t.Fatal(err)
		}
		cut, err := fromWire(left)
		if err != nil {
			t.Fatal(err)
		}
		if stated, isEnd := readBeforeTrim(cut); !stated.Equal(written.Time) || isEnd != "true" {
			t.Errorf("%s: it was written by %s, and is an end: %q", kind.Kind, stated, isEnd)
		}
	}
}

// What is broken on the way is an error or decoded as before, and what has no cut stays.
func FuzzCut(f *testing.F) {
	for _, o := range recorded(f, recordingFiles(f)[0]) {
		if data, ok := inWire(f, o.Object); ok {
			f.Add(data, 40, byte(0x80))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, at int, with byte) {
		if len(data) > 0 {
			data[max(at, -at, 0)%len(data)] ^= with
		}
		whole, cut, _, err := whatTrimLeaves(data)
		if whole != nil && err == nil && !reflect.DeepEqual(whole, cut) {
			t.Errorf("cutting leaves\n%+v\nand trimming\n%+v", cut, whole)
		}
	})
}

// A field that is named within, of a length that takes fewer bytes than before.
func TestCutLengths(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, 300)
	inner := protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), long)
	inner = protowire.AppendString(protowire.AppendTag(inner, 1, protowire.BytesType), "kept")
	message := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), inner)
	message = protowire.AppendVarint(protowire.AppendTag(message, 3, protowire.VarintType), 5)
	got, err := wireCut{2: {7: nil}}.cut(message)
	want := append([]byte{2<<3 | 2, 0x86, 0, 1<<3 | 2, 4}, "kept\x18\x05"...)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got % x, %v, want % x", got, err, want)
	}
	for _, broken := range [][]byte{{0}, {2<<3 | 2}, {2<<3 | 2, 9, 1}, {2<<3 | 2, 1, 0x80}, {2<<3 | 7}} {
		if got, err := (wireCut{2: {7: nil}}).cut(broken); err == nil {
			t.Errorf("% x is taken for % x", broken, got)
		}
	}
}

// BenchmarkDecode is what it takes to decode a recording's objects, cut before or not.
func BenchmarkDecode(b *testing.B) {
	byKind := map[string][][]byte{}
	for _, file := range recordingFiles(b) {
		for _, o := range recorded(b, file) {
			if data, ok := inWire(b, o.Object); ok {
				kind := o.Object.GetObjectKind().GroupVersionKind().Kind
				byKind[kind] = append(byKind[kind], data)
			}
		}
	}
	for _, kind := range []string{podKind.Kind, eventKind.Kind} {
		for name, cut := range map[string]bool{"whole": false, "cut": true} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					data := bytes.Clone(byKind[kind][i%len(byKind[kind])])
					i++
					if cut {
						data, _ = cutObject(data)
					}
					object, err := fromWire(data)
					if err != nil {
						b.Fatal(err)
					}
					trim(object)
				}
			})
		}
	}
}

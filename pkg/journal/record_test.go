package journal_test

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/journal"
)

// Each field of an observation is kept, whichever the others are, and all of those of a doubt.
func TestObservationIsReadAsItWasWritten(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	metadata := &metav1.PartialObjectMetadata{TypeMeta: pod.TypeMeta, ObjectMeta: pod.ObjectMeta} // which is encoded as JSON
	at := func(second int64) time.Time { return time.Unix(second, 5) }
	whole := stream.Observation{
		Time: at(9), Since: at(3), Type: watch.Deleted, Object: pod, Initial: true, Inferred: true, CountUnknown: true,
		Doubts: []stream.Doubt{
			{At: at(8), Earliest: at(6), Latest: at(9), Of: stream.DoubtOfStart, Container: "app", Stated: true},
			{At: at(8), Latest: at(9)},
		},
	}
	for _, v := range []reflect.Value{reflect.ValueOf(whole), reflect.ValueOf(whole.Doubts[0])} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("this test leaves out %s.%s", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	types := []watch.EventType{watch.Added, watch.Modified, watch.Deleted}
	objects := []runtime.Object{pod, metadata, nil}
	for n := range 1 << 5 {
		for i := range 9 {
			want := whole
			want.Type, want.Object = types[i%3], objects[i/3]
			want.Initial, want.Inferred, want.CountUnknown = n&1 != 0, n&2 != 0, n&4 != 0
			if n&8 != 0 {
				want.Since = time.Time{}
			}
			if n&16 != 0 {
				want.Doubts = nil
			}
			body, err := journal.EncodeObservation(nil, want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := journal.DecodeObservation(body)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("it was %+v and is %+v (%v)", want, got, err)
			}
			head := slices.Index(body, 'v') // of "v1 Pod"
			for cut := range max(head, 0) {
				if _, err := journal.DecodeObservation(body[:cut]); err == nil {
					t.Fatalf("%+v is read out of %d bytes", want, cut)
				}
			}
		}
	}
}

// What has no doubts is written as it was before there were any, which older journals have.
func TestObservationsOfFormat3(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	object, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	const modified, since = 1, 128
	old := binary.BigEndian.AppendUint64([]byte{1, modified | since}, 9e9)
	old = append(binary.BigEndian.AppendUint64(old, 3e9), "v1 Pod\x00"...)
	old = append(old, object...)
	want := stream.Observation{Time: time.Unix(9, 0), Since: time.Unix(3, 0), Type: watch.Modified, Object: pod}
	if got, err := journal.EncodeObservation(nil, want); err != nil || !slices.Equal(got, old) {
		t.Errorf("it is written as %q, and was as %q (%v)", got, old, err)
	}
	if got, err := journal.DecodeObservation(old); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it is read as %+v (%v)", got, err)
	}
}

// What was reconstructed from objects and Events is told by a replay in the same words: how well each boundary is
// known is part of them.
func TestAHistoryIsReplayed(t *testing.T) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			latest := map[string]int{}
			var all []stream.Observation
			for _, s := range observationsOf(load(t, name)) {
				uid := string(s.observation.Object.(metav1.Object).GetUID())
				if i, is := latest[uid]; is {
					all[i] = s.observation
					continue
				}
				latest[uid] = len(all)
				all = append(all, s.observation)
			}
			var objects []runtime.Object
			now := time.Time{}
			for _, o := range all {
				if o.Time.After(now) {
					now = o.Time
				}
				if o.Type != watch.Deleted {
					objects = append(objects, o.Object)
				}
			}
			now = now.Add(time.Minute)
			history := snapshots.Reconstruct(objects, time.Hour, now)

			dir, to := t.TempDir(), newTold(t)
			l := begin(t, dir, to, func() bool { return false })
			l.hand(l.Observe(history.Observations...))
			l.hand(l.Advance(now))
			l.Tick()
			l.Kill()
			again := newTold(t)
			begin(t, dir, again, always)
			to.compare(again, "a replay")
		})
	}
}

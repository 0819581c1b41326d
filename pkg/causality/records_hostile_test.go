package causality_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
)

// hostileEvents is a stream in which some Events are as anybody can write them who may write Events:
// about other objects, with any times and counts, of any length, written over, deleted and made anew
// under the same name. What is observed of other objects is left as it is.
func hostileEvents(base []causality.Observation, seed uint64) []causality.Observation {
	drawn := uint64(0)
	draw := func(most int) int {
		drawn++
		return int(mix(seed, drawn) % uint64(most))
	}
	obs := slices.Clone(base)
	var at []int // where Events are
	for i, o := range obs {
		if _, ok := o.Object.(*corev1.Event); ok && !o.Initial && o.Type != watch.Deleted {
			at = append(at, i)
		}
	}
	for k := range min(6, 6*len(at)) {
		i := at[draw(len(at))]
		in := obs[i].Object.(*corev1.Event).DeepCopy()
		other, _ := obs[draw(len(obs))].Object.(metav1.Object)
		if other == nil {
			other = in
		}
		if ev, ok := other.(*corev1.Event); ok {
			other = &metav1.ObjectMeta{Name: ev.InvolvedObject.Name, Namespace: ev.InvolvedObject.Namespace, UID: ev.InvolvedObject.UID}
		}
		for range 1 + draw(3) {
			mutateEvent(in, other, byte(draw(9)), byte(draw(256)), metav1.NewTime(obs[i].Time.Add(time.Duration(draw(20)-10)*time.Second)))
		}
		if draw(8) == 0 {
			in.Message, in.Action = strings.Repeat("\x1b[31m\xff\x00", 1<<16), strings.Repeat("ä", 1<<12)
		}
		uid := types.UID(fmt.Sprint("hostile-", seed, "-", k))
		switch draw(4) {
		case 0: // instead of it
			obs[i].Object = in
			continue
		case 1: // beside it
			in.Name, in.UID = fmt.Sprint("hostile-", k), uid
		case 2: // made anew under its name
			in.UID = uid
		}
		in.ResourceVersion = ""
		o := obs[i]
		o.Object = in
		to := min(len(obs), i+1+draw(20))
		if to < len(obs) {
			o.Time = obs[to].Time
		}
		obs = slices.Insert(obs, to, o)
		for q := range at {
			if at[q] >= to {
				at[q]++
			}
		}
	}
	return obs
}

// Whatever is written as an Event, each record can be sent, and names a trace that there is. Where a
// span repeats another one's ID and is dropped, no record names it for what it would have had.
func TestRecordsOfHostileEvents(t *testing.T) {
	records, elsewhere := 0, 0
	for i, base := range baseStreams(t) {
		for seed := range uint64(3) {
			r := recordedOf(hostileEvents(base, mix(uint64(i), seed^99)))
			there := map[trace.TraceID]bool{}
			on := map[string]bool{}
			for _, s := range allSpans(r.traces) {
				there[s.TraceID] = true
				for _, e := range s.Events {
					on[fmt.Sprint(s.TraceID, textOf(e.Attributes, "k8s.event.name"))] = true
				}
			}
			for _, record := range r.records {
				records++
				switch name := textOf(record.Attributes, "k8s.event.name"); {
				case !record.TraceID.IsValid():
				case !there[record.TraceID]:
					t.Errorf("%d/%d: there is no such trace: %s", i, seed, inShort(shown(record)))
				case !on[fmt.Sprint(record.TraceID, name)]:
					elsewhere++
					t.Logf("%d/%d: not in its trace: %s", i, seed, inShort(shown(record)))
				}
			}
			items, err := (&otlp.Encoder{}).PackRecords(r.records)
			if err != nil || len(items) != len(r.records) {
				t.Errorf("%d/%d: of %d records %d can be sent: %v", i, seed, len(r.records), len(items), err)
			}
		}
	}
	// What comes out of order by minutes may be of another trace than it seemed.
	if records == 0 || 1000*elsewhere > records {
		t.Errorf("of %d records %d name a trace that does not have their Event", records, elsewhere)
	}
}

func inShort(text string) string { return strings.ToValidUTF8(spans.CutTo(text, 200), "?") }

// A program names its Events itself, and uses one name for what two Deployments do. Each is an Event
// of its own, on its own object.
func TestAnEventOfTheSameNameAboutAnotherObjectIsAnotherEvent(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	r := newRecorded()
	said := func(kind, name, uid, message string, typ watch.EventType) {
		now = now.Add(2 * time.Second)
		ev := &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "status", UID: "status", CreationTimestamp: metav1.NewTime(now)}, Reason: "Progress", Message: message, Type: "Normal", Count: 1,
			InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: "shop", Name: name, UID: types.UID(uid)}, Source: corev1.EventSource{Component: "deployer"},
			FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now),
		}
		r.feed([]causality.Observation{{Time: now, Type: typ, Object: ev}})
	}
	said("Shop", "cart", "cart-1", "of cart", watch.Added)
	said("Shop", "till", "till-1", "of till", watch.Modified)
	said("Shop", "till", "till-1", "of till again", watch.Modified)
	said("Shop", "cart", "cart-1", "of cart again", watch.Modified)
	said("Shop", "cart", "cart-2", "of another cart", watch.Modified)
	said("Shop", "cart", "cart-2", "deleted", watch.Deleted)
	r.take(time.Time{}, r.Flush())
	for _, record := range r.records {
		of := strings.Fields(record.Message)
		if name := of[len(of)-1]; name != "again" && !strings.HasSuffix(record.Subject, "/"+name) {
			t.Errorf("%q is about %s", record.Message, record.Subject)
		}
	}
	if len(r.records) != 5 {
		t.Errorf("%d records, want 5", len(r.records))
	}
	on := map[string][]string{}
	for _, s := range allSpans(r.traces) {
		for _, e := range s.Events {
			on[value(s, "rollspan.object.uid").AsString()+" "+s.Subject] = append(on[value(s, "rollspan.object.uid").AsString()+" "+s.Subject], textOf(e.Attributes, "k8s.event.message"))
		}
	}
	for subject, messages := range on {
		for _, m := range messages {
			if strings.Contains(subject, "cart") == strings.Contains(m, "till") {
				t.Errorf("%s has %q", subject, messages)
			}
		}
	}
	if len(on) < 2 {
		t.Errorf("there are only %v", on)
	}
}

// What two programs count in ways that Kubernetes does not: one writes its Event over, with another
// time by the clock of events.k8s.io and no count; the count of the other goes down. Each time is a
// record of its own, by its UID, too.
func TestEachTimeIsARecordHoweverItIsCounted(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	r := newRecorded()
	for i := range 5 {
		now = now.Add(10 * time.Second)
		about := corev1.ObjectReference{Kind: "Shop", Namespace: "shop", Name: "cart", UID: "cart"}
		over := &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "over", UID: "over", CreationTimestamp: metav1.NewTime(now)}, Reason: "Over", InvolvedObject: about,
			EventTime: metav1.NewMicroTime(now), ReportingController: "till",
		}
		down := &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "down", UID: "down", CreationTimestamp: metav1.NewTime(now)}, Reason: "Down", InvolvedObject: about,
			EventTime: metav1.NewMicroTime(now), ReportingController: "till", Series: &corev1.EventSeries{Count: int32(3 - i), LastObservedTime: metav1.NewMicroTime(now)},
		}
		for _, ev := range []*corev1.Event{over, down, over, down} { // by both APIs
			r.feed([]causality.Observation{{Time: now, Type: watch.Modified, Object: ev.DeepCopy()}})
		}
	}
	r.take(time.Time{}, r.Flush())
	of, uids := map[string]int{}, map[trace.TraceID]bool{}
	for _, record := range r.records {
		of[record.Reason]++
		uids[record.UID] = true
	}
	if of["Over"] != 5 || of["Down"] != 5 || len(uids) != 10 {
		t.Errorf("there are %v, with %d UIDs", of, len(uids))
	}
}

// Events about what has no namespace are written to default and to kube-system. One elsewhere says
// nothing of the cluster's object, though it names it.
func TestRecordsOfWhatHasNoNamespace(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	r := newRecorded()
	for _, kind := range []string{"Node", "PersistentVolume", "Namespace"} {
		for _, namespace := range []string{"default", "kube-system", "shop"} {
			now = now.Add(time.Second)
			about := corev1.ObjectReference{Kind: kind, Name: "it", UID: "it-1"}
			if namespace == "shop" {
				about.Namespace = namespace // else the API server does not take it
			}
			r.feed([]causality.Observation{{Time: now, Type: watch.Added, Object: &corev1.Event{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: kind + "-" + namespace, UID: types.UID(kind + namespace), CreationTimestamp: metav1.NewTime(now)},
				Reason:     "Odd", Message: "\xff", Count: 1, InvolvedObject: about, FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now),
			}}})
		}
	}
	r.take(time.Time{}, r.Flush())
	if len(r.records) != 9 {
		t.Errorf("%d records, want 9", len(r.records))
	}
	traces := map[string]map[trace.TraceID]bool{}
	for _, record := range r.records {
		namespace, has := record.Attribute("k8s.namespace.name")
		if own := record.Namespace == "shop"; own != has || own && namespace.AsString() != "shop" {
			t.Errorf("the Event in %s is about an object in %q", record.Namespace, namespace.AsString())
		}
		if !utf8.ValidString(record.Subject) {
			t.Errorf("%q", record.Subject)
		}
	}
	for _, s := range allSpans(r.traces) {
		for _, e := range s.Events {
			_, namespace, _ := strings.Cut(textOf(e.Attributes, "k8s.event.name"), "-")
			of := map[bool]string{true: "shop", false: ""}[namespace == "shop"]
			if traces[of] == nil {
				traces[of] = map[trace.TraceID]bool{}
			}
			traces[of][s.TraceID] = true
		}
	}
	for id := range traces["shop"] {
		if traces[""][id] {
			t.Errorf("trace %s has what a tenant says of the cluster's object", id)
		}
	}
	if len(traces["shop"]) != 3 || len(traces[""]) == 0 {
		t.Errorf("there are %v", traces)
	}
}

// Where the kubelet tells nothing, nobody knows whether what it has to say of a pod's start is still
// to come: which phase the scheduler's Event is on is not certain. The trace is.
func TestNoPhaseIsNamedOfWhichTheKubeletHasToldNothing(t *testing.T) {
	named := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		obs = slices.DeleteFunc(slices.Clone(obs), func(o causality.Observation) bool {
			ev, ok := o.Object.(*corev1.Event)
			return ok && (ev.Source.Component == "kubelet" || ev.ReportingController == "kubelet")
		})
		r := recordedOf(obs)
		type span struct {
			name   string
			handed time.Time
		}
		all := map[trace.SpanID]span{}
		for i := range r.traces {
			for _, s := range r.traces[i].Spans {
				all[s.SpanID] = span{s.Name, r.handed[i]}
			}
		}
		for i, record := range r.records {
			told := r.told[i]
			if record.Reason != "Scheduled" || told.IsZero() || !record.TraceID.IsValid() {
				continue
			}
			named++
			if on, ok := all[record.SpanID]; ok && (on.handed.IsZero() || on.handed.After(told)) {
				t.Errorf("it is said to be on %s, before that is over: %s", on.name, shown(record))
			}
		}
	})
	if named == 0 {
		t.Error("no record names a trace: this was not put to the test")
	}
}

// Rollspan's clock turns out to have been ahead. What had come meanwhile holds up no record until the
// clock shows that time again.
func TestRecordsGoOnWhenOurClockWasAhead(t *testing.T) {
	const ahead = 20 * time.Minute
	r := newRecorded()
	at := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	for n := range 60 {
		at = at.Add(2 * time.Second)
		shows := at
		if n >= 10 {
			shows = at.Add(ahead)
		}
		about := corev1.ObjectReference{Kind: "Shop", Namespace: "shop", Name: "cart", UID: "cart"}
		r.feed([]causality.Observation{{Time: shows, Type: watch.Added, Object: &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("n", n), UID: types.UID(fmt.Sprint("n", n)), CreationTimestamp: metav1.NewTime(at)},
			Reason:     "Sold", Count: 1, InvolvedObject: about, FirstTimestamp: metav1.NewTime(at), LastTimestamp: metav1.NewTime(at),
		}}})
	}
	if len(r.records) < 40 {
		t.Errorf("%d of 60 records were handed out within two minutes", len(r.records))
	}
}

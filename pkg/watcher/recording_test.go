package watcher

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/unicode"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

const recordings = "../../test/recordings"

const (
	podLine  = `{"time":"2026-11-21T08:31:11.818498031Z","type":"ADDED","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"shop","uid":"u1"}}}`
	nodeLine = `{"time":"2026-11-21T08:31:12Z","type":"DELETED","object":{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","uid":"u2"}}}`
)

// read returns all that a recording yields. Errors that are not about one
// line, other than io.EOF, fail the test.
func read(t testing.TB, r *RecordingReader) (observations []causality.Observation, broken []string) {
	t.Helper()
	for {
		o, err := r.Next()
		var line *LineError
		switch {
		case errors.Is(err, io.EOF):
			return observations, broken
		case errors.As(err, &line):
			broken = append(broken, err.Error())
		case err != nil:
			t.Fatal(err)
		}
		if o.Object != nil {
			observations = append(observations, o)
		}
	}
}

func readString(t *testing.T, s string) ([]causality.Observation, []string) {
	t.Helper()
	return read(t, NewRecordingReader(strings.NewReader(s), "file"))
}

func TestRecordingsOfARealCluster(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recordings, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			observations, broken := read(t, NewRecordingReader(bytes.NewReader(content), file))
			if len(broken) > 0 {
				t.Errorf("broken: %q", broken)
			}
			if want := bytes.Count(content, []byte("\n")); len(observations) != want {
				t.Errorf("%d observations of %d lines", len(observations), want)
			}
			for _, o := range observations {
				if o.Time.IsZero() || o.Object.GetObjectKind().GroupVersionKind().Empty() {
					t.Fatalf("time %v, kind %v", o.Time, o.Object.GetObjectKind().GroupVersionKind())
				}
			}
			if last := observations[len(observations)-1]; last.Initial {
				t.Error("the recording ends with the lists that it begins with")
			}
		})
	}
}

func TestRecordingTypes(t *testing.T) {
	for want, kinds := range map[runtime.Object][][2]string{
		&appsv1.Deployment{}:                     {{"apps/v1", "Deployment"}},
		&appsv1.ReplicaSet{}:                     {{"apps/v1", "ReplicaSet"}},
		&appsv1.StatefulSet{}:                    {{"apps/v1", "StatefulSet"}},
		&appsv1.DaemonSet{}:                      {{"apps/v1", "DaemonSet"}},
		&appsv1.ControllerRevision{}:             {{"apps/v1", "ControllerRevision"}},
		&batchv1.Job{}:                           {{"batch/v1", "Job"}},
		&batchv1.CronJob{}:                       {{"batch/v1", "CronJob"}},
		&autoscalingv2.HorizontalPodAutoscaler{}: {{"autoscaling/v2", "HorizontalPodAutoscaler"}},
		&corev1.ReplicationController{}:          {{"v1", "ReplicationController"}},
		&corev1.Node{}:                           {{"v1", "Node"}},
		&corev1.PersistentVolumeClaim{}:          {{"v1", "PersistentVolumeClaim"}},
		&corev1.Pod{}:                            {{"v1", "Pod"}},
		&corev1.Event{}:                          {{"v1", "Event"}, {"events.k8s.io/v1", "Event"}, {"events.k8s.io/v1beta1", "Event"}},
		&metav1.PartialObjectMetadata{}:          {{"argoproj.io/v1alpha1", "Rollout"}, {"v1", "Namespace"}, {"example.com/v1", "Job"}},
	} {
		for _, k := range kinds {
			observations, broken := readString(t, line(k[0], k[1], ""))
			if len(broken) > 0 || len(observations) != 1 {
				t.Errorf("%s %s: %d observations, broken %q", k[0], k[1], len(observations), broken)
				continue
			}
			got := observations[0].Object
			if reflect.TypeOf(got) != reflect.TypeOf(want) || got.GetObjectKind().GroupVersionKind().Kind != k[1] {
				t.Errorf("%s %s became a %T of kind %s", k[0], k[1], got, got.GetObjectKind().GroupVersionKind().Kind)
			}
		}
	}
}

// line is a line of a recording about an object with more JSON fields.
func line(apiVersion, kind, more string) string {
	return `{"time":"2026-11-21T08:31:12Z","type":"MODIFIED","object":{"apiVersion":"` + apiVersion + `","kind":"` + kind +
		`","metadata":{"name":"x","uid":"u"}` + more + `}}`
}

// damaged are objects with something in them that does not fit, the place of
// that, and something behind it.
var damaged = []struct {
	apiVersion, kind, more, place string
	kept                          func(runtime.Object) bool
}{
	{"apps/v1", "StatefulSet", `,"spec":{"replicas":"many","serviceName":"db","template":{"spec":{"containers":[{"name":"c","image":7}]}}}`,
		"spec.replicas, spec.template.spec.containers.0.image", func(o runtime.Object) bool {
			spec := o.(*appsv1.StatefulSet).Spec
			return spec.ServiceName == "db" && spec.Template.Spec.Containers[0].Name == "c"
		}},
	{"apps/v1", "DaemonSet", `,"status":{"desiredNumberScheduled":{},"numberReady":2}`,
		"status.desiredNumberScheduled", func(o runtime.Object) bool { return o.(*appsv1.DaemonSet).Status.NumberReady == 2 }},
	{"apps/v1", "ControllerRevision", `,"revision":3,"data":{"a":1},"x":1`,
		"", func(o runtime.Object) bool { return o.(*appsv1.ControllerRevision).Revision == 3 }},
	{"apps/v1", "ControllerRevision", `,"revision":"3"`,
		"revision", func(o runtime.Object) bool { return o.(*appsv1.ControllerRevision).Name == "x" }},
	{"batch/v1", "Job", `,"status":{"startTime":"noon","succeeded":1,"conditions":[{"type":"Complete","status":"True","lastTransitionTime":5}]}`,
		"status.conditions.0.lastTransitionTime, status.startTime", func(o runtime.Object) bool {
			status := o.(*batchv1.Job).Status
			return status.Succeeded == 1 && status.Conditions[0].Type == batchv1.JobComplete
		}},
	{"batch/v1", "CronJob", `,"spec":{"schedule":"* * * * *","suspend":"no"}`,
		"spec.suspend", func(o runtime.Object) bool { return o.(*batchv1.CronJob).Spec.Schedule == "* * * * *" }},
	{"v1", "ReplicationController", `,"spec":{"replicas":1.5,"selector":{"a":"b"}}`,
		"spec.replicas", func(o runtime.Object) bool { return o.(*corev1.ReplicationController).Spec.Selector["a"] == "b" }},
	{"autoscaling/v2", "HorizontalPodAutoscaler", `,"spec":{"maxReplicas":5},"status":{"desiredReplicas":[],"currentMetrics":[{"resource":{"current":{"averageUtilization":"x"}}}]}`,
		"status.currentMetrics.0.resource.current.averageUtilization, status.desiredReplicas", func(o runtime.Object) bool {
			return o.(*autoscalingv2.HorizontalPodAutoscaler).Spec.MaxReplicas == 5
		}},
	{"v1", "Node", `,"spec":{"unschedulable":"yes","taints":[{"key":"k","timeAdded":1}]},"status":{"conditions":[{"type":"Ready","lastHeartbeatTime":"x"}],"capacity":{"cpu":"much"}}`,
		"spec.taints.0.timeAdded, spec.unschedulable, status.capacity.cpu, status.conditions.0.lastHeartbeatTime", func(o runtime.Object) bool {
			n := o.(*corev1.Node)
			return n.Spec.Taints[0].Key == "k" && n.Status.Conditions[0].Type == corev1.NodeReady
		}},
	{"v1", "PersistentVolumeClaim", `,"spec":{"resources":{"requests":{"storage":"a lot"}},"volumeName":"v"}`,
		"spec.resources.requests.storage", func(o runtime.Object) bool { return o.(*corev1.PersistentVolumeClaim).Spec.VolumeName == "v" }},
	{"example.com/v1", "Shop", `,"metadata":{"name":"x","ownerReferences":[{"kind":"Mall","controller":"yes"}]}`,
		"metadata.ownerReferences.0.controller", func(o runtime.Object) bool {
			return o.(*metav1.PartialObjectMetadata).OwnerReferences[0].Kind == "Mall"
		}},
}

// Of every kind that is watched, what is whole in a damaged object is kept.
func TestRecordingSalvage(t *testing.T) {
	for _, test := range damaged {
		t.Run(test.kind, func(t *testing.T) {
			observations, broken := readString(t, line(test.apiVersion, test.kind, test.more))
			if len(observations) != 1 {
				t.Fatalf("%d observations, broken %q", len(observations), broken)
			}
			if test.place == "" && len(broken) > 0 ||
				test.place != "" && (len(broken) != 1 || !strings.HasSuffix(broken[0], "left out what cannot be read: "+test.place)) {
				t.Errorf("broken: %q\nwant %q", broken, test.place)
			}
			if !test.kept(observations[0].Object) {
				t.Errorf("kept %+v", observations[0].Object)
			}
			// The engine is not upset.
			engine := causality.New(causality.Options{})
			engine.Observe(observations[0])
			engine.Flush()
		})
	}
}

func TestRecordingEventsAPI(t *testing.T) {
	observations, broken := readString(t, `{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":{
		"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"web.18ea","namespace":"shop","uid":"u"},
		"eventTime":"2026-11-21T08:31:11.123456Z","reportingController":"default-scheduler","reportingInstance":"i","action":"Binding",
		"reason":"FailedScheduling","note":"0/1 nodes","type":"Warning","regarding":{"kind":"Pod","name":"web","uid":"p"},
		"series":{"count":3,"lastObservedTime":"2026-11-21T08:31:12.000001Z"},
		"deprecatedCount":2,"deprecatedSource":{"component":"s"},"deprecatedFirstTimestamp":"2026-11-21T08:31:10Z"}}`+"\n")
	// The pretty-printed line above is several lines: all are broken. One
	// object must be on one line.
	if len(observations) != 0 || len(broken) == 0 {
		t.Fatalf("%d observations, %d broken", len(observations), len(broken))
	}
	observations, broken = readString(t, `{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"web.18ea","namespace":"shop","uid":"u"},"eventTime":"2026-11-21T08:31:11.123456Z","reportingController":"default-scheduler","reportingInstance":"i","action":"Binding","reason":"FailedScheduling","note":"0/1 nodes","type":"Warning","regarding":{"kind":"Pod","name":"web","uid":"p"},"series":{"count":3,"lastObservedTime":"2026-11-21T08:31:12.000001Z"},"deprecatedCount":2,"deprecatedSource":{"component":"s"},"deprecatedFirstTimestamp":"2026-11-21T08:31:10Z"}}`)
	if len(broken) > 0 {
		t.Fatal(broken)
	}
	e := observations[0].Object.(*corev1.Event)
	if e.APIVersion != "v1" || e.Message != "0/1 nodes" || e.InvolvedObject.UID != "p" || e.ReportingController != "default-scheduler" ||
		e.Series.Count != 3 || e.Count != 2 || e.Source.Component != "s" || e.EventTime.Nanosecond() != 123456000 ||
		e.FirstTimestamp.Second() != 10 || e.Action != "Binding" || e.ReportingInstance != "i" || e.Type != "Warning" || e.UID != "u" {
		t.Errorf("%+v", e)
	}
}

// Each damage is named with file and line, and the line behind it is read.
func TestRecordingDamage(t *testing.T) {
	for name, test := range map[string]struct {
		line, want string
		saved      bool
	}{
		"no JSON":       {"rubbish", "not a watch event: invalid character", false},
		"a list":        {"[1]", "not a watch event", false},
		"cut short":     {podLine[:90], "not a watch event: unexpected end of JSON input", false},
		"missing type":  {`{"time":"2026-11-21T08:31:12Z","object":{}}`, "type is missing", false},
		"unknown type":  {`{"time":"2026-11-21T08:31:12Z","type":"Added","object":{}}`, `unknown type "Added", want ADDED, MODIFIED or DELETED`, false},
		"type a number": {`{"type":5}`, "type: 5 is not a string", false},
		"null object":   {`{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":null}`, "object is missing", false},
		"no object":     {`{"time":"2026-11-21T08:31:12Z","type":"ADDED"}`, "object is missing", false},
		"object a text": {`{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":"x"}`, "object: json: cannot unmarshal string", false},
		"no kind":       {`{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":{"metadata":{"name":"x"}}}`, "object: apiVersion and kind are needed", false},
		"no name":       {`{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":{"apiVersion":"v1","kind":"Pod"}}`, "object: metadata names neither a name nor a uid", false},
		"all metadata rubbish": {
			`{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":{"apiVersion":"v1","kind":"Pod","metadata":7}}`,
			"object: left out what cannot be read: metadata\nobject: metadata names neither", false},
		"watch failed":  {`{"type":"ERROR","object":{"kind":"Status","message":"too old resource version"}}`, "the watch failed here; events may be missing: too old resource version", false},
		"watch failed ": {`{"type":"ERROR","object":"what"}`, "the watch failed here; events may be missing", false},
		"missing time":  {strings.Replace(podLine, `"time"`, `"tim"`, 1), "time is missing", true},
		"rubbish time":  {strings.Replace(podLine, "2026-11-21T08", "yesterday", 1), `is not an RFC 3339 time`, true},
		"year 9999":     {strings.Replace(podLine, "2026", "9999", 1), "the year of", true},
		"initial":       {strings.Replace(podLine, `"type"`, `"initial":"maybe","type"`, 1), `initial: "maybe" is not true or false`, true},
		"rubbish creation time": {
			strings.Replace(podLine, `"uid"`, `"creationTimestamp":"long ago","uid"`, 1),
			"object: left out what cannot be read: metadata.creationTimestamp", true},
		"rubbish in a list": {
			strings.Replace(podLine, `"metadata"`, `"status":{"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"x"},{"type":3}]},"metadata"`, 1),
			"object: left out what cannot be read: status.conditions.0.lastTransitionTime, status.conditions.1.type", true},
	} {
		t.Run(name, func(t *testing.T) {
			observations, broken := readString(t, podLine+"\n"+test.line+"\n"+nodeLine+"\n")
			if len(broken) != 1 || !strings.HasPrefix(broken[0], "file:2: ") || !strings.Contains(broken[0], test.want) {
				t.Errorf("broken: %q\nwant file:2: … %s", broken, test.want)
			}
			want := 2
			if test.saved {
				want = 3
			}
			if len(observations) != want {
				t.Errorf("%d observations, want %d", len(observations), want)
			}
		})
	}
}

// Of an Event with a time that is none the rest is kept.
func TestRecordingSavesTheRestOfAnEvent(t *testing.T) {
	observations, broken := readString(t, `{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":{"apiVersion":"v1","kind":"Event","metadata":{"name":"web.18ea","uid":"u"},"reason":"Pulled","firstTimestamp":"rubbish","lastTimestamp":"2026-11-21T08:31:10Z","involvedObject":{"name":"web"},"count":1}}`)
	if len(broken) != 1 || !strings.Contains(broken[0], "firstTimestamp") || len(observations) != 1 {
		t.Fatalf("%d observations, broken %q", len(observations), broken)
	}
	e := observations[0].Object.(*corev1.Event)
	if e.Reason != "Pulled" || e.InvolvedObject.Name != "web" || e.LastTimestamp.Second() != 10 || !e.FirstTimestamp.IsZero() || e.Count != 1 {
		t.Errorf("%+v", e)
	}
}

// A line that lost its time is placed at the one before, and its arrival is
// no evidence.
func TestRecordingWithoutTime(t *testing.T) {
	observations, _ := readString(t, nodeLine+"\n"+strings.Replace(podLine, `"time"`, `"t"`, 1))
	if !observations[1].Time.Equal(observations[0].Time) || !observations[1].Initial {
		t.Errorf("time %v, initial %v", observations[1].Time, observations[1].Initial)
	}

	// Nothing places those ahead of the first time: kubectl get -w --output-watch-events prints none.
	observations, broken := readString(t, strings.Replace(podLine, `"time"`, `"t"`, 1)+"\n"+nodeLine)
	if len(observations) != 1 || len(broken) != 1 || broken[0] != "file:1: time is missing, and no line before has one" {
		t.Errorf("%d observations, broken %q", len(observations), broken)
	}
}

func TestRecordingForms(t *testing.T) {
	bookmark := `{"type":"BOOKMARK","object":{"kind":"Pod"}}`
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("\ufeff" + podLine + "\r\n" + nodeLine))
	_ = z.Close()

	text := utf16Of(t, unicode.LittleEndian, podLine+"\r\n"+nodeLine)
	for name, content := range map[string]string{
		"UTF-16":          text,
		"packed UTF-16":   string(packers[".gz"](t, []byte(text))),
		"plain":           podLine + "\n" + nodeLine + "\n",
		"CRLF":            podLine + "\r\n" + nodeLine + "\r\n",
		"byte order mark": "\ufeff" + podLine + "\n" + nodeLine + "\n",
		"empty lines":     "\n  \n" + podLine + "\n\r\n\n" + nodeLine + "\n\n",
		"no last newline": podLine + "\n" + nodeLine,
		"spaces":          "  " + podLine + "\t\n " + nodeLine + " ",
		"bookmarks":       bookmark + "\n" + podLine + "\n" + bookmark + "\n" + nodeLine + "\n" + bookmark,
		"gzip":            zipped.String(),
	} {
		t.Run(name, func(t *testing.T) {
			observations, broken := readString(t, content)
			if len(broken) > 0 || len(observations) != 2 {
				t.Fatalf("%d observations, broken %q", len(observations), broken)
			}
			first, second := observations[0], observations[1]
			if first.Type != watch.Added || second.Type != watch.Deleted ||
				!first.Time.Equal(time.Date(2026, 11, 21, 8, 31, 11, 818498031, time.UTC)) {
				t.Errorf("%v %v", first, second)
			}
		})
	}
	if observations, broken := readString(t, ""); len(observations)+len(broken) > 0 {
		t.Errorf("of nothing: %v, %q", observations, broken)
	}
}

func TestRecordingInitial(t *testing.T) {
	observations, broken := readString(t, strings.Replace(podLine, `"type"`, `"initial":true,"type"`, 1))
	if len(broken) > 0 || !observations[0].Initial {
		t.Errorf("%v, broken %q", observations, broken)
	}
}

func TestRecordingCutShort(t *testing.T) {
	_, broken := readString(t, podLine+"\n"+nodeLine[:70])
	if len(broken) != 1 || !strings.HasPrefix(broken[0], "file:2: the recording ends within this line: ") {
		t.Errorf("%q", broken)
	}

	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(podLine + "\n"))
	_ = z.Flush()
	_, _ = z.Write([]byte(strings.Repeat(nodeLine+"\n", 1000)))
	_ = z.Close()
	observations, broken := readString(t, zipped.String()[:zipped.Len()-30])
	if len(observations) == 0 || len(broken) != 1 || !strings.Contains(broken[0], "gzip stream is damaged or cut short") {
		t.Errorf("%d observations, broken %q", len(observations), broken)
	}
}

func TestRecordingLongLines(t *testing.T) {
	// Far beyond the buffer, and fine.
	long := strings.Replace(podLine, `"name"`, `"annotations":{"a":"`+strings.Repeat("x", 3<<20)+`"},"name"`, 1)
	observations, broken := readString(t, long+"\n"+nodeLine)
	if len(observations) != 2 || len(broken) > 0 {
		t.Errorf("%d observations, broken %q", len(observations), broken)
	}

	r := NewRecordingReader(strings.NewReader(podLine+"\n"+long+"\n"+nodeLine), "file")
	r.LimitMemory(textShare << 20)
	observations, broken = read(t, r)
	if len(observations) != 2 || len(broken) != 1 || broken[0] != "file:2: the line is too long: an object is larger than 1 MiB" {
		t.Errorf("%d observations, broken %q", len(observations), broken)
	}
}

func TestRecordingThatIsNone(t *testing.T) {
	for name, content := range map[string]string{
		"UTF-32":      "\xff\xfe\x00\x00{\x00\x00\x00",
		"no gzip":     "\x1f\x8bxxxxxxxxxxxxxxxx",
		"gzip header": "\x1f\x8b",
	} {
		_, err := NewRecordingReader(strings.NewReader(content), "file").Next()
		var line *LineError
		if err == nil || errors.Is(err, io.EOF) || errors.As(err, &line) || !strings.HasPrefix(err.Error(), "file: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type failingReader struct{ after io.Reader }

func (f failingReader) Read(p []byte) (int, error) {
	if n, err := f.after.Read(p); err == nil {
		return n, nil
	}
	return 0, os.ErrDeadlineExceeded
}

func TestRecordingReadError(t *testing.T) {
	r := NewRecordingReader(failingReader{strings.NewReader(podLine + "\n")}, "file")
	if o, err := r.Next(); err != nil || o.Object == nil {
		t.Fatalf("%v, %v", o, err)
	}
	if _, err := r.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func FuzzRecording(f *testing.F) {
	f.Add([]byte(podLine + "\n" + nodeLine))
	f.Add([]byte(strings.Replace(podLine, `"uid"`, `"creationTimestamp":"x","uid"`, 1)))
	f.Add([]byte(`{"type":"ERROR","object":{}}`))
	f.Add([]byte(`{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e"},"series":{"count":"x"}}}`))
	for _, d := range damaged {
		f.Add([]byte(line(d.apiVersion, d.kind, d.more)))
	}
	for _, object := range manyJSON(50) {
		f.Add([]byte(`{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":` + object + "}\n"))
	}
	f.Add([]byte("\x1f\x8b\b\x00\x00\x00\x00\x00\x00\xff"))
	f.Add([]byte("\xef\xbb\xbf\r\n\r\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r := NewRecordingReader(bytes.NewReader(content), "file")
		r.LimitMemory(textShare << 14)
		lines := bytes.Count(content, []byte("\n")) + 1
		for range 1 << 20 {
			o, err := r.Next()
			var line *LineError
			switch {
			case errors.As(err, &line):
				if line.Line < 1 || !bytes.HasPrefix(content, []byte{0x1f, 0x8b}) && line.Line > lines {
					t.Fatalf("line %d of %d", line.Line, lines)
				}
			case err != nil:
				return
			case o.Object == nil:
				t.Fatal("neither an object nor an error")
			}
		}
		t.Fatal("does not end")
	})
}

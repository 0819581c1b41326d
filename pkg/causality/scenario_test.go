package causality_test

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestScenarios runs the files in testdata/scenarios: what no recording has.
// A file is a list of
//
//	observe
//	<minute:second> <ADDED|MODIFIED|DELETED> <kind>/<name> [key=value …]
//	----
//	<the traces this finished>
//
// with the commands `advance to=<minute:second>`, `flush` and `close` beside it,
// `in-progress after=<duration> every=<duration>` ahead of it, and more below. An
// object keeps its state from line to line, so a line says what changed. The
// keys are those of the functions set… of scenario_*_test.go; values with spaces are
// quoted.
func TestScenarios(t *testing.T) {
	runScenarios(t, causality.Options{}, func([]spans.Trace) {})
}

// runScenarios shows what each of them hands out to seen as well. Log records are handed out if
// given says so.
func runScenarios(t *testing.T, given causality.Options, seen func([]spans.Trace)) {
	datadriven.Walk(t, filepath.Join("testdata", "scenarios"), func(t *testing.T, path string) {
		tree := func(t *testing.T, traces []spans.Trace) string {
			seen(traces)
			return tree(t, slices.DeleteFunc(slices.Clone(traces), func(tr spans.Trace) bool { return tr.Record != nil }))
		}
		w := newWorld()
		options := given
		engine := newEngine(options)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "observe":
				var b strings.Builder
				for line := range strings.Lines(d.Input) {
					o, err := w.observation(strings.TrimSpace(line))
					if err != nil {
						d.Fatalf(t, "%q: %v", line, err)
					}
					b.WriteString(tree(t, engine.Observe(o)))
				}
				return b.String()
			case "advance":
				var to string
				d.ScanArgs(t, "to", &to)
				return tree(t, engine.Advance(clock(to)))
			case "flush":
				return tree(t, engine.Flush())
			case "close": // rollspan is stopped
				return tree(t, engine.Close())
			case "dump": // what a snapshot of that moment tells
				return w.dump(t, d)
			case "restart": // rollspan starts anew and lists what is there
				engine = newEngine(options)
				var at string
				d.ScanArgs(t, "at", &at)
				var b strings.Builder
				for _, o := range w.list(clock(at)) {
					b.WriteString(tree(t, engine.Observe(o)))
				}
				return b.String()
			case "options": // of the rollspan that begins now
				options = contextOptions(t, d)
				options.Records = given.Records
				engine = newEngine(options)
				return ""
			case "malformed":
				return fmt.Sprintf("%d contexts\n", engine.Stats().MalformedContexts)
			case "in-progress":
				options.InProgressAfter, options.InProgressEvery = duration(t, d, "after"), duration(t, d, "every")
				engine = newEngine(options)
				return ""
			case "stats":
				s := engine.Stats()
				return fmt.Sprintf("incomplete %d, incomplete events %d, open %d\n", s.Incomplete, s.IncompleteEvents, s.Open)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

// dump takes a snapshot at=<minute:second>, of all kinds but those in without=<kind,…>, and
// looks back by since=<duration>, a day if it is not given.
func (w *world) dump(t *testing.T, d *datadriven.TestData) string {
	var at string
	var without []string
	d.ScanArgs(t, "at", &at)
	if d.HasArg("without") {
		var list string
		d.ScanArgs(t, "without", &list)
		without = strings.Split(list, ",")
	}
	since := 24 * time.Hour
	if d.HasArg("since") {
		since = duration(t, d, "since")
	}
	var objects []runtime.Object
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		kind, _, _ := strings.Cut(key, "/")
		if !slices.Contains(without, kind) {
			objects = append(objects, w.objects[key].DeepCopyObject())
		}
	}
	traces := replayHistory(snapshots.Reconstruct(objects, since, clock(at)))
	for _, tr := range traces {
		if _, ok := tr.Root().Attribute(keySegments); ok { // there is none through what is not known
			soundPath(t, tr)
			soundChain(t, tr)
		}
	}
	return writeTrees(t, traces)
}

func duration(t *testing.T, d *datadriven.TestData, arg string) time.Duration {
	var s string
	d.ScanArgs(t, arg, &s)
	v, err := time.ParseDuration(s)
	if err != nil {
		d.Fatalf(t, "%s: %v", arg, err)
	}
	return v
}

var day = time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)

// clock reads minute:second[.fraction].
func clock(s string) time.Time {
	m, sec, ok := strings.Cut(s, ":")
	d, err := time.ParseDuration(m + "m" + sec + "s")
	if !ok || err != nil {
		panic(fmt.Sprintf("%q is not minute:second", s))
	}
	return day.Add(d)
}

// world is the cluster of a scenario.
type world struct {
	objects map[string]runtime.Object
	version int
	born    int
}

func newWorld() *world { return &world{objects: map[string]runtime.Object{}} }

func (w *world) list(at time.Time) []causality.Observation {
	var obs []causality.Observation
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		obs = append(obs, causality.Observation{Time: at, Type: watch.Added, Object: w.objects[key].DeepCopyObject(), Initial: true})
	}
	return obs
}

func (w *world) observation(line string) (o causality.Observation, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	f := fields(line)
	o.Time, o.Type = clock(f[0]), watch.EventType(f[1])
	kind, name, _ := strings.Cut(f[2], "/")
	obj := w.objects[f[2]]
	if obj == nil {
		obj = w.create(kind, name, o.Time)
		w.objects[f[2]] = obj
	}
	meta := obj.(metav1.Object)
	w.version++
	meta.SetResourceVersion(strconv.Itoa(w.version))
	for _, kv := range f[3:] {
		key, val, _ := strings.Cut(kv, "=")
		if key == "initial" {
			o.Initial = true
			continue
		}
		if !w.setMeta(meta, key, val, o.Time) && !setTemplate(obj, key, val) {
			scenarioKinds()[kind].set(w, obj, key, val, o.Time)
		}
	}
	o.Object = obj.DeepCopyObject()
	if o.Type == watch.Deleted {
		delete(w.objects, f[2])
	}
	return o, nil
}

// fields splits at spaces outside quotes; \" is a quote that is meant.
func fields(line string) []string {
	var out []string
	var cur strings.Builder
	quoted, escaped := false, false
	for _, r := range line + " " {
		switch {
		case escaped || r == '\\':
			escaped = !escaped
			if !escaped {
				cur.WriteRune(r)
			}
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			if cur.Len() > 0 {
				out = append(out, cur.String())
			}
			cur.Reset()
		default:
			cur.WriteRune(r)
		}
	}
	return out
}

func (w *world) create(kind, name string, now time.Time) runtime.Object {
	w.born++
	meta := metav1.ObjectMeta{
		Namespace: "shop", Name: name,
		UID:               types.UID(fmt.Sprintf("%s-%s-%d", kind, name, w.born)),
		CreationTimestamp: metav1.NewTime(now.Truncate(time.Second)),
		Generation:        1,
		Annotations:       map[string]string{},
	}
	k, ok := scenarioKinds()[kind]
	if !ok {
		panic("no such kind: " + kind)
	}
	obj := k.create(meta)
	obj.GetObjectKind().SetGroupVersionKind(k.groupVersion().WithKind(k.kind))
	return obj
}

// scenarioKind is a kind of object that a scenario can have.
type scenarioKind struct {
	kind   string // as the API spells it
	create func(metav1.ObjectMeta) runtime.Object
	// set does what key=val says; it panics where the kind has no such key.
	set func(w *world, obj runtime.Object, key, val string, now time.Time)
}

// groupVersion is that of a custom workload; the others need none.
func (k scenarioKind) groupVersion() schema.GroupVersion {
	if k.kind == "Rollout" {
		return schema.GroupVersion{Group: "argoproj.io", Version: "v1alpha1"}
	}
	return schema.GroupVersion{}
}

func scenarioKinds() map[string]scenarioKind {
	return map[string]scenarioKind{
		"deployment": {"Deployment", newDeployment, setDeployment},
		"replicaset": {"ReplicaSet", newReplicaSet, setReplicaSet},
		"pod":        {"Pod", newPod, setPod},

		"statefulset":           {"StatefulSet", newStatefulSet, setStatefulSet},
		"daemonset":             {"DaemonSet", newDaemonSet, setDaemonSet},
		"controllerrevision":    {"ControllerRevision", newControllerRevision, setControllerRevision},
		"replicationcontroller": {"ReplicationController", newReplicationController, setReplicationController},
		"job":                   {"Job", newJob, setJob},
		"cronjob":               {"CronJob", newCronJob, setCronJob},

		"shop":        {"Shop", newCustom, setCustom},
		"certificate": {"Certificate", newCustom, setCustom},
		"rollout":     {"Rollout", newCustom, setCustom},
		"hpa":         {"HorizontalPodAutoscaler", newAutoscaler, setAutoscaler},

		"event": {"Event", newEvent, setEvent},
		"node":  {"Node", newNode, setNode},
		"claim": {"PersistentVolumeClaim", newClaim, setClaim},
	}
}

func (w *world) reference(to string) metav1.OwnerReference {
	kind, name, _ := strings.Cut(to, "/")
	k := scenarioKinds()[kind]
	return metav1.OwnerReference{APIVersion: k.groupVersion().String(), Kind: k.kind, Name: name, UID: w.objects[to].(metav1.Object).GetUID()}
}

// claimedOwner is a reference that somebody has made up.
func claimedOwner(val string) metav1.OwnerReference {
	who, uid, _ := strings.Cut(val, ":")
	kind, name, _ := strings.Cut(who, "/")
	kind, group, custom := strings.Cut(kind, ".")
	apiVersion := "v1"
	if custom {
		apiVersion = group + "/v1"
	}
	isController := true
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID(uid), Controller: &isController}
}

func (w *world) setMeta(meta metav1.Object, key, val string, now time.Time) bool {
	switch key {
	case "owner":
		if val == "none" {
			meta.SetOwnerReferences(nil)
			return true
		}
		ref := w.reference(val)
		isController := true
		ref.Controller = &isController
		meta.SetOwnerReferences([]metav1.OwnerReference{ref})
	case "namespace":
		meta.SetNamespace(val)
	case "uid":
		meta.SetUID(types.UID(val))
	case "claims-owner": // Kind.group/name:uid, whether there is such an object or not
		meta.SetOwnerReferences([]metav1.OwnerReference{claimedOwner(val)})
	case "also-of": // an owner that is not the controller, named ahead of it
		meta.SetOwnerReferences(append([]metav1.OwnerReference{w.reference(val)}, meta.GetOwnerReferences()...))
	case "created":
		meta.SetCreationTimestamp(metav1.NewTime(clock(val)))
	case "deleting": // the grace period in seconds
		grace := int64(atoi(val))
		at := metav1.NewTime(now.Truncate(time.Second).Add(time.Duration(grace) * time.Second))
		meta.SetDeletionTimestamp(&at)
		meta.SetDeletionGracePeriodSeconds(&grace)
	case "version":
		meta.SetResourceVersion(val)
	case "no-uid":
		meta.SetUID("")
	default:
		return annotate(meta, key, val)
	}
	return true
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// scenarioStreams are the names of the scenarios' files, in order, and all that each observes.
func scenarioStreams(t interface{ Fatalf(string, ...any) }) iter.Seq2[string, []causality.Observation] {
	return func(yield func(string, []causality.Observation) bool) {
		files, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*.txt"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no scenarios: %v", err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v", err)
			}
			w := newWorld()
			var obs []causality.Observation
			for _, line := range observed.FindAllString(string(content), -1) {
				o, err := w.observation(line)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				obs = append(obs, o)
			}
			if !yield(filepath.Base(file), obs) {
				return
			}
		}
	}
}

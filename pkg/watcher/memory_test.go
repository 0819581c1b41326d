package watcher

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// allocated is how many bytes doing something allocates, what is dropped again
// included.
func allocated(do func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// podOf is the JSON of a Pod with more in it.
func podOf(more string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","uid":"p1"},` + more + `}`
}

// manyJSON are objects that are small for what they become.
func manyJSON(n int) map[string]string {
	many := func(part string) string { return strings.Repeat(part+",", n-1) + part }
	return map[string]string{
		"containers": podOf(`"spec":{"containers":[` + many(`{}`) + `]}`),
		"contexts":   podOf(`"spec":{"containers":[` + many(`{"securityContext":{"capabilities":{"add":[""]}}}`) + `]}`),
		"limits":     podOf(`"spec":{"containers":[` + many(`{"resources":{"limits":{"a":"1"}}}`) + `]}`),
		"statuses":   podOf(`"status":{"containerStatuses":[` + many(`{"state":{"running":{}}}`) + `]}`),
		"arguments":  podOf(`"spec":{"containers":[{"args":[` + many(`""`) + `]}]}`),
		"numbers":    podOf(`"spec":{"securityContext":{"supplementalGroups":[` + many(`1`) + `]}}`),
		"owners":     strings.Replace(dumpedPod, `"name"`, `"ownerReferences":[`+many(`{}`)+`],"name"`, 1),
		"writers":    strings.Replace(dumpedPod, `"name"`, `"managedFields":[`+many(`{"fieldsV1":{"f:a":{}}}`)+`],"name"`, 1),
		"long":       strings.Replace(dumpedPod, `"name"`, `"labels":{"a":"`+strings.Repeat("x", 20*n)+`"},"name"`, 1),
		"escaped":    strings.Replace(dumpedPod, `"name"`, `"labels":{"a":"`+strings.Repeat(`\u0001<`, n)+`"},"name"`, 1),
		"unknown":    podOf(`"x":[` + many(`{}`) + `]`),
		"deep":       podOf(`"x":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)),
		"misfit":     podOf(`"spec":7,"x":[` + many(`{}`) + `]`),
		"node":       strings.Replace(podOf(`"status":{"conditions":[`+many(`{}`)+`],"images":[`+many(`{"names":[""]}`)+`]}`), "Pod", "Node", 1),
	}
}

// TestParsedJSONCostsWhatWasSaid holds the estimate of what is made of a JSON text to
// what its decoding allocates.
func TestParsedJSONCostsWhatWasSaid(t *testing.T) {
	for name, text := range manyJSON(10_000) {
		cost := jsonCost([]byte(text))
		var kept int64
		got := allocated(func() {
			object, _ := decodeObject([]byte(text)) // what does not fit is meant not to
			if object == nil {
				t.Errorf("%s: not decoded", name)
				return
			}
			kept = size(object)
		})
		if got > cost && name != "misfit" || kept > cost {
			t.Errorf("%s: %d bytes allocate %d and make %d, estimated were %d", name, len(text), got, kept, cost)
		}
	}
}

// TestParsedYAMLCostsWhatWasSaid holds the estimate of what is made of a YAML text to
// what its conversion allocates, half of which is garbage at any time.
func TestParsedYAMLCostsWhatWasSaid(t *testing.T) {
	const n = 10_000
	keys := func(format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"scalars":       "[" + strings.Repeat("a,", n) + "a]",
		"maps":          "[" + strings.Repeat("{},", n) + "a]",
		"lists":         "[" + strings.Repeat("[],", n) + "a]",
		"maps of one":   "[" + strings.Repeat("{a: b},", n) + "a]",
		"keys alone":    "[" + strings.Repeat("{a},", n) + "a]",
		"pairs":         "[" + strings.Repeat("a: b,", n) + "a]",
		"quoted pairs":  `[` + strings.Repeat(`"a":b,`, n) + "a]",
		"flow keys":     "{" + keys("k%d,") + "x}",
		"block keys":    keys("k%d:\n"),
		"block pairs":   keys("k%d: a\n"),
		"block list":    strings.Repeat("-\n", n),
		"block maps":    strings.Repeat("- a: b\n", n),
		"nested dashes": strings.Repeat("- ", 5000),
		"nested lists":  strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"nested maps":   strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000),
		"tags":          "[" + strings.Repeat("!!str a,", n) + "a]",
		"long":          "a: " + strings.Repeat("x", 1<<20),
		"angles":        "a: " + strings.Repeat("<", 1<<20),
		"escapes":       `a: "` + strings.Repeat(`\L`, 1<<19) + `"`,
		"block scalar":  "a: |\n" + strings.Repeat(" x\n", 1<<18),
		"words":         "a: " + strings.Repeat("x\n ", 1<<18),
		"comment":       "#" + strings.Repeat("x", 1<<20) + "\na: b",
	} {
		cost := yamlCost([]byte(text))
		if got := allocated(func() {
			if _, err := yaml.YAMLToJSON([]byte(text)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}); got > 2*cost {
			t.Errorf("%s: %d bytes allocate %d, estimated were %d", name, len(text), got, cost)
		}
	}
}

// TestAliasesCostWhatTheyReferTo refuses YAML whose aliases multiply it, and takes
// other texts with asterisks in them.
func TestAliasesCostWhatTheyReferTo(t *testing.T) {
	m := memory{most: DefaultMemory}
	for name, text := range map[string]string{
		"long":      "a: &a " + strings.Repeat("x", 60_000) + "\nb: [" + strings.Repeat("*a,", 20_000) + "]\n",
		"laughs":    billionLaughs(),
		"itself":    "a: &a [*a]\n",
		"of a list": "a: &a [" + strings.Repeat("x,", 1000) + "]\nb: [" + strings.Repeat("*a,", 1000) + "]\n",
		"merged":    "a: &a {" + strings.Repeat("x", 1000) + ": y}\nb: [" + strings.Repeat("{<<: *a},", 20_000) + "]\n",
	} {
		var err error
		if got := allocated(func() { _, err = m.yamlToJSON([]byte(text)) }); !errors.Is(err, ErrMemory) || got > m.value() {
			t.Errorf("%s: %v, with %d bytes allocated", name, err, got)
		}
	}
	for _, text := range []string{
		"a: &a x\nb: *a\n", "a: \"*a *b\"\nb: |\n  *c* **d**\n", "schedule: \"*/5 * * * *\"\n", "a: 2*x\n", "a: x*" + strings.Repeat("y", 1<<20),
	} {
		if _, err := m.yamlToJSON([]byte(text)); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// inUse is how many bytes are in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // which lets go of what the first found with finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestObjectsCostWhatWasSaid holds the estimate of what an object of a dump takes to
// what is in use of it, of its past, of the engine's records and of the spans, when
// all of these are there.
func TestObjectsCostWhatWasSaid(t *testing.T) {
	const begun, ready = `"2026-03-02T09:00:00Z"`, `"2026-03-02T09:00:20Z"`
	pod := func(meta, more string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-5d5f8c7b9-%[1]d","namespace":"shop","uid":"p%[1]d"` + meta + `}` + more + `}`
	}
	kind := func(apiVersion, kind, meta, more string) string {
		return `{"apiVersion":"` + apiVersion + `","kind":"` + kind + `","metadata":{"name":"web-%[1]d","namespace":"shop","uid":"` + kind + `%[1]d"` + meta + `}` + more + `}`
	}
	var statuses, conditions []string
	for i := range 3 {
		statuses = append(statuses, fmt.Sprintf(`{"name":"c%d","imageID":"registry.example.com/app@sha256:%s","containerID":"containerd://%s","restartCount":1,`+
			`"state":{"running":{"startedAt":"2026-03-02T09:00:1%[1]dZ"}},"lastState":{"terminated":{"exitCode":1,"reason":"Error","containerID":"containerd://x%[1]d",`+
			`"startedAt":"2026-03-02T09:00:03Z","finishedAt":"2026-03-02T09:00:0%[4]dZ"}}}`, i, strings.Repeat("a", 64), strings.Repeat("b", 64), i+4))
	}
	for i, typ := range []string{"PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"} {
		conditions = append(conditions, fmt.Sprintf(`{"type":%q,"status":"True","lastTransitionTime":"2026-03-02T09:00:0%dZ"}`, typ, i))
	}
	status := `,"spec":{"nodeName":"n1","containers":[{"name":"c0"},{"name":"c1"},{"name":"c2"}]},"status":{"phase":"Running","startTime":` + begun +
		`,"conditions":[` + strings.Join(conditions, ",") + `],"containerStatuses":[` + strings.Join(statuses, ",") + `]}`
	owned := func(kind string) string {
		return `,"creationTimestamp":` + begun + `,"ownerReferences":[{"apiVersion":"apps/v1","kind":"` + kind + `","name":"web-%[1]d","uid":"` + kind + `%[1]d","controller":true}]`
	}
	template := `"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c0","image":"app:1","readinessProbe":{"httpGet":{"path":"/","port":80}}}]}}`
	revision := `,"annotations":{"deployment.kubernetes.io/revision":"1"}`
	deployment := kind("apps/v1", "Deployment", `,"generation":1,"creationTimestamp":`+begun+revision, `,"spec":{"replicas":1,`+template+`},"status":{"observedGeneration":1,"replicas":1,`+
		`"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1,"conditions":[{"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable","lastUpdateTime":`+ready+`,"lastTransitionTime":`+begun+`}]}`)
	set := kind("apps/v1", "ReplicaSet", owned("Deployment")+revision, `,"spec":{"replicas":1,`+template+`},"status":{"replicas":1,"readyReplicas":1}`)
	event := `{"apiVersion":"v1","kind":"Event","metadata":{"name":"e%[1]d","namespace":"shop"},"reason":"R","message":"something","count":3,"firstTimestamp":` + begun + `,"lastTimestamp":` + ready +
		`,"involvedObject":{"kind":"Pod","namespace":"shop","name":"web-5d5f8c7b9-%[1]d","uid":"p%[1]d"}}`
	for name, items := range map[string][]string{
		"bare pods":           {pod("", "")},
		"pods":                {pod(`,"creationTimestamp":`+begun, status)},
		"events":              {event},
		"bare events":         {`{"apiVersion":"v1","kind":"Event","metadata":{"name":"%d"}}`},
		"nodes":               {kind("v1", "Node", "", "")},
		"claims":              {kind("v1", "PersistentVolumeClaim", "", "")},
		"others":              {kind("v1", "ConfigMap", "", "")},
		"autoscalers":         {kind("autoscaling/v2", "HorizontalPodAutoscaler", "", `,"spec":{"scaleTargetRef":{"kind":"Deployment","name":"web-%[1]d"}}`)},
		"bare Deployments":    {kind("apps/v1", "Deployment", "", "")},
		"bare ReplicaSets":    {kind("apps/v1", "ReplicaSet", "", "")},
		"bare StatefulSets":   {kind("apps/v1", "StatefulSet", "", "")},
		"bare DaemonSets":     {kind("apps/v1", "DaemonSet", "", "")},
		"bare Jobs":           {kind("batch/v1", "Job", "", "")},
		"bare CronJobs":       {kind("batch/v1", "CronJob", "", "")},
		"controllers":         {kind("v1", "ReplicationController", "", "")},
		"revisions":           {kind("apps/v1", "ControllerRevision", "", "")},
		"rollouts":            {deployment, set, pod(owned("ReplicaSet"), status), event},
		"StatefulSets at it":  {kind("apps/v1", "StatefulSet", `,"generation":1,"creationTimestamp":`+begun, `,"spec":{"replicas":1,`+template+`}`), pod(owned("StatefulSet"), status)},
		"Jobs that ran":       {kind("batch/v1", "Job", `,"creationTimestamp":`+begun, `,"status":{"startTime":`+begun+`,"succeeded":1}`), pod(owned("Job"), status)},
		"DaemonSets and pods": {kind("apps/v1", "DaemonSet", `,"generation":1,"creationTimestamp":`+begun, `,"spec":{`+template+`}`), pod(owned("DaemonSet"), status)},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 400
			var all []string
			for _, item := range items {
				for i := range n {
					all = append(all, fmt.Sprintf(item, i))
				}
			}
			list := `{"apiVersion":"v1","kind":"List","items":[` + strings.Join(all, ",") + `]}`
			before := inUse()
			d := NewDump(func(err error) { t.Error(err) })
			d.Add(strings.NewReader(list), "all.json")
			cost := d.memory.used
			history := snapshots.Reconstruct(d.Objects(), 24*time.Hour, time.Date(2026, 3, 2, 9, 1, 0, 0, time.UTC))
			most := inUse() - before
			if read := len(d.Objects()); read != len(all) {
				t.Fatalf("read %d objects of %d", read, len(all))
			}
			d.Release()
			engine := causality.New(causality.Options{})
			var told []spans.Trace
			for i, o := range history.Observations {
				history.Observations[i] = causality.Observation{}
				told = append(told, engine.Observe(o)...)
				if i%1000 == 0 {
					most = max(most, inUse()-before)
				}
			}
			told = append(told, engine.Advance(history.End)...)
			told = append(told, engine.Flush()...)
			most = max(most, inUse()-before)
			t.Logf("%d objects: %d bytes each in use, %d estimated", len(all), most/int64(len(all)), cost/int64(len(all)))
			// What the tests before it left is not much.
			if most > cost+64<<10 {
				t.Errorf("%d bytes in use, estimated were %d", most, cost)
			}
			runtime.KeepAlive(told)
			runtime.KeepAlive(engine)
			runtime.KeepAlive(list)
		})
	}
}

// lateReader fails the test if it is read.
type lateReader struct{ t *testing.T }

func (r lateReader) Read([]byte) (int, error) {
	r.t.Error("read on")
	return 0, io.EOF
}

// TestFullDump gives a reader more objects than there is memory for, in each form.
func TestFullDump(t *testing.T) {
	const most, n = 4 << 20, 1000
	var docs, items, block strings.Builder
	for i := range n {
		pod := strings.ReplaceAll(dumpedPod, "p1", fmt.Sprintf("p%d", i))
		docs.WriteString(pod + "\n")
		items.WriteString("," + pod)
		block.WriteString("- " + pod + "\n")
	}
	list := `{"apiVersion":"v1","kind":"List","items":[` + items.String()[1:] + `]}`
	waiting := `{"items":[` + strings.ReplaceAll(items.String()[1:], `"apiVersion":"v1","kind":"Pod",`, "") + `],"apiVersion":"v1","kind":"PodList"}`
	for name, c := range map[string]struct {
		file
		where string
	}{
		"list":                     {file{"all.json", list}, "all.json"},
		"list that is behind":      {file{"all.json", waiting}, "all.json"},
		"one after another":        {file{"all.json", docs.String()}, "all.json"},
		"YAML list":                {file{"all.yaml", "apiVersion: v1\nitems:\n" + block.String() + yamlListEnd}, "all.yaml"},
		"YAML documents":           {file{"all.yaml", "---\n" + strings.ReplaceAll(docs.String(), "\n", "\n---\n")}, "all.yaml"},
		"archive":                  {file{"b.tar", tarOf(t, file{"b/all.json", list}, file{"b/more.json", list})}, "b.tar/b/all.json"},
		"gzipped":                  {file{"all.json.gz", zipped(list)}, "all.json"},
		"kinds that are not known": {file{"all.json", strings.ReplaceAll(list, `"kind":"Pod"`, `"kind":"`+strings.Repeat("x", 2000)+`"`)}, "all.json"},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDump(func(err error) { t.Error(err) })
			d.LimitMemory(most)
			d.Add(strings.NewReader(c.content), c.name)
			read := len(d.Objects())
			full := d.Full()
			if full == nil {
				t.Fatalf("%d objects, and not full", read)
			}
			if full.File != c.where || full.Item != read+1 || !errors.Is(full, ErrMemory) || read == 0 || read == n {
				t.Errorf("%d objects, %v, want it in %s", read, full, c.where)
			}
			if d.memory.used > most/keptShare {
				t.Errorf("%d bytes used", d.memory.used)
			}
			// Nothing more is read.
			d.Add(lateReader{t}, "more.json")
			if err := d.addFolder(t.Context(), fstest.MapFS{"a.json": {Data: []byte(dumpedPod)}}, "more"); err != nil {
				t.Error(err)
			}
			if len(d.Objects()) != read || d.Stats().Files != 1 {
				t.Errorf("%d objects of %+v, want %d of one file", len(d.Objects()), d.Stats(), read)
			}
		})
	}
}

// TestStatesThatReplaceAnotherCostNothing reads the same object again and again.
func TestStatesThatReplaceAnotherCostNothing(t *testing.T) {
	d := NewDump(func(err error) { t.Error(err) })
	d.LimitMemory(4 << 20)
	d.Add(strings.NewReader(dumpedPod), "web.json")
	once := d.memory.used
	for i := range 1000 {
		d.Add(strings.NewReader(strings.Replace(dumpedPod, `"7"`, fmt.Sprintf(`"%d"`, 1000+i), 1)), "web.json")
	}
	if d.Full() != nil || d.memory.used > 2*once {
		t.Errorf("%v, %d bytes used, %d of them once", d.Full(), d.memory.used, once)
	}
}

// littleMemory is a bound that is soon reached by one object.
const littleMemory = 64 << 20

// TestObjectsThatTakeTooMuch leaves out what takes too much alone, and nothing else.
func TestObjectsThatTakeTooMuch(t *testing.T) {
	other := strings.NewReplacer("web", "api", "p1", "p2").Replace(dumpedPod)
	var fields strings.Builder
	for i := range maxFields {
		fmt.Fprintf(&fields, `"f%d":1,`, i)
	}
	// Its states are few bytes each, and many.
	var statuses []string
	for i := range 300 {
		statuses = append(statuses, fmt.Sprintf(`{"name":"c%d","state":{"running":{"startedAt":"2026-03-02T09:%02d:%02dZ"}}}`, i, i/60, i%60))
	}
	states := podOf(`"status":{"containerStatuses":[` + strings.Join(statuses, ",") + `]}`)
	left := 0
	for name, big := range manyJSON(10_000) {
		if m := (&memory{most: littleMemory}); m.fits(jsonCost([]byte(big))) == nil {
			continue
		}
		left++
		checkLeftOut(t, name, file{"all.json", `{"apiVersion":"v1","kind":"List","items":[` + big + `,` + other + `]}`}, "all.json: item 1: ")
		checkLeftOut(t, name, file{"all.json", big + other}, "all.json: item 1: ")
		observations, broken := func() (int, []string) {
			r := NewRecordingReader(strings.NewReader(`{"time":"2026-11-21T08:31:12Z","type":"ADDED","object":`+big+"}\n"+podLine), "file")
			r.LimitMemory(littleMemory)
			o, broken := read(t, r)
			return len(o), broken
		}()
		if observations != 1 || len(broken) != 1 || !strings.HasPrefix(broken[0], "file:1: ") {
			t.Errorf("%s: %d observations, broken %.100q", name, observations, broken)
		}
	}
	if left < 5 {
		t.Errorf("only %d objects take too much", left)
	}
	checkLeftOut(t, "states", file{"all.json", `{"apiVersion":"v1","kind":"List","items":[` + states + `,` + other + `]}`}, "all.json: item 1: ")
	checkLeftOut(t, "aliases", file{"all.yaml", "apiVersion: v1\nkind: Pod\na: &a " + strings.Repeat("x", 60_000) + "\nb: [" + strings.Repeat("*a,", 10_000) + "]\n---\n" + other}, "all.yaml: item 1: ")
	checkLeftOut(t, "aliases of other items", file{"all.yaml", "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: &m {name: api, uid: p2, generateName: " + strings.Repeat("x", 1000) +
		"}\n- apiVersion: v1\n  kind: Pod\n  x: [" + strings.Repeat("*m,", 5000) + "]\nkind: List\n"}, "all.yaml: item 2: it refers to an anchor, and with all others of its list: ")

	got, broken, _ := readDump(t, file{"all.json", podOf(fields.String() + `"x":1`)})
	if len(got) > 0 || len(broken) != 1 || !strings.Contains(broken[0], "more than 1000 fields") {
		t.Errorf("got %v, broken %q", got, broken)
	}
}

// checkLeftOut reads a file with something in it that takes too much, and an object
// api.
func checkLeftOut(t *testing.T, name string, f file, where string) {
	t.Helper()
	var broken []error
	d := NewDump(func(err error) { broken = append(broken, err) })
	d.LimitMemory(littleMemory)
	d.Add(strings.NewReader(f.content), f.name)
	if len(broken) != 1 || !errors.Is(broken[0], ErrMemory) || !strings.HasPrefix(broken[0].Error(), where) {
		t.Errorf("%s: broken %.200q, want one at %s", name, broken, where)
	}
	if names := namesOf(t, d); len(names) != 1 || names[0] != "Pod/api" {
		t.Errorf("%s: got %v", name, names)
	}
}

// TestFoldersAreBounded lists a folder of more names than there is memory for.
func TestFoldersAreBounded(t *testing.T) {
	folder := fstest.MapFS{}
	for i := range 5000 {
		folder[fmt.Sprintf("many/%04d.json", i)] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(dumpedPod, "p1", fmt.Sprint(i)))}
	}
	folder["one.json"] = &fstest.MapFile{Data: []byte(dumpedPod)}
	var broken []error
	d := NewDump(func(err error) { broken = append(broken, err) })
	d.LimitMemory(valueShare * entryBytes * 1000)
	d.memory.used = -1 << 40 // which is not what this is about
	if err := d.addFolder(t.Context(), folder, "dump"); err != nil {
		t.Fatal(err)
	}
	if len(broken) != 1 || !errors.Is(broken[0], ErrMemory) || !strings.HasPrefix(broken[0].Error(), "dump/many: ") {
		t.Errorf("broken %q", broken)
	}
	if n := len(d.Objects()); n != 1001 {
		t.Errorf("%d objects, want those of the first thousand names, and the one beside", n)
	}
}

// TestNamesInArchivesStayInThem says where a file is that is named as if it were
// somewhere else.
func TestNamesInArchivesStayInThem(t *testing.T) {
	const damaged = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"`
	_, broken, _ := readDump(t, file{"b.tar", tarOf(t, file{"../../../etc/a.json", damaged}, file{"/b.json", damaged}, file{"c/../d.json", damaged})})
	want := []string{"b.tar/etc/a.json: item 1: unexpected EOF", "b.tar/b.json: item 1: unexpected EOF", "b.tar/d.json: item 1: unexpected EOF"}
	if !slices.Equal(broken, want) {
		t.Errorf("broken %q, want %q", broken, want)
	}
}

// TestNamesInArchivesAreBounded reads an archive with a name of a MiB in it.
func TestNamesInArchivesAreBounded(t *testing.T) {
	got, broken, _ := readDump(t, file{"b.tar", tarOf(t, file{strings.Repeat("n/", 400_000) + "a.json", dumpedPod},
		file{strings.Repeat("n/", 100) + "b.json", strings.ReplaceAll(dumpedPod, "web", "api")})})
	if len(got) != 1 || got[0] != "Pod/api" || len(broken) != 1 || broken[0] != "b.tar: a file in it has a name of more than 4096 bytes; it was passed over" {
		t.Errorf("got %v, broken %.200q", got, broken)
	}
}

// TestKindsAreCountedForPeople names no million kinds.
func TestKindsAreCountedForPeople(t *testing.T) {
	d := NewDump(func(err error) { t.Error(err) })
	for i := range 1000 {
		d.Add(strings.NewReader(strings.NewReplacer("p1", fmt.Sprint(i), `"Pod"`, fmt.Sprintf(`"Kind%d"`, i)).Replace(dumpedPod)), "one.json")
	}
	d.Add(strings.NewReader(`{"apiVersion":"v1","kind":"List","items":[`+dumpedPod+`,`+strings.Replace(dumpedPod, "p1", "p2", 1)+`]}`), "two.json")
	said := CountKinds(d.Objects())
	if !strings.HasPrefix(said, "2 Pods, 1 Kind0, ") || !strings.HasSuffix(said, ", and 901 of other kinds") || strings.Count(said, ",") != maxKindsCounted {
		t.Errorf("said: %s", said)
	}
}

package watcher

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	dumpedPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"shop","uid":"p1","resourceVersion":"7"}}`
	// bareItem is what lists hold whose items do not say their kind.
	bareItem   = `{"metadata":{"name":"web","namespace":"shop","uid":"p1"}}`
	dumpedYAML = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, uid: p1}\n"
)

// file is a file of a dump.
type file struct{ name, content string }

// readDump reads files and returns what they hold, as "Kind/name", and what is
// said to be wrong with them.
func readDump(t testing.TB, files ...file) (objects, broken []string, stats DumpStats) {
	t.Helper()
	d := NewDump(func(err error) { broken = append(broken, err.Error()) })
	for _, f := range files {
		d.Add(strings.NewReader(f.content), f.name)
	}
	return namesOf(t, d), broken, d.Stats()
}

func namesOf(t testing.TB, d *Dump) (names []string) {
	t.Helper()
	for _, o := range d.Objects() {
		meta, ok := o.(metav1.Object)
		if !ok {
			t.Fatalf("%T has no metadata", o)
		}
		names = append(names, o.GetObjectKind().GroupVersionKind().Kind+"/"+meta.GetName())
	}
	slices.Sort(names)
	return names
}

// TestFormsOfDumps holds the reader to the forms in which kubectl and those who
// collect support bundles write objects.
func TestFormsOfDumps(t *testing.T) {
	web := []string{"Pod/web"}
	both := []string{"Deployment/web", "Pod/web"}
	deployment := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"d1"}}`
	logs := func(content string) string {
		return "==== START logs for container web of pod shop/web ====\n" + content + "==== END logs for container web of pod shop/web ====\n"
	}
	longLine := strings.Repeat("not JSON: {[ ", sniffBytes)
	for name, c := range map[string]struct {
		file
		want []string
	}{
		"one object":                 {file{"web.json", dumpedPod}, web},
		"one object on stdin":        {file{"stdin", dumpedPod}, web},
		"byte order mark":            {file{"web.json", "\ufeff" + dumpedPod}, web},
		"List":                       {file{"all.json", `{"apiVersion":"v1","items":[` + dumpedPod + `,` + deployment + `],"kind":"List"}`}, both},
		"PodList":                    {file{"stdin", `{"kind":"PodList","apiVersion":"v1","items":[` + bareItem + `]}`}, web},
		"kind behind the items":      {file{"stdin", `{"items":[` + bareItem + `],"kind":"PodList","apiVersion":"v1"}`}, web},
		"list without items":         {file{"pods.json", `{"kind":"PodList","apiVersion":"v1","items":null}`}, nil},
		"bare array, by its folder":  {file{"bundle/cluster-resources/pods/shop.json", `[` + bareItem + `]`}, web},
		"bare items, by its name":    {file{"bundle/cluster-resources/pods.json", `{"items":[` + bareItem + `]}`}, web},
		"bare array, of nothing":     {file{"bundle/analysis.json", `[` + bareItem + `]`}, nil},
		"one object after another":   {file{"all.json", dumpedPod + "\n" + deployment}, both},
		"JSON with logs between":     {file{"stdin", dumpedPod + "\n" + logs("{not JSON\n") + logs(longLine) + logs("") + deployment}, both},
		"YAML with logs between":     {file{"stdin", dumpedYAML + logs("{not: YAML: {[\n") + logs("unfinished") + "---\n" + deployment}, both},
		"YAML":                       {file{"web.yaml", dumpedYAML}, web},
		"YAML on stdin":              {file{"stdin", "---\n# a comment\n" + dumpedYAML}, web},
		"YAML documents":             {file{"all.yml", dumpedYAML + "---\n---\nnull\n---\n" + deployment}, both},
		"YAML list":                  {file{"all.yaml", "apiVersion: v1\nitems:\n- " + strings.ReplaceAll(dumpedYAML, "\n", "\n  ") + "\nkind: List\n"}, web},
		"manifest, never applied":    {file{"web.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"}, nil},
		"JSON of something else":     {file{"package.json", `{"name":"web","metadata":{"uid":"x"}}`}, nil},
		"a number":                   {file{"n.json", `1`}, nil},
		"empty":                      {file{"empty.json", ``}, nil},
		"text":                       {file{"notes.txt", "kind of strange"}, nil},
		"values of a chart":          {file{"values.yaml", "replicas: 3\nimage: {tag: [1, 2}\n"}, nil},
		"a log, whatever it says":    {file{"web.log", dumpedPod}, nil},
		"rotated log":                {file{"web.log.gz", zipped(dumpedPod)}, nil},
		"gzipped":                    {file{"web.json.gz", zipped(dumpedPod)}, web},
		"archive":                    {file{"bundle.tar", tarOf(t, file{"b/web.json", dumpedPod}, file{"b/version.txt", "1"})}, web},
		"gzipped archive":            {file{"bundle.tgz", zipped(tarOf(t, file{"b/web.json", dumpedPod}))}, web},
		"gzipped file in an archive": {file{"bundle.tar.gz", zipped(tarOf(t, file{"b/web.json.gz", zipped(dumpedPod)}))}, web},
		"archive in an archive":      {file{"all.tar", tarOf(t, file{"b.tgz", zipped(tarOf(t, file{"b/web.json", dumpedPod}))})}, nil},
		"names that lead elsewhere":  {file{"bundle.tar", tarOf(t, file{"../../etc/web.json", dumpedPod})}, web},
		"recording, of another kind": {file{"r.jsonl", podLine}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, broken, stats := readDump(t, c.file)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if len(broken) > 0 {
				t.Errorf("broken: %q", broken)
			}
			if (stats.Files > 0) != (len(c.want) > 0) || stats.Files == 0 && stats.PassedOver == 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

func zipped(content string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(content)) // a buffer takes all
	_ = w.Close()
	return b.String()
}

func tarOf(t testing.TB, files ...file) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		header := tar.Header{Name: f.name, Size: int64(len(f.content)), Mode: 0o600, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestEventsOfDumps reads the output of kubectl get events, of either API.
func TestEventsOfDumps(t *testing.T) {
	d := NewDump(func(err error) { t.Error(err) })
	d.Add(strings.NewReader(`{"apiVersion":"v1","kind":"List","items":[
		{"apiVersion":"v1","kind":"Event","metadata":{"name":"a","namespace":"shop"},"reason":"Pulled","count":2,"involvedObject":{"kind":"Pod","uid":"p1"}},
		{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"b","namespace":"shop"},"reason":"Scheduled","note":"there","regarding":{"kind":"Pod","uid":"p1"}}]}`), "stdin")
	objects := d.Objects()
	if len(objects) != 2 {
		t.Fatalf("%d objects, want 2", len(objects))
	}
	for i, reason := range []string{"Pulled", "Scheduled"} {
		ev, ok := objects[i].(*corev1.Event)
		if !ok || ev.Reason != reason || ev.InvolvedObject.UID != "p1" {
			t.Errorf("got %+v, want an Event %s of p1", objects[i], reason)
		}
	}
}

// TestNewestStateCounts reads one object from several files.
func TestNewestStateCounts(t *testing.T) {
	older := strings.Replace(dumpedPod, `"7"`, `"6","labels":{"old":"1"}`, 1)
	for _, files := range [][]file{
		{{"a.json", dumpedPod}, {"b.json", older}},
		{{"a.json", older}, {"b.json", dumpedPod}},
	} {
		d := NewDump(func(err error) { t.Error(err) })
		for _, f := range files {
			d.Add(strings.NewReader(f.content), f.name)
		}
		objects := d.Objects()
		if len(objects) != 1 {
			t.Fatalf("%d objects, want 1", len(objects))
		}
		if meta, ok := objects[0].(metav1.Object); !ok || meta.GetResourceVersion() != "7" {
			t.Errorf("got %+v, want resource version 7", objects[0])
		}
	}
}

// TestSecretsStayOut checks that what must not get into traces is not even kept.
func TestSecretsStayOut(t *testing.T) {
	d := NewDump(func(err error) { t.Error(err) })
	d.Add(strings.NewReader(`{"apiVersion":"v1","kind":"List","items":[
		{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","uid":"s1","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2"}},"data":{"password":"hunter2"}},
		{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","uid":"p1","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2"}},
		 "spec":{"containers":[{"name":"web","env":[{"name":"PASSWORD","value":"hunter2"}]}]}}]}`), "stdin")
	if n := len(d.Objects()); n != 2 {
		t.Fatalf("%d objects, want 2", n)
	}
	for _, o := range d.Objects() {
		if kept := fmt.Sprintf("%+v", o); strings.Contains(kept, "hunter2") {
			t.Errorf("kept: %s", kept)
		}
	}
}

// TestBrokenDumps checks that damage is named by its place, and that the rest is
// read all the same.
func TestBrokenDumps(t *testing.T) {
	other := strings.NewReplacer("web", "api", "p1", "p2").Replace(dumpedPod)
	deep, tooLarge := strings.Repeat("[", 20000), strings.Repeat("x", DefaultMemory/textShare+1<<20)
	for name, c := range map[string]struct {
		file
		broken string // in the report
		want   []string
	}{
		"cut short":              {file{"all.json", `{"apiVersion":"v1","kind":"PodList","items":[` + dumpedPod + `,{"metadata":{"na`}, "all.json: item 2: ", []string{"Pod/web"}},
		"cut in the first item":  {file{"all.json", `{"apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"na`}, "all.json: item 1: ", nil},
		"cut in a bare array":    {file{"all.json", `[{"apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"na`}, "all.json: item 1: ", nil},
		"cut in bare items":      {file{"d/pods.json", `[{"metadata":{"na`}, "d/pods.json: item 1: ", nil},
		"too large, in a list":   {file{"all.json", `{"apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Pod","metadata":"` + tooLarge + `"}],"kind":"List"}`}, "all.json: item 1: an object is larger than 16 MiB", nil},
		"too large, in an array": {file{"all.json", `[{"apiVersion":"v1","kind":"Pod","metadata":"` + tooLarge + `"}]`}, "all.json: item 1: an object is larger than 16 MiB", nil},
		"none in a bare array":   {file{"all.json", `[` + dumpedPod + `,7,{"a":1},["b"],` + other + `,null]`}, "", []string{"Pod/api", "Pod/web"}},
		"item that is none":      {file{"all.json", `{"apiVersion":"v1","kind":"PodList","items":[` + dumpedPod + `,7,` + other + `]}`}, "all.json: item 2: ", []string{"Pod/api", "Pod/web"}},
		"field of a wrong type":  {file{"all.json", `{"apiVersion":"v1","kind":"List","items":[` + strings.Replace(dumpedPod, `"kind":"Pod"`, `"kind":"Pod","spec":7`, 1) + `,` + other + `]}`}, "all.json: item 1: ", []string{"Pod/api", "Pod/web"}},
		"YAML document":          {file{"all.yaml", dumpedYAML + "---\napiVersion: v1\nkind: [\n---\n" + other}, "all.yaml: item 2: ", []string{"Pod/api", "Pod/web"}},
		"too deep":               {file{"all.json", dumpedPod + `{"apiVersion":"v1","kind":"Pod","metadata":` + deep}, "all.json: item 2: ", []string{"Pod/web"}},
		"too deep YAML":          {file{"all.yaml", dumpedYAML + "---\napiVersion: v1\nkind: Pod\nmetadata: " + deep + "\n"}, "all.yaml: item 2: ", []string{"Pod/web"}},
		"YAML that multiplies":   {file{"all.yaml", dumpedYAML + "---\n" + billionLaughs()}, "all.yaml: item 2: ", []string{"Pod/web"}},
		"gzip cut short":         {file{"web.json.gz", zipped(dumpedPod)[:60]}, "", nil},
		"archive cut short":      {file{"b.tar", tarOf(t, file{"b/web.json", dumpedPod}, file{"b/api.json", other})[:1100]}, "b.tar: the archive is damaged or cut short here: ", []string{"Pod/web"}},
		"gzip of something else": {file{"web.json.gz", "\x1f\x8b nothing"}, "web.json.gz: ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, broken, stats := readDump(t, c.file, file{"good.json", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","uid":"n1"}}`})
			if want := slices.Sorted(slices.Values(append(c.want, "Node/n1"))); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if c.broken != "" && (len(broken) != 1 || !strings.HasPrefix(broken[0], c.broken)) {
				t.Errorf("broken: %q, want one with %q", broken, c.broken)
			}
			if stats.Broken != len(broken) {
				t.Errorf("counted %d broken, reported %d", stats.Broken, len(broken))
			}
		})
	}
}

// billionLaughs is a short YAML document of a long value.
func billionLaughs() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Pod\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	return b.String()
}

// TestValuesAreBounded gives the reader an object that does not end.
func TestValuesAreBounded(t *testing.T) {
	got, broken, _ := readDump(t, file{"all.json", dumpedPod + `{"apiVersion":"v1","kind":"Pod","metadata":"` + strings.Repeat("x", DefaultMemory/textShare+1<<20) + `"}`})
	if !slices.Equal(got, []string{"Pod/web"}) || len(broken) != 1 || !strings.Contains(broken[0], "larger than 16 MiB") {
		t.Errorf("got %v, broken %q", got, broken)
	}
}

// TestFolders walks a tree that has everything that one should not stumble over.
func TestFolders(t *testing.T) {
	root := t.TempDir()
	for _, f := range []file{
		{"shop/pods.json", `{"kind":"PodList","apiVersion":"v1","items":[` + bareItem + `]}`},
		{"shop/web-1/logs.txt", "==== START logs for container web ====\n"},
		{"namespaces/api/core/pods.yaml", "apiVersion: v1\nitems:\n- metadata: {name: api, uid: p2}\nkind: PodList\n"},
		{"nodes.json", `{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"n1","uid":"n1"}}]}`},
		{"broken.json", `{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"uid":"p3","name":"c"}},{]}`},
		{"core.bin", "\x7fELF\x00\x00"},
	} {
		name := filepath.Join(root, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(f.content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"shop/loop": "..", "gone.json": "nowhere.json"} {
		if err := os.Symlink(to, filepath.Join(root, filepath.FromSlash(link))); err != nil {
			t.Fatal(err)
		}
	}
	var broken []string
	d := NewDump(func(err error) { broken = append(broken, err.Error()) })
	if err := d.AddPath(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if got, want := namesOf(t, d), []string{"Node/n1", "Pod/api", "Pod/c", "Pod/web"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(broken) != 1 || !strings.HasPrefix(broken[0], filepath.ToSlash(filepath.Join(root, "broken.json"))+": item 2: ") {
		t.Errorf("broken: %q", broken)
	}
	if got, want := d.Stats(), (DumpStats{Files: 4, PassedOver: 4, Broken: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := d.AddPath(t.Context(), filepath.Join(root, "nowhere")); err == nil {
		t.Error("a path that is not there is no error")
	}
}

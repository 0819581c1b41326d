package watcher

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzDump gives the reader arbitrary bytes under names of every form. Whatever
// they are, it returns objects of a cluster, each once, and names each damage by
// the file it is in; and it keeps no more than it may, by a bound that is soon reached.
func FuzzDump(f *testing.F) {
	list := `{"apiVersion":"v1","kind":"PodList","items":[` + bareItem + `]}`
	for _, seed := range []file{
		{"web.json", dumpedPod},
		{"stdin", list},
		{"pods.json", `[` + bareItem + `]`},
		{"pods.json", `{"items":[` + bareItem + `],"kind":"PodList","apiVersion":"v1"}`},
		{"stdin", `{"items":null}`},
		{"web.yaml", dumpedYAML + "---\n" + dumpedPod},
		{"web.yaml", billionLaughs()},
		{"all.yaml", yamlList(yamlPods(0)...)},
		{"all.yaml", yamlList(yamlPods(2)...)[:300]},
		{"stdin", "apiVersion: v1\nitems:\n- metadata: &m {name: a, uid: a}\n- metadata: *m\nkind: PodList\n--- " + dumpedPod + "\n"},
		{"pods.yaml", "- metadata: {name: a, uid: a}\r\n- <<<<\r\n- \t\r\nitems:\r\n  - {\r\n}"},
		{"events.json", `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"b"},"series":{"count":3},"note":"x"}`},
		{"b.tgz", zipped(tarOf(f, file{"b/web.json", dumpedPod}))},
		{"b.tar", tarOf(f, file{"b/pods.json.gz", zipped(list)})},
		{"r.jsonl", podLine},
		{"all.json", `{"apiVersion":"v1","kind":"List","items":[` + strings.Repeat(dumpedPod+",", 100) + dumpedPod + `]}`},
		{"all.json", strings.Repeat(strings.Replace(dumpedPod, `"p1"`, `"",`, 1), 3)},
		{"containers.json", manyJSON(100)["containers"]},
		{"alias.yaml", "apiVersion: v1\nkind: Pod\na: &a xxxxxxxxxx\nb: [" + strings.Repeat("*a,", 100) + "]\n"},
		{"itself.yaml", "apiVersion: v1\nkind: Pod\na: &a [*a]\n"},
		{"flow.yaml", "kind: Pod\nx: [" + strings.Repeat("{},", 100) + "]\n"},
	} {
		f.Add(seed.name, []byte(seed.content))
	}
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		d := NewDump(func(err error) {
			var item *ItemError
			if !errors.As(err, &item) || !strings.HasPrefix(item.File, name) && !strings.Contains(err.Error(), unpackedName(name)) {
				t.Errorf("%q: the error does not say where: %v", name, err)
			}
		})
		d.LimitMemory(256 << 10)
		d.Add(strings.NewReader(string(content)), name)
		var used int64
		for _, o := range d.objects {
			used += o.cost
			if o.cost < size(o.Object) || o.cost > d.memory.value() {
				t.Errorf("an object of %d bytes costs %d", size(o.Object), o.cost)
			}
		}
		if used != d.memory.used || used > d.memory.kept() {
			t.Errorf("%d bytes used, counted %d, of %d", used, d.memory.used, d.memory.kept())
		}
		stats := d.Stats()
		uids := map[string]bool{}
		for _, o := range d.Objects() {
			meta, ok := o.(metav1.Object)
			if !ok {
				t.Fatalf("%T is no object", o)
			}
			uid := string(meta.GetUID())
			if uid != "" && uids[uid] {
				t.Errorf("%s twice", uid)
			}
			uids[uid] = true
		}
		if len(uids) > 0 && stats.Files == 0 {
			t.Errorf("objects without files: %+v", stats)
		}
	})
}

package watcher

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzDump gives the reader arbitrary bytes under names of every form. Whatever
// they are, it returns objects of a cluster, each once, and names each damage by
// the file it is in.
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
		d.Add(strings.NewReader(string(content)), name)
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

package watcher

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"
	corev1 "k8s.io/api/core/v1"
)

// yamlPod is a Pod as kubectl prints it, but for the indentation of a list's item.
func yamlPod(name string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    script: |\n      ---\n      - items:\n      kind: List\n" +
		"  name: " + name + "\n  namespace: shop\n  uid: uid-" + name + "\nspec:\n  containers:\n  - image: app\n    name: app\nstatus:\n  phase: Running\n"
}

// yamlItem makes an object an item whose dash is in a column.
func yamlItem(object string, column int) string {
	indent := strings.Repeat(" ", column)
	return indent + "- " + strings.ReplaceAll(strings.TrimSuffix(object, "\n"), "\n", "\n"+indent+"  ") + "\n"
}

const yamlListEnd = "kind: List\nmetadata:\n  resourceVersion: \"\"\n"

func yamlList(items ...string) string {
	return "apiVersion: v1\nitems:\n" + strings.Join(items, "") + yamlListEnd
}

func yamlPods(column int) []string {
	return []string{yamlItem(yamlPod("a"), column), yamlItem(yamlPod("b"), column), yamlItem(yamlPod("c"), column)}
}

// TestYAMLLists holds the reader to the styles in which lists are written: all of
// the items are read, and what is in block scalars is not taken for structure.
func TestYAMLLists(t *testing.T) {
	abc := []string{"Pod/a", "Pod/b", "Pod/c"}
	list := yamlList(yamlPods(0)...)
	bare := func(name string) string { return yamlItem("metadata: {name: "+name+", uid: "+name+"}\n", 0) }
	for name, c := range map[string]struct {
		file
		want []string
	}{
		"of kubectl":               {file{"stdin", list}, abc},
		"indented":                 {file{"stdin", yamlList(yamlPods(2)...)}, abc},
		"CRLF":                     {file{"stdin", strings.ReplaceAll(list, "\n", "\r\n")}, abc},
		"byte order mark":          {file{"stdin", "\ufeff" + list}, abc},
		"files put together":       {file{"stdin", "\ufeff" + yamlList(yamlPods(0)[:2]...) + "---\n\ufeff" + yamlList(yamlPods(0)[2])}, abc},
		"comments":                 {file{"a.yaml", "# pods\n---\n" + strings.Replace(list, "items:\n", "items: # all of them\n# the first\n\n", 1)}, abc},
		"quoted keys":              {file{"a.yaml", strings.NewReplacer("\nitems:", "\n\"items\":", "\nkind: L", "\n\"kind\": L").Replace(list)}, abc},
		"kind first":               {file{"a.yaml", "kind: List\napiVersion: v1\nitems:\n" + strings.Join(yamlPods(0), "")}, abc},
		"kind first, no line end":  {file{"a.yaml", "kind: List\napiVersion: v1\nitems:\n" + strings.TrimSuffix(strings.Join(yamlPods(0), ""), "\n")}, abc},
		"PodList":                  {file{"stdin", "apiVersion: v1\nitems:\n" + bare("a") + bare("b") + "kind: PodList\n"}, abc[:2]},
		"PodList, kind first":      {file{"stdin", "apiVersion: v1\nkind: PodList\nitems:\n" + bare("a") + bare("b")}, abc[:2]},
		"items alone, by its name": {file{"pods.yaml", "items:\n" + bare("a") + bare("b")}, abc[:2]},
		"sequence":                 {file{"a.yaml", strings.Join(yamlPods(0), "")}, abc},
		"sequence, by its folder":  {file{"pods/shop.yaml", bare("a") + bare("b")}, abc[:2]},
		"dash on its own":          {file{"a.yaml", yamlList(strings.Replace(yamlPods(0)[0], "- ", "-\n  ", 1), yamlPods(0)[1], yamlPods(0)[2])}, abc},
		"flow style":               {file{"a.yaml", "apiVersion: v1\nkind: List\nitems: [" + dumpedPod + "]\n"}, []string{"Pod/web"}},
		"flow style, over lines":   {file{"a.yaml", "apiVersion: v1\nkind: List\nitems:\n- {\n" + dumpedPod[1:len(dumpedPod)-1] + "\n}\n"}, []string{"Pod/web"}},
		"one on the mark's line":   {file{"a.yaml", yamlList(yamlPods(0)[0]) + "--- " + dumpedPod + "\n--- # the end\n"}, []string{"Pod/a", "Pod/web"}},
		"several lists":            {file{"stdin", yamlList(yamlPods(0)[0]) + "---\n" + yamlList(yamlPods(0)[1]) + "...\n---\n" + yamlList(yamlPods(2)[2])}, abc},
		"no items":                 {file{"a.yaml", "apiVersion: v1\nitems: []\n" + yamlListEnd}, nil},
		"null for items":           {file{"a.yaml", "apiVersion: v1\nitems:\n" + yamlListEnd}, nil},
		"anchors within an item":   {file{"a.yaml", yamlList(yamlItem("apiVersion: v1\nkind: Pod\nmetadata: &m {name: a, uid: a}\nspec: {nodeName: *n}\n", 0)[:0], yamlPods(0)[0], yamlItem("apiVersion: v1\nkind: Pod\nmetadata:\n  name: &n b\n  uid: *n\n", 0))}, abc[:2]},
		"anchors of other items":   {file{"a.yaml", yamlList(yamlItem("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  uid: a\n  labels: &l {app: x}\n", 0), yamlItem("apiVersion: v1\nkind: Pod\nmetadata:\n  name: b\n  uid: b\n  labels: *l\n", 0))}, abc[:2]},
		"of something else":        {file{"values.yaml", "things:\n- a\nitems:\n- b\n- {c: [\nother:\n- d\n"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, broken, _ := readDump(t, c.file)
			if !slices.Equal(got, c.want) || len(broken) > 0 {
				t.Errorf("got %v, want %v; broken: %q", got, c.want, broken)
			}
		})
	}
}

// TestYAMLListsCutAnywhere cuts a list at each of its bytes. Every item that shows to
// be whole, by what follows it, is kept, no other is, and the file is named once
// unless the end tells nothing more.
func TestYAMLListsCutAnywhere(t *testing.T) {
	for _, column := range []int{0, 2} {
		items := yamlPods(column)
		list := yamlList(items...)
		for n := 1; n < len(list); n++ {
			d := NewDump(nil)
			var broken []string
			d.report = func(err error) { broken = append(broken, err.Error()) }
			d.Add(strings.NewReader(list[:n]), "cut.yaml")
			at, whole := len("apiVersion: v1\nitems:\n"), 0
			for _, item := range items {
				if at += len(item); n > at+column { // the dash of the next, or the key behind the last
					whole++
				}
			}
			if whole == len(items)-1 && n > at { // the key is not indented
				whole++
			}
			objects := d.Objects()
			if len(objects) != whole {
				t.Errorf("column %d, cut at %d, behind %q: %d objects, want %d", column, n, list[max(0, n-20):n], len(objects), whole)
			}
			for _, o := range objects {
				if pod, ok := o.(*corev1.Pod); !ok || pod.Status.Phase != corev1.PodRunning || !strings.HasSuffix(pod.Annotations["script"], "kind: List\n") {
					t.Errorf("cut at %d: kept a part: %+v", n, o)
				}
			}
			if n <= at && whole > 0 && (len(broken) != 1 || !strings.HasPrefix(broken[0], fmt.Sprintf("cut.yaml: item %d: the list is cut short here", whole+1))) {
				t.Errorf("cut at %d: %q", n, broken)
			}
		}
	}
}

// TestBrokenYAMLItems damages the middle one of three items.
func TestBrokenYAMLItems(t *testing.T) {
	items := yamlPods(0)
	for name, damaged := range map[string]string{
		"tab":              strings.Replace(items[1], "  spec:", "\tspec:", 1),
		"unfinished flow":  strings.Replace(items[1], "  spec:\n", "  spec: {[\n", 1),
		"unfinished quote": strings.Replace(items[1], "phase: Running", `phase: "Running`, 1),
		"wrong indent":     strings.Replace(items[1], "    uid", "   uid", 1),
		"a line of a log":  strings.Replace(items[1], "  spec:", "E0301 12:00:00 something: failed\n  spec:", 1),
		"merge conflict":   "- <<<<<<< HEAD\n" + items[1][2:],
		"cut in the file":  items[1][:len(items[1])/2] + "\n",
		"no object":        "- just text\n",
		"unknown anchor":   strings.Replace(items[1], "phase: Running", "phase: *nowhere", 1),
		"binary":           strings.Replace(items[1], "phase: Running", "phase: \x00\xff", 1),
		"wrong type":       strings.Replace(items[1], "  spec:\n", "  spec: 7\n  x:\n", 1),
	} {
		t.Run(name, func(t *testing.T) {
			got, broken, stats := readDump(t, file{"pods.yaml", yamlList(items[0], damaged, items[2])})
			if !slices.Contains(got, "Pod/a") || !slices.Contains(got, "Pod/c") {
				t.Errorf("got %v", got)
			}
			if len(broken) != 1 || !strings.HasPrefix(broken[0], "pods.yaml: item 2: ") || stats.Broken != 1 {
				t.Errorf("broken: %q, %+v", broken, stats)
			}
		})
	}
}

// TestWaitingItemsHoldNoSecrets reads a list whose items wait for its kind.
func TestWaitingItemsHoldNoSecrets(t *testing.T) {
	raw := string(withoutData([]byte(`{"metadata":{"name":"s"},"data":{"password":"hunter2"},"stringData":{"a":"hunter2"},"binaryData":{"b":"hunter2"}}`)))
	if strings.Contains(raw, "hunter2") || !strings.Contains(raw, `"name":"s"`) {
		t.Errorf("kept: %s", raw)
	}
	got, broken, _ := readDump(t, file{"stdin", "apiVersion: v1\nitems:\n- data: {password: hunter2}\n  metadata: {name: s, uid: s1}\nkind: SecretList\n"})
	if !slices.Equal(got, []string{"Secret/s"}) || len(broken) > 0 {
		t.Errorf("got %v, broken %q", got, broken)
	}
}

// TestUTF16 reads what PowerShell's > wrote, whatever the file is called, and passes over whatever
// begins alike.
func TestUTF16(t *testing.T) {
	got, broken, _ := readDump(t,
		file{"pods.json", utf16Of(t, unicode.LittleEndian, strings.ReplaceAll(dumpedPod, "\n", "\r\n"))},
		file{"dump.txt", utf16Of(t, unicode.BigEndian, strings.ReplaceAll(dumpedYAML, "\n", "\r\n"))},
		file{"photo.jpg", "\xff\xfe{\x00"}, file{"odd", "\xff\xfe\x00"})
	if !slices.Equal(got, []string{"Pod/web"}) || len(broken) > 0 {
		t.Errorf("got %v, broken %q", got, broken)
	}
	if text := utf16Of(t, unicode.LittleEndian, dumpedPod); !IsDump(bufio.NewReader(strings.NewReader(text)), "pods.txt") {
		t.Error("it is not taken for a dump")
	}
	_, broken, _ = readDump(t, file{"cut.json", utf16Of(t, unicode.LittleEndian, dumpedPod[:len(dumpedPod)/2])})
	if len(broken) != 1 || !strings.Contains(broken[0], "cut.json") {
		t.Errorf("broken: %q", broken)
	}
}

func utf16Of(t *testing.T, order unicode.Endianness, text string) string {
	t.Helper()
	out, err := unicode.UTF16(order, unicode.UseBOM).NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestListsOfLists is what jq --slurp makes of several lists: each item counts.
func TestListsOfLists(t *testing.T) {
	pods := `{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"web","uid":"p1"}}]}`
	mixed := `{"apiVersion":"v1","kind":"List","items":[` + pods + `,{"apiVersion":"v1","kind":"Node","metadata":{"name":"a","uid":"n1"}}]}`
	got, broken, _ := readDump(t, file{"all.json", "[" + mixed + "]"}, file{"empty.json", `[{"apiVersion":"v1","kind":"List","items":[]}]`})
	if !slices.Equal(got, []string{"Node/a", "Pod/web"}) || len(broken) > 0 {
		t.Errorf("got %v, broken %q", got, broken)
	}

	// Neither list has to fit what one object may take.
	const most = 64 << 20
	wide := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%%s","uid":"%%s","annotations":{"a":"%s"}}}`, strings.Repeat("x", most/textShare*2/3))
	large := `{"apiVersion":"v1","items":[` + fmt.Sprintf(wide, "b", "p2") + "," + fmt.Sprintf(wide, "c", "p3") + `],"kind":"List","metadata":{"resourceVersion":""}}`
	broken = nil
	d := NewDump(func(err error) { broken = append(broken, err.Error()) })
	d.LimitMemory(most)
	d.Add(strings.NewReader("["+large+","+mixed+",["+pods+"]]"), "all.json")
	if got := namesOf(t, d); !slices.Equal(got, []string{"Node/a", "Pod/b", "Pod/c", "Pod/web"}) || len(broken) > 0 {
		t.Errorf("got %v, broken %q", got, broken)
	}
	_, broken, _ = readDump(t, file{"deep.json", "[" + dumpedPod + "," + strings.Repeat("[", 1000)})
	if len(broken) != 1 || !strings.Contains(broken[0], "deep.json: item 2: lists are in lists") {
		t.Errorf("broken: %q", broken)
	}
	deep := strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, 20) + strings.Repeat("]}", 20)
	_, broken, _ = readDump(t, file{"deep.json", deep})
	if len(broken) != 1 || !strings.Contains(broken[0], "deep.json") || !strings.Contains(broken[0], "lists are in lists") {
		t.Errorf("broken: %q", broken)
	}
}

// TestWaitingItemsAreBounded gives the reader more items than can wait.
func TestWaitingItemsAreBounded(t *testing.T) {
	raw := []byte(`{"metadata":{"name":"web","uid":"p1"}}`)
	for _, folder := range []objectKind{{}, {"v1", "Pod"}} {
		var broken []string
		d := NewDump(func(err error) { broken = append(broken, err.Error()) })
		f := &dumpFile{dump: d, name: "all.json", folder: folder, found: true}
		waiting := waitingItems{bytes: d.memory.value() - int64(len(raw)) - waitingItemBytes}
		f.item(raw, objectKind{}, &waiting)
		f.item(raw, objectKind{}, &waiting)
		if len(waiting.items) != 1 || f.items != 2 {
			t.Errorf("%d wait of %d", len(waiting.items), f.items)
		}
		f.flush(waiting, nil)
		if folder.Kind != "" {
			if len(broken) > 0 || len(d.Objects()) != 1 {
				t.Errorf("by their place: %d objects, broken: %q", len(d.Objects()), broken)
			}
		} else if len(broken) != 2 || !strings.HasPrefix(broken[1], "all.json: its last 1 items say no kind") {
			t.Errorf("broken: %q", broken)
		}
	}
}

// TestWarnedAhead reads what kubectl warned of ahead of what it printed, if both went into one file.
func TestWarnedAhead(t *testing.T) {
	text := "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n" + dumpedPod
	if !IsDump(bufio.NewReader(strings.NewReader(text)), "pods.json") {
		t.Error("it is not taken for a dump")
	}
	if got, broken, _ := readDump(t, file{"pods.json", text}); !slices.Equal(got, []string{"Pod/web"}) || len(broken) > 0 {
		t.Errorf("got %v, broken %q", got, broken)
	}
	if IsDump(bufio.NewReader(strings.NewReader("recording since 10:00\n"+podLine)), "pods.jsonl") {
		t.Error("a recording is taken for a dump")
	}
}

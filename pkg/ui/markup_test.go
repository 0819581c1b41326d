package ui

import (
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/html"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Links are made of relative addresses and of those of the web, and of nothing else that a browser
// would follow.
func TestHref(t *testing.T) {
	for address, linked := range map[string]bool{
		"": true, "./": true, "../../change/1": true, "?q=a%3Ab&x=1": true, "?span=1#details": true, "#main": true, "/trace/1": true,
		"https://jaeger.example/trace/1?x=%22": true, "http://localhost:16686": true, "HTTPS://a": true,
		"javascript:alert(1)": false, "JaVaScRiPt:alert(1)": false,
		"java\tscript:alert(1)": false, "java\nscript:alert(1)": false, "javascript&#58;alert(1)": true, // a name: & is escaped
		"data:text/html,x": false, "vbscript:x": false, "blob:https://a/1": false, "mailto:a@b": false, "view-source:x": false,
		"//evil.example": false, "///evil.example": false, "////evil.example": false, `\\evil.example`: false, `/\evil.example`: false, "http:evil": false, "https:/evil": false, "http://[": false,
	} {
		if got := href(address) != nil; got != linked {
			t.Errorf("%q is linked: %t", address, got)
		}
	}
	for _, passedOver := range []string{" ", "\t", "\n", "\x00", "\x01", "\x1f"} { // by browsers
		if href(passedOver+"javascript:alert(1)") != nil {
			t.Errorf("a link begins with %q", passedOver)
		}
	}
}

// Nothing gets around what escapes: no text is written as it is, names are constants, and
// addresses go through href.
func TestNothingIsRaw(t *testing.T) {
	const library = "maragu.dev/gomponents"
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	elements := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := gotoken.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		packages := map[string]bool{}
		for _, i := range file.Imports {
			switch path := strings.Trim(i.Path.Value, `"`); {
			case path == "html/template", path == "text/template":
				t.Errorf("%s: %s looks methods up by their names", name, path)
			case strings.HasPrefix(path, library):
				if i.Name == nil || i.Name.Name == "." {
					t.Fatalf("%s: %s has no name here, and this test needs one", name, path)
				}
				packages[i.Name.Name] = true
			}
		}
		for _, d := range file.Decls {
			within := ""
			if f, ok := d.(*ast.FuncDecl); ok {
				within = f.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				s, _ := n.(*ast.SelectorExpr)
				if x, is := selected(n); is && packages[x] {
					elements++
					switch s.Sel.Name {
					case "Raw", "Rawf", "NodeFunc", "Style", "StyleAttr", "StyleEl", "IFrame", "Embed", "Object", "Base", "FormAction", "SrcSet":
						t.Errorf("%s: %s.%s", set.Position(n.Pos()), x, s.Sel.Name)
					case "Href":
						if within != "href" {
							t.Errorf("%s: an address does not go through href", set.Position(n.Pos()))
						}
					}
				}
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if x, is := selected(call.Fun); !is || !packages[x] {
					return true
				}
				switch of := call.Fun.(*ast.SelectorExpr).Sel.Name; of {
				case "El", "Attr", "Data", "Aria":
					literal, ok := call.Args[0].(*ast.BasicLit)
					if !ok {
						t.Errorf("%s: the name is no constant", set.Position(n.Pos()))
					} else if key := strings.Trim(literal.Value, `"`); slices.Contains([]string{"href", "src", "style", "action", "script"}, key) || of == "Attr" && strings.HasPrefix(key, "on") {
						t.Errorf("%s: %s(%s)", set.Position(n.Pos()), of, key)
					}
				}
				return true
			})
		}
	}
	if elements < 300 {
		t.Errorf("only %d uses of the library were looked at", elements)
	}
}

// selected is the name before the dot.
func selected(n ast.Node) (string, bool) {
	s, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return "", false
	}
	return x.Name, true
}

// named has a change in which all that others may choose is a text, and one in progress, a node
// and a pod of that name.
func named(text string) history.Store {
	store := history.NewMemory(history.Options{Now: now})
	for i, outcome := range []attr.Outcome{attr.OutcomeComplete, attr.OutcomeFailed, attr.OutcomeOpen} {
		told := rollout(byte(i+1), text, text, i+1, outcome, began.Add(time.Duration(i)*time.Minute), 3*time.Second)
		told.Spans[0].Attributes = append(told.Spans[0].Attributes, attr.UnknownKey.String(text), attr.WaitingReasonKey.String(text), attr.ManagerNameKey.String(text))
		for j := range told.Spans {
			s := &told.Spans[j]
			s.Message, s.Service = text, text
			s.Attributes = append(s.Attributes, attribute.String("k8s.label", text), attribute.StringSlice("list", []string{text, text}))
			s.Resource = append(s.Resource, attribute.String("k8s.note", text))
			s.Events = append(s.Events, spans.Event{Name: text, Time: s.Start, Attributes: []attribute.KeyValue{
				attr.K8SEventMessageKey.String(text), attr.K8SEventTypeKey.String("Warning"), attr.K8SEventSourceKey.String(text),
			}})
			s.Links = append(s.Links, spans.Link{TraceID: trace.TraceID{9}, SpanID: trace.SpanID{9}, Attributes: []attribute.KeyValue{attr.LinkTypeKey.String(text)}})
			for k := range s.Attributes {
				if a := &s.Attributes[k]; a.Key == attr.ChangedFieldsKey || a.Key == attr.ImagesBeforeKey || a.Key == attr.ImagesAfterKey {
					*a = a.Key.StringSlice([]string{text + string(rune('a'+k))})
				}
			}
		}
		store.Add(told)
	}
	return store
}

// Whatever things are called, pages have the same elements with the same attributes, and lead
// nowhere else.
func TestHostileTextIsText(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokens, []byte(strings.Repeat("0123456789abcdef", 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	shapes := func(text string) (shapes map[string]string) {
		shapes = map[string]string{}
		store := named(text)
		q := url.QueryEscape(text)
		leads := func(trace.TraceID, trace.SpanID, time.Time, time.Time) string { return text }
		open := NewHandler(Options{History: store, Loopback: true, Now: now, About: text, Empty: text, TraceURL: leads})
		for name, path := range map[string]string{
			"list": "/", "narrowed": "/?q=" + q + "&namespace=" + q + "&kind=" + q + "&name=" + q + "&reason=" + q, "wrong": "/?took=" + q + "&from=" + q,
			"overview": "/overview?from=2026-03-01&to=2026-03-02", "narrowed overview": "/overview?q=" + q + "&namespace=" + q + "&from=2026-03-01&to=2026-03-02",
			"no such trace": "/trace/" + url.PathEscape(text), "no such change": "/change/" + url.PathEscape(text), "no such page": "/" + url.PathEscape(text), "no such place": "/?after=" + q,
			"change": changePath(2), "first": changePath(1), "in progress": changePath(3),
			"span": changePath(2) + "?span=" + trace.SpanID{2, 3}.String(), "root": changePath(2) + "?span=" + trace.SpanID{2, 1}.String(),
		} {
			shapes[name] = shape(t, get(t, open, path).Body.String())
		}
		guarded := NewHandler(Options{History: store, TokenFile: tokens, Now: now})
		post := func(r *http.Request) { r.Method = http.MethodPost }
		shapes["login"] = shape(t, get(t, guarded, "/login?next="+q).Body.String())
		shapes["wrong login"] = shape(t, get(t, guarded, "/login?next="+q, post).Body.String())
		return shapes
	}
	want := shapes("tame")
	for name, s := range want {
		if strings.Count(s, "<") < 40 {
			t.Errorf("%s has too few elements: %s", name, s)
		}
	}
	for _, text := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror="alert(1)">`, `'><svg onload='alert(1)'>`, `" autofocus onfocus="alert(1)`, `</title><script>alert(1)</script>`,
		`</template></svg></style><iframe srcdoc=x>`, `javascript:alert(1)`, "java\tscript:alert(1)", `//evil.example/`, `\\evil.example`, `--><b>`, `]]><b>`, `&lt;b&gt;&quot;`, `&#34; onclick=x`,
		"`onclick=x`", "a\x00b<c", "\u202e<b>", "\ufffd<b>", `{{.}}<%= 1 %>`, `x onclick=alert(1)`,
	} {
		for name, got := range shapes(text) {
			if got != want[name] {
				at := 0
				for at < min(len(got), len(want[name])) && got[at] == want[name][at] {
					at++
				}
				t.Errorf("%q changes the page %s, from here on:\n%.300s\nwant\n%.300s", text, name, got[at:], want[name][at:])
			}
		}
	}
}

// shape is a page without its texts: elements with the names of their attributes. Addresses are
// within the page's own server.
func shape(t *testing.T, body string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	here := &url.URL{Scheme: "http", Host: "localhost:7443", Path: "/change/x"}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		fmt.Fprintf(&b, "<%s", n.Data)
		for _, a := range n.Attr {
			fmt.Fprintf(&b, " %s", a.Key)
			if a.Key == "href" || a.Key == "src" || a.Key == "action" {
				if to, err := here.Parse(a.Val); err != nil || to.Scheme != here.Scheme || to.Host != here.Host {
					t.Errorf("%s %s leads to %q", n.Data, a.Key, a.Val)
				}
			}
		}
		b.WriteByte('>')
	}
	return b.String()
}

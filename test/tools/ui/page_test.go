package ui

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp/kb"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	rollspan "github.com/rollspan/rollspan/pkg/ui"
)

// Somebody finds out why a rollout was slow: from the list to the change, to the span that it
// waited for, to the rollout before; and each of these places has an address.
func TestWhyWasItSlow(t *testing.T) {
	store, _ := shop()
	b := open(t, rollspan.Options{History: store, Now: later, About: "the shop"})
	b.goTo("/")
	b.waitText("tr", "pull image 40.0 s")
	b.shot("list")
	b.click("tr a", "web")
	b.waitPath("/change/")
	b.waterfall()
	b.waitText("caption", "rollout of revision 4")
	b.waitText("caption", "+38.0 s")
	b.waitText(".why", "It waited most for: pull image 40.0s")
	b.waitText(".images", "app:4 → app:5")
	b.shot("change")
	b.press("c", "c", "c") // the third piece of the path below the step
	b.waitText(".wf-row.selected", "pull image")
	b.press(kb.Enter)
	b.waitText("#details h3", "pull image")
	b.waitText("#details", "± 800 ms")
	b.waitText("#details", "Pulling image app:5")
	b.shot("span")
	here := b.ask("location.href.slice(location.origin.length)")
	b.press(kb.Escape)
	b.wait("document.getElementById('details').hidden")

	// The address leads back to the span.
	b.goTo(here)
	b.waterfall()
	b.waitText("#details h3", "pull image")
	b.waitText(".wf-row.selected", "pull image")

	b.press("b")
	b.waitText("h1", "rollout of revision 4")
}

// The list is narrowed by its form, and the address has what was asked for.
func TestFilter(t *testing.T) {
	store, _ := shop()
	b := open(t, rollspan.Options{History: store, Now: later})
	b.goTo("/")
	b.waitText("tr", "api")
	b.ask(`(() => { const s = document.querySelector("select[name=outcome]"); s.value = "failed"; s.dispatchEvent(new Event("change", {bubbles: true})); return "" })()`)
	b.waitPath("/?outcome=failed")
	if n := b.count("#done tbody tr"); n != 1 || !strings.Contains(b.text("#done tbody"), "api") {
		t.Errorf("%d changes are shown: %s", n, b.text("#done tbody"))
	}
	for query, want := range map[string]string{
		"namespace=shop": "web", "kind=Deployment&name=api": "api", "reason=ImagePullBackOff": "api", "took=40s": "revision 5",
		"q=nope": "api", "from=2026-03-01T12:05:30": "api", "to=2026-03-01+12:01": "revision 4", "since=55m": "revision 5", "change=rollout": "web",
	} {
		b.goTo("/?" + query)
		b.waitText("#done tbody tr", want)
		if n := b.count("#done tbody tr"); n == 3 && query != "change=rollout" {
			t.Errorf("%s leaves out nothing", query)
		}
	}
	b.goTo("/?q=nothing+of+that")
	b.waitText(".empty", "No change matches.")
	b.goTo("/?took=soon")
	b.waitText("[role=alert]", `"soon" is not how long a change takes`)
}

// Somebody who has no mouse opens a change, folds and unfolds its spans, and zooms.
func TestKeys(t *testing.T) {
	store, _ := shop()
	b := open(t, rollspan.Options{History: store, Now: later})
	b.goTo("/")
	b.press("j", "j", "k", "j")
	b.wait(`document.activeElement.closest("tr")?.textContent.includes("revision 5")`)
	b.press("/")
	b.wait(`document.activeElement.id === "search"`)
	b.press("j") // is a letter there
	b.wait(`document.getElementById("search").value.endsWith("j")`)
	b.press(kb.Escape, "?")
	b.wait(`document.getElementById("help").open`)
	b.shot("help")
	b.press(kb.Escape)
	b.wait(`!document.getElementById("help").open`)
	b.press("j", "j", kb.Enter)
	b.waitPath("/change/")
	b.waterfall()

	b.press("j", "j", "j")
	b.waitText(".wf-row.selected", "pod/web-0")
	shown := ask[int](b, `+document.querySelector("#wf-rows").getAttribute("aria-rowcount")`)
	b.press(kb.ArrowLeft)
	b.wait(fmt.Sprintf(`+document.querySelector("#wf-rows").getAttribute("aria-rowcount") === %d`, shown-6))
	b.wait(`document.querySelector(".wf-row.selected").getAttribute("aria-expanded") === "false"`)
	b.press(kb.ArrowRight, kb.ArrowRight)
	b.waitText(".wf-row.selected", "schedule")
	b.press("z")
	b.wait(`new URLSearchParams(location.search).get("zoom") !== null`)
	zoomed := b.ask("location.href.slice(location.origin.length)")
	b.press("0")
	b.wait(`new URLSearchParams(location.search).get("zoom") === null`)
	b.goTo(zoomed)
	b.waterfall()
	b.waitText(".wf-row.selected", "schedule")
	b.wait(`[...document.querySelectorAll(".ticks text")].every(t => t.textContent.endsWith("ms"))`)
	b.press(kb.End)
	b.waitText(".wf-row.selected", "become ready")
	b.wait(`document.querySelector("#wf-rows").getAttribute("aria-activedescendant") === document.querySelector(".wf-row.selected").id`)
	b.press("o")
	b.waitPath("/overview")
	b.press("g")
	b.waitPath("/")
}

// Somebody logs in at another machine, by plain HTTP, of which a browser trusts nothing.
func TestLogin(t *testing.T) {
	const token = "0123456789abcdef"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	store, _ := shop()
	server := httptest.NewServer(rollspan.NewHandler(rollspan.Options{History: store, Now: later, TokenFile: file}))
	t.Cleanup(server.Close)
	b := visit(t, strings.Replace(server.URL, "127.0.0.1", elsewhere, 1))
	b.goTo("/?q=web")
	b.waitPath("/login")
	for _, given := range []string{"wrong", token} {
		b.wait(`document.activeElement.name === "token"`)
		b.press(given, kb.Enter)
		if given != token {
			b.waitText("[role=alert]", "that is not the token")
		}
	}
	b.waitPath("/?q=web")
	b.waitText("#done tr", "pull image 40.0 s")
	for _, w := range b.forgive() {
		if !strings.Contains(w, "403") && !strings.Contains(w, "Cross-Origin-Opener-Policy") { // the wrong token, and what needs TLS
			t.Errorf("the browser complains: %s", w)
		}
	}
}

// What is in progress moves, and is explained when it is over.
func TestLive(t *testing.T) {
	store, open1 := shop()
	b := open(t, rollspan.Options{History: store, Now: later})
	going := made{number: 9, namespace: "shop", name: "cart", revision: 2, at: noon.Add(50 * time.Minute), outcome: attr.OutcomeOpen, pods: 2, pull: 5 * time.Second, image: "cart:2", before: "cart:1", said: "Pulling"}
	going.extra = []attribute.KeyValue{attr.WaitingForKey.String("1 of 2 ready")}
	b.goTo("/")
	b.waitText("#done tr", "web")
	b.wait(`document.getElementById("open").hidden`)
	open1.set(going.trace())
	b.waitText("#open tr", "cart")
	b.waitText("#open tr", "1 of 2 ready")
	b.shot("list")
	b.goTo(going.path())
	b.waterfall()
	b.waitText("#why", "It waits for: 1 of 2 ready")
	b.waitText("#took", "7.5 s")
	going.pull, going.extra = 15*time.Second, []attribute.KeyValue{attr.WaitingForKey.String("pod cart-1: ImagePullBackOff")}
	open1.set(going.trace())
	b.waitText("#took", "17.5 s")
	b.waitText("#why", "pod cart-1: ImagePullBackOff")
	b.shot("change")
	going.outcome, going.extra = attr.OutcomeComplete, nil
	store.Add(going.trace())
	open1.set()
	b.waitText("#outcome", "complete")
	b.waitText("#why", "It waited most for: pull image")
	b.goTo("/")
	b.waitText("#done tr", "cart")
}

// What happened together is seen together: the changes, the pods that are gone, the Events.
func TestOverview(t *testing.T) {
	store, _ := shop()
	b := open(t, rollspan.Options{History: store, Now: later})
	b.goTo("/overview")
	b.waitText(".over", "api")
	b.waitText(".over", "node-a")
	b.waitText(".chip", "Failed 8")
	b.shot("overview")
	b.ask(`(() => { [...document.querySelectorAll(".over-lanes a[href^='change/']")].find(a => a.getAttribute("aria-label").includes("failed")).dispatchEvent(new MouseEvent("click", {bubbles: true})); return "" })()`)
	b.waitPath("/change/")
	b.waitText("h1", "api")
	b.click(".ways a", "What else happened then")
	b.waitPath("/overview?from=")
	b.waitText(".over", "web")
	b.shot("meanwhile")
}

// Whoever may create an object may write what he likes into it. It stays text.
func TestHostile(t *testing.T) {
	evil := []string{
		`<script>window.hacked=1</script>`, `"><img src=x onerror="window.hacked=1">`, `'; window.hacked=1; '`, `</svg><iframe srcdoc="<script>top.hacked=1</script>">`,
		`{{constructor.constructor("window.hacked=1")()}}`, `javascript:window.hacked=1`, "gnp.\u202eexe", "a\u200bb\u0000c", `</title><script>window.hacked=1</script>`,
	}
	store := history.NewMemory(history.Options{Now: later})
	var all []made
	for i, e := range evil {
		m := made{
			number: byte(20 + i), namespace: "ns-" + e, name: "name-" + e, revision: 1, at: noon.Add(time.Duration(i) * time.Minute), outcome: attr.OutcomeFailed,
			pods: 1, pull: 10 * time.Second, message: "message " + e, image: "after " + e, before: "before " + e, said: "event " + e, supersedes: 99,
			extra: []attribute.KeyValue{semconv.ErrorTypeKey.String("reason " + e), attribute.String("key "+e, "value "+e), attr.ChangedFieldsKey.StringSlice([]string{"field " + e})},
		}
		tr := m.trace()
		for k := range tr.Spans {
			tr.Spans[k].Name += " " + e
			tr.Spans[k].Service = "service " + e
		}
		store.Add(tr)
		all = append(all, m)
	}
	b := open(t, rollspan.Options{
		History: store, Now: later, About: evil[0],
		TraceURL: func(trace.TraceID, trace.SpanID, time.Time, time.Time) string { return "javascript:window.hacked=1" },
	})
	paths := []string{"/", "/overview?from=2026-03-01T11:00&to=2026-03-01T13:00", "/?q=" + "%3Cscript%3Ewindow.hacked%3D1%3C/script%3E&namespace=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"}
	for _, m := range all {
		paths = append(paths, m.path(), m.path()+"?span="+spanID(m.number, 7).String())
	}
	harmless := func(path string) {
		t.Helper()
		b.goTo(path)
		if strings.Contains(path, "/change/") {
			b.waterfall()
		}
		if strings.Contains(path, "span=") {
			b.press(kb.Enter) // the script's details, in place of the server's
			b.wait(`document.querySelectorAll("#details .pairs").length > 1`)
		}
		if got := b.ask(`[typeof window.hacked, document.querySelectorAll("img, iframe, object, embed, base, style, [onerror], [onload], [style*=url]").length,
			document.scripts.length, [...document.querySelectorAll("a")].filter(a => !/^https?:$/.test(new URL(a.getAttribute("href"), location.href).protocol)).length].join()`); got != "undefined,0,1,0" {
			t.Errorf("%s: hacked, elements, scripts, links: %s", path, got)
		}
		if ask[bool](b, `/[\u202a-\u202e\u2066-\u2069\u200b\u0000]/.test(document.documentElement.textContent)`) {
			t.Errorf("%s: there is something that is not seen, or turns text around", path)
		}
	}
	for _, path := range paths {
		harmless(path)
	}
	b.goTo(all[0].path())
	b.waitText("h1", "<script>window.hacked=1</script>")
	b.shot("change")
	b.goTo(all[6].path())
	b.waitText("h1", `gnp.\u202eexe`)

	// And if it did not stay text, the page's policy keeps it from running.
	if got := b.ask(`(() => { try { document.body.innerHTML = "<b>x</b>"; return "made" } catch (e) { return e.name } })()`); got != "TypeError" {
		t.Errorf("HTML is made of text: %s", got)
	}
	if got := b.ask(`(() => { try { document.body.setAttribute("onclick", "window.hacked=1"); document.body.click(); return typeof window.hacked } catch (e) { return e.name } })()`); got != "TypeError" {
		t.Errorf("an inline handler is made of text: %s", got)
	}
	if wrong := b.forgive(); len(wrong) == 0 {
		t.Error("the browser did not complain about what the policy forbids")
	}
}

// A trace of 5,000 spans has few elements, all rows are reached, and it takes little memory.
func TestLarge(t *testing.T) {
	store := history.NewMemory(history.Options{Now: later})
	large := fiveThousand()
	store.Add(large.trace())
	b := open(t, rollspan.Options{History: store, Now: later})
	b.goTo(large.path())
	b.waterfall()
	if n := ask[int](b, `+document.querySelector("#wf-rows").getAttribute("aria-rowcount")`); n > 1000 {
		t.Errorf("%d rows are unfolded at first: what the change did not wait for should be folded", n)
	}
	b.click("[data-do=unfold]", "Unfold")
	b.wait(fmt.Sprintf(`+document.querySelector("#wf-rows").getAttribute("aria-rowcount") === %d`, len(large.trace().Spans)))
	b.press("j", kb.End)
	b.waitText(".wf-row.selected", "become ready pod/web-713")
	b.shot("end")
	if n := b.count(".wf-row"); n > 150 {
		t.Errorf("there are %d rows, and so many are not in sight", n)
	}
	if mb := heapOf(b); mb > 50 {
		t.Errorf("the page takes %.0f MB", mb)
	}
}

// heapOf is what the page takes in MB: what the script holds, and the elements.
func heapOf(b *tab) float64 {
	b.Helper()
	call(b, heapprofiler.CollectGarbage, cdp.Empty{}) // of the pages before
	use := call(b, runtime.GetHeapUsage, cdp.Empty{})
	return (use.UsedSize + use.EmbedderHeapUsedSize + use.BackingStorageSize) / 1e6
}

// fiveThousand is a rollout of 714 pods.
func fiveThousand() made {
	return made{number: 50, namespace: "shop", name: "web", revision: 8, at: noon, outcome: attr.OutcomeComplete, pods: 714, pull: 6 * time.Second, image: "app:8", before: "app:7", said: "Pulling image app:8"}
}

// Without the script there are the list, the form, the waterfall, and what a span says.
func TestWithoutScript(t *testing.T) {
	store, _ := shop()
	b := open(t, rollspan.Options{History: store, Now: later})
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.goTo("/?outcome=complete")
	b.waitText("tr", "pull image 40.0 s")
	b.goTo(slow.path())
	b.waitText(".wf-row.critical", "pull image")
	b.shot("change")
	b.goTo(slow.path() + "?span=" + spanID(2, 7).String())
	b.waitText("#details", "Pulling image app:5")
	b.goTo("/overview")
	b.waitText(".over", "node-a")
}

// The page can be read in both themes, wide and narrow, and by those who hear it.
func TestAccessible(t *testing.T) {
	store, going := shop()
	open1 := made{number: 9, namespace: "shop", name: "cart", revision: 2, at: noon.Add(50 * time.Minute), outcome: attr.OutcomeOpen, pods: 2, pull: 5 * time.Second, image: "cart:2", before: "cart:1", said: "Pulling"}
	going.set(open1.trace())
	b := open(t, rollspan.Options{History: store, Now: later, About: "the shop"})
	pages := map[string]string{"list": "/", "change": broken.path() + "?span=" + spanID(3, 7).String(), "overview": "/overview?from=2026-03-01T11:58&to=2026-03-01T12:10", "error": "/nothing"}
	for name, path := range pages {
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int64{1400, 390} {
				b.theme(theme)
				b.size(width, 900)
				b.goTo(path)
				b.wait(`document.readyState === "complete"`)
				if name == "change" {
					b.waterfall()
				}
				at := fmt.Sprintf("%s, %s, %d wide", name, theme, width)
				b.shot(strings.ReplaceAll(at, ", ", "-"))
				if got := b.ask(unreadable); got != "" {
					t.Errorf("%s: too little contrast: %s", at, got)
				}
				if got := b.ask(unnamed); got != "" {
					t.Errorf("%s: without a name: %s", at, got)
				}
				if got := b.ask(misplaced); got != "" {
					t.Errorf("%s: not in its place: %s", at, got)
				}
				if over := ask[int](b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
					t.Errorf("%s: %d pixels are beyond the edge", at, over)
				}
			}
		}
	}
	for _, w := range b.forgive() {
		if !strings.Contains(w, "404") { // of the page that there is not
			t.Errorf("the browser complains: %s", w)
		}
	}

	// The toggle wins over the system, and is remembered.
	b.size(1400, 900)
	b.theme("light")
	b.goTo("/")
	light := b.ask("getComputedStyle(document.documentElement).backgroundColor")
	b.press("t", "t") // auto, light, dark
	b.wait(fmt.Sprintf("getComputedStyle(document.documentElement).backgroundColor !== %q", light))
	b.goTo(slow.path())
	b.wait(fmt.Sprintf("getComputedStyle(document.documentElement).backgroundColor !== %q", light))

	// The first stop leads past the head, and the waterfall is one stop.
	b.press(kb.Tab)
	b.wait(`document.activeElement.className === "skip"`)
	stops := 0
	for ; stops < 60 && !ask[bool](b, `document.activeElement.id === "wf-rows"`); stops++ {
		b.press(kb.Tab)
	}
	if stops == 60 {
		t.Error("the waterfall is not reached by Tab")
	}
	b.press(kb.ArrowDown)
	b.waitText(".wf-row.selected", "Deployment rollout")
}

// unreadable lists texts whose contrast with what is behind them is too little (WCAG 2.2, 1.4.3).
const unreadable = `(() => {
	const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
	const light = ([r, g, b]) => { const l = [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * l[0] + .7152 * l[1] + .0722 * l[2]; };
	const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > .99) return c; } return [255, 255, 255, 1]; };
	const bad = new Set(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walk.nextNode();) {
		const e = n.parentElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
		if (!n.data.trim() || !r.width || r.width < 2 || s.visibility === "hidden" || e.closest("title, template, [hidden], dialog:not([open]), .hidden")) continue;
		const svg = e instanceof SVGElement;
		const a = light(parse(svg ? s.fill : s.color)), c = light(behind(svg ? e.ownerSVGElement : e));
		const ratio = (Math.max(a, c) + .05) / (Math.min(a, c) + .05);
		if (ratio < 4.5) bad.add(e.tagName + "." + (e.getAttribute("class") || "") + " " + n.data.trim().slice(0, 30) + " " + ratio.toFixed(2));
	}
	return [...bad].join("; ");
})()`

// misplaced lists what goes beyond its row of the waterfall, durations that are written over what is
// hatched, and ways to other times that take two lines.
const misplaced = `(() => {
	const bad = [], box = (e) => e.getBoundingClientRect();
	for (const row of document.querySelectorAll(".wf.live .wf-row")) {
		const lane = row.querySelector(".wf-lane"), label = row.querySelector(".lane-label:not([hidden])"), name = row.textContent.slice(0, 40);
		if (box(lane).bottom > box(row).bottom + 1) bad.push(name + ": the lane");
		if (label && !label.matches(".inside")) for (const d of row.querySelectorAll(".doubt")) if (box(d).left < box(label).right - 6 && box(label).left + 6 < box(d).right) bad.push(name + ": " + label.textContent);
	}
	for (const e of document.querySelectorAll(".over-head .button")) if (box(e).height > 36) bad.push(e.textContent);
	return bad.join("; ");
})()`

// unnamed lists what a screen reader has no name for, or no place.
const unnamed = `(() => {
	const bad = [], named = (e) => e.getAttribute("aria-label") || e.textContent.trim() || e.title;
	for (const e of document.querySelectorAll("button, a, summary, [role=treegrid], nav, section, aside, dialog")) if (!e.closest("[aria-hidden], template") && !named(e) && !e.getAttribute("aria-labelledby")) bad.push(e.outerHTML.slice(0, 80));
	for (const e of document.querySelectorAll("input:not([type=hidden]), select")) if (!e.labels.length && !e.getAttribute("aria-label")) bad.push(e.outerHTML.slice(0, 80));
	for (const svg of document.querySelectorAll("svg:not([aria-hidden])")) if (!svg.closest("[aria-hidden]") && !svg.getAttribute("aria-label")) bad.push(svg.outerHTML.slice(0, 80));
	if (document.querySelectorAll("h1").length !== 1) bad.push("h1: " + document.querySelectorAll("h1").length);
	if (document.querySelectorAll("main").length !== 1 || !document.documentElement.lang || !document.title) bad.push("main, lang, title");
	for (const row of document.querySelectorAll(".wf.live [role=row]")) if (!row.getAttribute("aria-level") || !row.querySelector("[role=gridcell]")) bad.push("row");
	const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
	if (new Set(ids).size !== ids.length) bad.push("an ID is there twice: " + ids.filter((id, i) => ids.indexOf(id) !== i));
	return bad.join("; ");
})()`

// A page may be served below a path of a proxy: all its addresses are relative.
func TestAddressesAreRelative(t *testing.T) {
	store, _ := shop()
	b := open(t, rollspan.Options{History: store, Now: later})
	for _, path := range []string{"/", slow.path(), "/overview", "/?q=x"} {
		b.goTo(path)
		b.wait(`document.readyState === "complete"`)
		if got := b.ask(`[...document.querySelectorAll("[href], [src], [action]")].map(e => e.getAttribute("href") || e.getAttribute("src") || e.getAttribute("action")).filter(a => a.startsWith("/") || /^[a-z]+:/.test(a)).join()`); got != "" {
			t.Errorf("%s leads to %s", path, got)
		}
	}
}

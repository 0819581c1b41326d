package roles

import (
	"maps"
	"strings"
	"testing"
)

// A small engine, as the check sees one.
var smallEngine = map[string]string{
	"records/pod.go": `package records

import "small/ledger"

type Pod struct {
	*Object
	Status
	Waits  []Wait
	ByName map[string]int
	Next   *Pod
	Ledger ledger.Pod
}
type Object struct{ Name string; Events []string }
type Status struct{ Phase string; At Moment }
type Moment struct{ Lo, Hi int }
type Wait struct{ Reason string }

func (m *Moment) narrow()       { m.Hi = m.Lo }
func (p *Pod) Set(phase string) { p.Phase = phase; p.At.narrow() }
`,
	"records/own.go": `package records

type Own struct{ told bool }
`,
	"ledger/pod.go": `package ledger

type Pod struct { Sent bool; Spans map[string]bool }

func (l *Pod) Tell()       { l.Sent = true }
func (l Pod) IsTold() bool { return l.Sent }
`,
	"plans/plan.go": `package plans

import ("maps"; "slices"; "sync"; "small/records")

var _, _ = maps.Keys[map[int]int], slices.Sort[[]int]
var _ sync.Mutex

type Plan struct{ Phases map[*records.Pod]string; Best *records.Pod; Of records.Status; Seen []records.Wait }

func Sorted(waits []records.Wait) []records.Wait { slices.SortFunc(waits, func(a, b records.Wait) int { return 0 }); return waits }
func sortedDeep(waits []records.Wait) []records.Wait { return Sorted(waits) }
func (p *Plan) fine(q *records.Pod) {
	p.Phases[q], p.Best, p.Of.Phase = q.Phase, q, "x"
	own := *q
	own.Phase = "mine"
	at := q.At
	at.Hi++
	waits := slices.Clone(q.Waits)
	Sorted(waits)
	p.Seen = append(p.Seen, q.Waits...)
	_ = q.Ledger.IsTold()
	_ = append(slices.Clip(q.Waits), records.Wait{})
	fresh := &records.Pod{}
	_ = fresh
}
`,
	"ingest_pod.go": `package small

import "small/records"

type Engine struct {
	pods map[string]*records.Pod
	now  int
	memo map[*records.Pod]int
}

func (e *Engine) observe(name string) { p := &records.Pod{Object: &records.Object{Name: name}}; e.pods[name] = p; p.Set("new") }
func (e *Engine) forget(p *records.Pod) { delete(e.pods, p.Name) }
`,
	"find.go": `package small

import ("small/plans"; "small/records")

func (e *Engine) plan(q *records.Pod) plans.Plan { e.memo[q] = 1; plans.Sorted(nil); return plans.Plan{Best: q} }
`,
	"review_pod.go": `package small

import ("small/ledger"; "small/records")

var _ ledger.Pod

func (e *Engine) build(q *records.Pod) { q.Ledger.Tell(); e.now++ }
`,
}

var smallRules = rules{
	engine: "Engine", scratch: []string{"memo"}, books: []string{"Engine.now"},
	packages:  map[string]role{"records": observes, "ledger": ledgers, "plans": deduces, ".": delivers},
	files:     map[string]role{"ingest_*.go": observes, "find.go": deduces, "records/own.go": ledgers},
	functions: map[string]role{"Engine.forget": forgets},
}

// smallImports is what the small engine imports of others.
var smallImports = []string{"maps", "slices", "sync"}

// checkSmall checks the small engine with more in some of its files.
func checkSmall(t *testing.T, std map[string]string, r rules, more map[string]string) []finding {
	t.Helper()
	texts := map[string]string{}
	for name, text := range smallEngine {
		texts[name] = text + more[name]
	}
	for name, text := range more {
		if smallEngine[name] == "" {
			texts[name] = text
		}
	}
	c := &checker{rules: r, source: newSource(t, "small", texts, std)}
	return c.check()
}

func TestTheCheckOfRolesAllowsWhatIsRight(t *testing.T) {
	for _, f := range checkSmall(t, exported(t, smallImports...), smallRules, nil) {
		t.Errorf("it is wrong about this: %s", f)
	}
}

// TestTheCheckOfRolesFails holds the check against each way in which the rule can be
// broken.
func TestTheCheckOfRolesFails(t *testing.T) {
	std := exported(t, smallImports...)
	for _, test := range []struct{ file, body, want string }{
		{"plans/plan.go", `q.Phase = "x"`, "assigns to records.Status.Phase"},
		{"plans/plan.go", `q.At.Hi += 2`, "assigns to records.Moment.Hi"},
		{"plans/plan.go", `q.At.Hi++`, "counts in records.Moment.Hi"},
		{"plans/plan.go", `*q = records.Pod{}`, "assigns to records.Pod.all of it"},
		{"plans/plan.go", `q.Next.Next.Name = "x"`, "assigns to records.Object.Name"},
		{"plans/plan.go", `q.Waits[0].Reason = "x"`, "assigns to records.Wait.Reason"},
		{"plans/plan.go", `q.Waits[0] = records.Wait{}`, "assigns to records.Pod.Waits"},
		{"plans/plan.go", `q.Waits = append(q.Waits, records.Wait{})`, "assigns to records.Pod.Waits"},
		{"plans/plan.go", `_ = append(q.Waits[:0], records.Wait{})`, "appends in the memory of records.Pod.Waits"},
		{"plans/plan.go", `q.ByName["x"] = 1`, "assigns to records.Pod.ByName"},
		{"plans/plan.go", `delete(q.ByName, "x")`, "deletes in records.Pod.ByName"},
		{"plans/plan.go", `clear(q.ByName)`, "clears in records.Pod.ByName"},
		{"plans/plan.go", `copy(q.Waits, q.Waits[1:])`, "copys in records.Pod.Waits"},
		{"plans/plan.go", `maps.Copy(q.ByName, map[string]int{})`, "maps.Copy writes in records.Pod.ByName"},
		{"plans/plan.go", `slices.Sort(q.Events)`, "slices.Sort writes in records.Object.Events"},
		{"plans/plan.go", `events := q.Events[1:]; slices.Reverse(events)`, "slices.Reverse writes in records.Object.Events"},
		{"find.go", `for _, q := range e.pods { q.Phase = "x" }`, "assigns to records.Status.Phase"},
		{"plans/plan.go", `var i int; for i, q.Name = range []string{} {}; _ = i`, "assigns to records.Object.Name"},
		{"plans/plan.go", `at := &q.At; at.Hi = 1`, "takes the address of records.Status.At"},
		{"plans/plan.go", `f := func() { q.Phase = "x" }; f()`, "assigns to records.Status.Phase"},
		{"plans/plan.go", `Sorted(q.Waits)`, "plans.Sorted writes in records.Pod.Waits"},
		{"plans/plan.go", `sortedDeep(q.Waits)`, "plans.sortedDeep writes in records.Pod.Waits"},
		{"plans/plan.go", `q.Set("x")`, "calls records.Pod.Set, which writes"},
		{"find.go", `e.pods["x"] = q`, "assigns to Engine.pods"},
		{"find.go", `e.now = 1`, "assigns to Engine.now"},
		{"find.go", `e.forget(q)`, "calls Engine.forget, which writes"},
		{"find.go", `e.build(q)`, "calls Engine.build, which writes"},
		{"plans/plan.go", `q.Ledger.Tell()`, "calls ledger.Pod.Tell, which writes"},
		{"plans/plan.go", `q.Ledger.Sent = true`, "assigns to ledger.Pod.Sent"},
		{"find.go", `q.Phase = "x"`, "assigns to records.Status.Phase"},
		{"find.go", `p := e.plan(q); p.Best.Phase = "x"`, "assigns to records.Status.Phase"},
		{"find.go", `plans.Sorted(q.Waits)`, "plans.Sorted writes in records.Pod.Waits"},
		{"find.go", `q.Set("x")`, "calls records.Pod.Set, which writes"},
		{"review_pod.go", `q.Ledger.Sent = true`, "assigns to ledger.Pod.Sent"},
		{"review_pod.go", `q.Ledger.Spans["x"] = true`, "assigns to ledger.Pod.Spans"},
		{"review_pod.go", `q.Ledger = ledger.Pod{}`, "assigns to records.Pod.Ledger"},
		{"review_pod.go", `q.Phase = "x"`, "assigns to records.Status.Phase"},
		{"review_pod.go", `q.Set("x")`, "calls records.Pod.Set, which writes facts"},
		{"records/own.go", `q.Phase = "x"`, "assigns to records.Status.Phase"},
		{"records/own.go", `q.Set("x")`, "calls records.Pod.Set, which is no part of a ledger"},
		{"ingest_pod.go", `q.Ledger.Tell()`, "calls ledger.Pod.Tell, which notes"},
		{"ingest_pod.go", `q.Ledger.Sent = true`, "assigns to ledger.Pod.Sent"},
		{"ingest_pod.go", `e.build(q)`, "calls Engine.build, which notes"},
	} {
		wrong := "\nfunc (e *Engine) wrong(q *records.Pod) { " + test.body + " }\n"
		want := "Engine.wrong " + test.want
		switch test.file {
		case "plans/plan.go":
			wrong, want = strings.Replace(wrong, "e *Engine", "p *Plan", 1), "plans.Plan.wrong "+test.want
		case "records/own.go":
			wrong, want = strings.Replace(wrong, "e *Engine) wrong(q *records.", "o *Own) wrong(q *", 1), "records.Own.wrong "+test.want
		}
		found := listed(checkSmall(t, std, smallRules, map[string]string{test.file: wrong}))
		if !strings.Contains(found, want) || !strings.HasPrefix(found, test.file+":") {
			t.Errorf("%s: %s: want %q, found:\n%s", test.file, test.body, want, found)
		}
	}
}

// TestTheTableOfRolesIsWhole holds that no package is left out of it, and that it says
// nothing that is not needed.
func TestTheTableOfRolesIsWhole(t *testing.T) {
	std := exported(t, smallImports...)
	found := checkSmall(t, std, smallRules, map[string]string{"other/other.go": "package other"})
	if want := "other/other.go:1: the file has no role"; len(found) != 1 || !strings.HasPrefix(found[0].String(), want) {
		t.Errorf("want %q, found:\n%s", want, listed(found))
	}

	r := smallRules
	r.may = map[string]string{"Engine.observe -> ledger.Pod.Tell": "", "Engine.observe -> ledger.Pod.IsTold": "it is allowed"}
	r.packages = map[string]role{"elsewhere": deduces}
	maps.Copy(r.packages, smallRules.packages)
	r.files = map[string]role{"review_*.go": delivers, "records/*.go": observes}
	maps.Copy(r.files, smallRules.files)
	r.functions = map[string]role{"Engine.observe": observes, "Engine.gone": forgets}
	maps.Copy(r.functions, smallRules.functions)
	said := listed(checkSmall(t, std, r, nil))
	for _, entry := range []string{
		"Engine.observe -> ledger.Pod.Tell", "Engine.observe -> ledger.Pod.IsTold", "elsewhere", "review_*.go", "records/*.go", "Engine.observe", "Engine.gone",
	} {
		if !strings.Contains("\n"+said, "\n"+entry+" ") {
			t.Errorf("that nothing needs %s is not found:\n%s", entry, said)
		}
	}

	wrong := map[string]string{"ingest_pod.go": "\nfunc (e *Engine) wrong(q *records.Pod) { q.Ledger.Tell() }\n"}
	r = smallRules
	r.may = map[string]string{"Engine.wrong -> ledger.Pod.Tell": "it is allowed"}
	if found := checkSmall(t, std, r, wrong); len(found) > 0 {
		t.Errorf("an exception is none:\n%s", listed(found))
	}
}

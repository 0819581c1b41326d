package causality_test

import (
	gotoken "go/token"
	"strings"
	"testing"
)

// A small engine, as the check sees one.
var smallEngine = map[string]string{
	"facts.go": `package p

type Engine struct {
	pods map[string]*pod
	now  int
	memo map[*pod]int
}
type pod struct {
	*object
	status
	waits  []wait
	byName map[string]int
	next   *pod
	ledger podLedger
}
type object struct{ name string; events []string }
type status struct{ phase string; at moment }
type moment struct{ lo, hi int }
type wait struct{ reason string }

func (m *moment) narrow() { m.hi = m.lo }
func (e *Engine) observe(name string) { p := &pod{object: &object{name: name}}; e.pods[name] = p; p.set("new") }
func (p *pod) set(phase string)       { p.phase = phase; p.at.narrow() }
func (e *Engine) forget(p *pod)       { delete(e.pods, p.name) }
`,
	"ledger.go": `package p

type podLedger struct { sent bool; spans map[string]bool }

func (l *podLedger) told()       { l.sent = true }
func (l podLedger) isTold() bool { return l.sent }
`,
	"plan.go": `package p

import ("maps"; "slices"; "sync")

var _, _ = maps.Keys[map[int]int], slices.Sort[[]int]
var _ sync.Mutex

type plan struct{ engine *Engine; phases map[*pod]string; best *pod; of status; seen []wait }

func sorted(waits []wait) []wait { slices.SortFunc(waits, func(a, b wait) int { return 0 }); return waits }
func sortedDeep(waits []wait) []wait { return sorted(waits) }
func (p *plan) fine(q *pod) {
	p.phases[q], p.best, p.of.phase = q.phase, q, "x"
	own := *q
	own.phase = "mine"
	at := q.at
	at.hi++
	waits := slices.Clone(q.waits)
	sorted(waits)
	p.seen = append(p.seen, q.waits...)
	p.engine.memo[q] = 1
	_ = q.ledger.isTold()
	_ = append(slices.Clip(q.waits), wait{})
	fresh := &pod{}
	_ = fresh
}
`,
	"build.go": `package p

func (p *plan) build(q *pod) { q.ledger.told(); p.engine.now++ }
`,
}

var smallRules = rules{
	engine: "Engine", seeds: []string{"pod"}, scratch: []string{"memo"}, books: []string{"Engine.now"},
	roles: map[string]role{
		"facts.go": observes, "facts.go Engine.forget": forgets, "ledger.go": ledgers, "plan.go": deduces, "build.go": delivers,
	},
}

// checkSmall checks the small engine with more in some of its files.
func checkSmall(t *testing.T, more map[string]string) []finding {
	t.Helper()
	c := &checker{rules: smallRules, fset: gotoken.NewFileSet()}
	imports := c.imports(t, "maps", "slices", "sync")
	for name, source := range smallEngine {
		c.parse(t, name, source+more[name])
	}
	for name, source := range more {
		if smallEngine[name] == "" {
			c.parse(t, name, "package p\n"+source)
		}
	}
	c.typecheck(t, imports)
	return c.check()
}

func TestTheCheckOfRolesAllowsWhatIsRight(t *testing.T) {
	for _, f := range checkSmall(t, nil) {
		t.Errorf("it is wrong about this: %s", f)
	}
}

// TestTheCheckOfRolesFails holds the check against each way in which the rule can be
// broken.
func TestTheCheckOfRolesFails(t *testing.T) {
	for _, test := range []struct{ file, body, want string }{
		{"plan.go", `q.phase = "x"`, "assigns to status.phase"},
		{"plan.go", `q.at.hi += 2`, "assigns to moment.hi"},
		{"plan.go", `q.at.hi++`, "counts in moment.hi"},
		{"plan.go", `*q = pod{}`, "assigns to pod.all of it"},
		{"plan.go", `q.next.next.name = "x"`, "assigns to object.name"},
		{"plan.go", `q.waits[0].reason = "x"`, "assigns to wait.reason"},
		{"plan.go", `q.waits[0] = wait{}`, "assigns to pod.waits"},
		{"plan.go", `q.waits = append(q.waits, wait{})`, "assigns to pod.waits"},
		{"plan.go", `_ = append(q.waits[:0], wait{})`, "appends in the memory of pod.waits"},
		{"plan.go", `q.byName["x"] = 1`, "assigns to pod.byName"},
		{"plan.go", `delete(q.byName, "x")`, "deletes in pod.byName"},
		{"plan.go", `clear(q.byName)`, "clears in pod.byName"},
		{"plan.go", `copy(q.waits, q.waits[1:])`, "copys in pod.waits"},
		{"plan.go", `maps.Copy(q.byName, map[string]int{})`, "maps.Copy writes in pod.byName"},
		{"plan.go", `slices.Sort(q.events)`, "slices.Sort writes in object.events"},
		{"plan.go", `events := q.events[1:]; slices.Reverse(events)`, "slices.Reverse writes in object.events"},
		{"plan.go", `for _, q := range p.engine.pods { q.phase = "x" }`, "assigns to status.phase"},
		{"plan.go", `var i int; for i, q.name = range []string{} {}; _ = i`, "assigns to object.name"},
		{"plan.go", `at := &q.at; at.hi = 1`, "takes the address of status.at"},
		{"plan.go", `f := func() { q.phase = "x" }; f()`, "assigns to status.phase"},
		{"plan.go", `sorted(q.waits)`, "sorted writes in pod.waits"},
		{"plan.go", `sortedDeep(q.waits)`, "sortedDeep writes in pod.waits"},
		{"plan.go", `q.set("x")`, "calls pod.set, which writes"},
		{"plan.go", `p.engine.pods["x"] = q`, "assigns to Engine.pods"},
		{"plan.go", `p.engine.now = 1`, "assigns to Engine.now"},
		{"plan.go", `p.engine.forget(q)`, "calls Engine.forget, which writes"},
		{"plan.go", `p.build(q)`, "calls plan.build, which writes"},
		{"plan.go", `q.ledger.told()`, "calls podLedger.told, which writes"},
		{"plan.go", `q.ledger.sent = true`, "assigns to podLedger.sent"},
		{"build.go", `q.ledger.sent = true`, "assigns to podLedger.sent"},
		{"build.go", `q.ledger.spans["x"] = true`, "assigns to podLedger.spans"},
		{"build.go", `q.ledger = podLedger{}`, "assigns to pod.ledger"},
		{"build.go", `q.phase = "x"`, "assigns to status.phase"},
		{"build.go", `q.set("x")`, "calls pod.set, which writes facts"},
		{"facts.go", `q.ledger.told()`, "calls podLedger.told, which notes"},
		{"facts.go", `q.ledger.sent = true`, "assigns to podLedger.sent"},
		{"facts.go", `p.build(q)`, "calls plan.build, which notes"},
	} {
		found := checkSmall(t, map[string]string{test.file: "\nfunc (p *plan) wrong(q *pod) { " + test.body + " }\n"})
		if !strings.Contains(listed(found), "plan.wrong "+test.want) {
			t.Errorf("%s: %s: want %q, found:\n%s", test.file, test.body, test.want, listed(found))
		}
	}
	if found := checkSmall(t, map[string]string{"other.go": "func other() {}"}); !strings.Contains(listed(found), "other.go:1: the file has no role") {
		t.Errorf("a file that is not in the table: %s", listed(found))
	}
	if found := checkSmall(t, map[string]string{"ledger.go": "\nfunc (l *podLedger) of(q *pod) { q.phase = `x` }\n"}); !strings.Contains(listed(found), "podLedger.of assigns to status.phase") {
		t.Errorf("a ledger that writes a record: %s", listed(found))
	}
}

package roles

import (
	"cmp"
	"fmt"
	"go/ast"
	gotoken "go/token"
	"go/types"
	"path"
	"slices"
	"strings"
)

// role is what a function has to do with what the engine keeps.
type role string

const (
	// observes: it writes records, from what is observed.
	observes role = "observes"
	// forgets: it drops records, or parts of them.
	forgets role = "forgets"
	// deduces: it writes nothing that outlives what it returns.
	deduces role = "deduces"
	// delivers: it builds what is handed out, and notes that in ledgers.
	delivers role = "delivers"
	// ledgers: it is a rule of a ledger.
	ledgers role = "ledgers"
	// runs: it has the others do their work, and keeps the engine's books.
	runs role = "runs"
)

// effects are what a function writes, itself or by those that it calls.
type effects struct {
	facts, ledger, books bool
}

func (a effects) or(b effects) effects {
	return effects{a.facts || b.facts, a.ledger || b.ledger, a.books || b.books}
}

// rules are what a check goes by. A function is named as in "package.Type.Method", and one
// of the root package as in "Type.method".
type rules struct {
	// packages have the roles of all that is in them, by their folders.
	packages map[string]role
	// files have the roles of what is in them, where that is not the package's, by patterns
	// of their paths as in "ingest_*.go". The longest one decides.
	files map[string]role
	// functions have roles that are not their file's, by patterns of their names.
	functions map[string]role
	// may are calls that are as they should be although the roles say otherwise, as
	// "function -> function", and why; "*" stands for the rest of a name.
	may map[string]string
	// engine is the type of the root package whose fields are records, and indexes of them,
	// but for the scratch of one call. All that can be reached from there are records, too.
	engine  string
	scratch []string
	// books are fields of the engine and of records that say when to look at what, and
	// nothing of what is in the cluster, as "Type.field" or "package.Type.Field".
	books []string
}

// checker finds what breaks the rules in the packages of an engine. It goes by types, by
// what is assigned to local variables, and by who calls whom, also in another package. It does not see what is written by functions
// that are values, or to elements of a slice that a function returned; for these there is
// TestLawAPlanChangesNothing. A method that writes its record counts as writing one even
// where it is called of a copy.
type checker struct {
	rules
	*source

	records map[*types.TypeName]bool
	ledger  map[*types.TypeName]bool
	funcs   map[*types.Func]*function
	used    map[string]bool // of the rules
	changed bool            // see function.writes
	found   []finding
}

// function is one of the engine's.
type function struct {
	name   string
	role   role
	decl   *ast.FuncDecl
	params []types.Object
	// aliases are local variables, and what was assigned to each.
	aliases map[types.Object][]ast.Expr
	// writes are the parameters into whose elements it writes.
	writes map[int]bool
	direct effects // what it writes itself
	all    effects // and by those that it calls
	calls  []call
}

type call struct {
	to *types.Func
	at gotoken.Pos
}

type finding struct {
	at   gotoken.Position // none where it is about the rules
	what string
}

func (f finding) String() string {
	if !f.at.IsValid() {
		return f.what
	}
	return fmt.Sprintf("%s:%d: %s", f.at.Filename, f.at.Line, f.what)
}

// check returns what breaks the rules, in the order of the files, each once.
func (c *checker) check() []finding {
	c.used, c.funcs = map[string]bool{}, map[*types.Func]*function{}
	c.ledger, c.records = map[*types.TypeName]bool{}, map[*types.TypeName]bool{}
	c.classify()
	unknown := c.found
	for c.changed = true; c.changed; {
		c.changed, c.found = false, slices.Clone(unknown)
		for _, f := range c.funcs {
			f.direct, f.calls = effects{}, nil
			c.look(f)
		}
	}
	c.spread()
	for _, f := range c.funcs {
		c.judge(f)
	}
	for _, named := range []map[string]role{c.packages, c.rules.files, c.functions} {
		for what := range named {
			if !c.used[what] {
				c.found = append(c.found, finding{what: what + " has a role that nothing needs: take it out of the table"})
			}
		}
	}
	for what := range c.may {
		if !c.used[what] {
			c.found = append(c.found, finding{what: what + " is an exception that nothing needs: take it out of the table"})
		}
	}
	slices.SortFunc(c.found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.at.Filename, b.at.Filename), cmp.Compare(a.at.Line, b.at.Line), cmp.Compare(a.what, b.what))
	})
	return slices.Compact(c.found)
}

// classify finds the functions with their roles, and the types of ledgers and records.
func (c *checker) classify() {
	for name, file := range c.source.files {
		of := c.roleOf(name, file)
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				c.addFunction(d, of)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if t, ok := s.(*ast.TypeSpec); ok && of == ledgers {
						c.ledger[c.info.Defs[t.Name].(*types.TypeName)] = true
					}
				}
			}
		}
	}
	engine := c.root.Scope().Lookup(c.engine).Type().Underlying().(*types.Struct)
	for field := range engine.Fields() {
		if !slices.Contains(c.scratch, field.Name()) {
			c.reach(field.Type())
		}
	}
}

// roleOf is that of a file, by its path, or else by its package.
func (c *checker) roleOf(name string, file *ast.File) role {
	inPackage, known := c.packages[path.Dir(name)]
	c.used[path.Dir(name)] = true
	if of, ok := c.matching(c.rules.files, name, inPackage); ok {
		return of
	}
	if !known {
		c.found = append(c.found, finding{c.fset.Position(file.Pos()), "the file has no role: say in the table whether what its package does, or the file, is to observe, deduce, deliver or keep a ledger"})
	}
	return inPackage
}

// matching is the role that a name has by the longest pattern that it matches, and whether
// it has another by that than without. It notes that the pattern is needed, if so.
func (c *checker) matching(roles map[string]role, name string, without role) (role, bool) {
	best := ""
	for pattern := range roles {
		if is, err := path.Match(pattern, name); is && err == nil && len(pattern) > len(best) {
			best = pattern
		}
	}
	if best == "" || roles[best] == without {
		return "", false
	}
	c.used[best] = true
	return roles[best], true
}

func (c *checker) addFunction(d *ast.FuncDecl, of role) {
	fn := c.info.Defs[d.Name].(*types.Func)
	f := &function{name: d.Name.Name, role: of, decl: d, aliases: map[types.Object][]ast.Expr{}, writes: map[int]bool{}}
	signature := fn.Type().(*types.Signature)
	if recv := signature.Recv(); recv != nil {
		t := recv.Type()
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem()
		}
		f.name = t.(*types.Named).Obj().Name() + "." + f.name
	}
	f.name = c.qualified(fn, f.name)
	if own, ok := c.matching(c.functions, f.name, of); ok {
		f.role = own
	}
	for p := range signature.Params().Variables() {
		f.params = append(f.params, p)
	}
	c.noteAliases(f)
	c.funcs[fn] = f
}

// qualified is a name with its package, but for those of the root package.
func (c *checker) qualified(of types.Object, name string) string {
	if of.Pkg() == c.root {
		return name
	}
	return of.Pkg().Name() + "." + name
}

// reach notes the types of the engine that a record consists of.
func (c *checker) reach(t types.Type) {
	switch t := t.(type) {
	case *types.Named:
		if obj := t.Obj(); c.isOwn(obj.Pkg()) && !c.records[obj] && !c.ledger[obj] {
			c.records[obj] = true
			c.reach(t.Underlying())
		}
	case *types.Pointer:
		c.reach(t.Elem())
	case *types.Slice:
		c.reach(t.Elem())
	case *types.Array:
		c.reach(t.Elem())
	case *types.Map:
		c.reach(t.Key())
		c.reach(t.Elem())
	case *types.Struct:
		for field := range t.Fields() {
			c.reach(field.Type())
		}
	}
}

// report notes a write to a field of a field, the innermost first. The last one is of
// the piece of memory as a whole.
func (c *checker) report(f *function, fields []field, how string, at gotoken.Pos) {
	if len(fields) == 0 {
		return
	}
	say := func(x field, advice string) {
		c.found = append(c.found, finding{c.fset.Position(at), f.name + " " + how + " " + c.nameOf(x) + advice})
	}
	if i := slices.IndexFunc(fields, c.isLedger); i >= 0 {
		f.direct.ledger = true
		lent := how == takesAddress && f.role != observes && f.role != deduces // for a method of the ledger's
		if f.role != ledgers && !lent {
			say(fields[i], ": only a ledger's own methods may write it. Add one where the type is, and call it where that is handed out")
		}
		return
	}
	if i := slices.IndexFunc(fields, func(x field) bool { return slices.Contains(c.books, c.nameOf(x)) }); i >= 0 {
		f.direct.books = true
		if f.role == deduces {
			say(fields[i], " where things are deduced: return it to who asks instead")
		}
		return
	}
	whole := fields[len(fields)-1]
	isEngine := whole.of == c.root.Scope().Lookup(c.engine)
	if isEngine && slices.Contains(c.scratch, whole.name) || !isEngine && !c.records[whole.of] {
		return
	}
	f.direct.facts = true
	switch f.role {
	case deduces:
		say(fields[0], ", which is a fact, where things are deduced: keep it in the plan or the builder, or file it where it is observed")
	case delivers, runs, ledgers:
		say(fields[0], ", which is a fact: file it where it is observed, or note what was handed out in the record's ledger")
	}
}

func (c *checker) nameOf(x field) string { return c.qualified(x.of, x.of.Name()+"."+x.name) }

// isLedger reports whether a field is of a ledger, or is one.
func (c *checker) isLedger(x field) bool {
	named := c.named(x.is)
	return c.ledger[x.of] || named != nil && c.ledger[named]
}

// spread finds what functions write by those that they call.
func (c *checker) spread() {
	for _, f := range c.funcs {
		f.all = f.direct
	}
	for again := true; again; {
		again = false
		for _, f := range c.funcs {
			all := f.all
			for _, call := range f.calls {
				if to := c.funcs[call.to]; to != nil {
					all = all.or(to.all)
				}
			}
			again, f.all = again || all != f.all, all
		}
	}
}

// judge finds calls that lead to writes which the caller may not do.
func (c *checker) judge(f *function) {
	for _, call := range f.calls {
		to := c.funcs[call.to]
		if to == nil || to.role == f.role && f.role != delivers {
			continue
		}
		why := ""
		switch {
		case f.role == deduces && to.role != deduces && to.all != effects{}:
			why = "which writes, where things are deduced: have it done by who asks for what is deduced"
		case f.role == delivers && to.role == observes && to.all.facts:
			why = "which writes facts, where things are handed out: have it done where they are observed"
		case f.role == observes && (to.role == ledgers || to.role == delivers) && to.all.ledger:
			why = "which notes what was handed out, where things are observed: have it done by who hands it out"
		case f.role == observes && to.role == runs && to.all.ledger:
			why = "which hands out, where things are observed"
		case f.role == ledgers:
			why = "which is no part of a ledger"
			if to.role == ledgers || to.all == (effects{}) {
				why = ""
			}
		}
		if why == "" {
			continue
		}
		if c.isAllowed(f.name + " -> " + to.name) {
			continue
		}
		c.found = append(c.found, finding{c.fset.Position(call.at), f.name + " calls " + to.name + ", " + why})
	}
}

// isAllowed reports whether a call is an exception, and notes that this is needed.
func (c *checker) isAllowed(call string) bool {
	for exception := range c.may {
		if is, err := path.Match(exception, call); is && err == nil {
			c.used[exception] = true
			return true
		}
	}
	return false
}

// listed renders findings one a line.
func listed(found []finding) string {
	var lines []string
	for _, f := range found {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

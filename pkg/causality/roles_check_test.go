package causality_test

import (
	"cmp"
	"fmt"
	"go/ast"
	gotoken "go/token"
	"go/types"
	"path/filepath"
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

// rules are what a check goes by.
type rules struct {
	// roles are of files, by their names, and of the functions in them that have another,
	// as "file.go function" or "file.go type.method".
	roles map[string]role
	// may are calls that are as they should be although the roles say otherwise, as
	// "function -> function".
	may map[string]string
	// seeds are the types of which all that can be reached from them are records.
	seeds []string
	// engine is the type whose fields are indexes of records, but for the scratch of one call.
	engine  string
	scratch []string
	// books are fields of the engine and of records that say when to look at what, and
	// nothing of what is in the cluster, as "type.field".
	books []string
}

// checker finds what breaks the rules in a package. It goes by types, by what is assigned
// to local variables, and by who calls whom. It does not see what is written by functions
// that are values, or to elements of a slice that a function returned; for these there is
// TestLawAPlanChangesNothing. A method that writes its record counts as writing one even
// where it is called of a copy.
type checker struct {
	rules
	fset  *gotoken.FileSet
	info  *types.Info
	pkg   *types.Package
	files []*ast.File

	records map[*types.TypeName]bool
	ledger  map[*types.TypeName]bool
	funcs   map[*types.Func]*function
	used    map[string]bool // of the rules
	changed bool            // see function.writes
	found   []finding
}

// function is one of the package's.
type function struct {
	name, file string
	role       role
	decl       *ast.FuncDecl
	params     []types.Object
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
	at   gotoken.Position
	what string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s", filepath.Base(f.at.Filename), f.at.Line, f.what)
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
	for what := range c.roles {
		if !c.used[what] {
			c.found = append(c.found, finding{what: what + " has a role, and is not there: take it out of the table"})
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
	for _, file := range c.files {
		name := filepath.Base(c.fset.Position(file.Pos()).Filename)
		of, known := c.roles[name]
		if !known {
			c.found = append(c.found, finding{c.fset.Position(file.Pos()), "the file has no role: say in the table whether its functions observe, forget, deduce, deliver or are a ledger's"})
		}
		c.used[name] = true
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				c.addFunction(d, name, of)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if t, ok := s.(*ast.TypeSpec); ok && of == ledgers {
						c.ledger[c.info.Defs[t.Name].(*types.TypeName)] = true
					}
				}
			}
		}
	}
	for _, seed := range c.seeds {
		c.reach(c.pkg.Scope().Lookup(seed).Type())
	}
}

func (c *checker) addFunction(d *ast.FuncDecl, file string, of role) {
	fn := c.info.Defs[d.Name].(*types.Func)
	f := &function{name: d.Name.Name, file: file, role: of, decl: d, aliases: map[types.Object][]ast.Expr{}, writes: map[int]bool{}}
	signature := fn.Type().(*types.Signature)
	if recv := signature.Recv(); recv != nil {
		t := recv.Type()
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem()
		}
		f.name = t.(*types.Named).Obj().Name() + "." + f.name
	}
	if own, ok := c.roles[file+" "+f.name]; ok {
		f.role = own
		c.used[file+" "+f.name] = true
	}
	for p := range signature.Params().Variables() {
		f.params = append(f.params, p)
	}
	c.noteAliases(f)
	c.funcs[fn] = f
}

// noteAliases notes what is assigned to each local variable.
func (c *checker) noteAliases(f *function) {
	note := func(to, from ast.Expr) {
		id, ok := to.(*ast.Ident)
		if !ok {
			return
		}
		if obj := cmp.Or(c.info.Defs[id], c.info.Uses[id]); obj != nil {
			f.aliases[obj] = append(f.aliases[obj], from)
		}
	}
	ast.Inspect(f.decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				switch {
				case len(n.Lhs) == len(n.Rhs):
					note(to, n.Rhs[i])
				case i == 0:
					note(to, n.Rhs[0]) // v, ok := m[k]
				}
			}
		case *ast.RangeStmt:
			if n.Value != nil {
				note(n.Value, &ast.IndexExpr{X: n.X})
			}
		}
		return true
	})
}

// reach notes the types of the package that a record consists of.
func (c *checker) reach(t types.Type) {
	switch t := t.(type) {
	case *types.Named:
		if obj := t.Obj(); obj.Pkg() == c.pkg && !c.records[obj] && !c.ledger[obj] {
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

const takesAddress = "takes the address of"

// inPlace are functions of the standard library that write into their first argument.
var inPlace = map[string][]string{
	"slices": {"Sort", "SortFunc", "SortStableFunc", "Reverse", "Delete", "DeleteFunc", "Insert", "Replace", "Compact", "CompactFunc"},
	"maps":   {"Copy", "DeleteFunc", "Insert"},
	"sort":   {"Sort", "Stable", "Slice", "SliceStable", "Strings", "Ints", "Float64s"},
}

// look finds what a function writes itself, and whom it calls.
func (c *checker) look(f *function) {
	ast.Inspect(f.decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != gotoken.DEFINE {
				for _, to := range n.Lhs {
					c.write(f, to, false, "assigns to")
				}
			}
		case *ast.IncDecStmt:
			c.write(f, n.X, false, "counts in")
		case *ast.RangeStmt:
			if n.Tok == gotoken.ASSIGN {
				c.write(f, n.Key, false, "assigns to")
				c.write(f, n.Value, false, "assigns to")
			}
		case *ast.UnaryExpr:
			if n.Op == gotoken.AND {
				c.write(f, n.X, false, takesAddress)
			}
		case *ast.CallExpr:
			c.lookAtCall(f, n)
		}
		return true
	})
}

func (c *checker) lookAtCall(f *function, n *ast.CallExpr) {
	fun := ast.Unparen(n.Fun)
	if i, ok := fun.(*ast.IndexExpr); ok {
		fun = i.X // with types
	}
	var id *ast.Ident
	switch fun := fun.(type) {
	case *ast.Ident:
		id = fun
	case *ast.SelectorExpr:
		id = fun.Sel
	default:
		return
	}
	switch to := c.info.Uses[id].(type) {
	case *types.Builtin:
		switch to.Name() {
		case "delete", "clear", "copy":
			c.write(f, n.Args[0], true, to.Name()+"s in")
		case "append":
			c.write(f, n.Args[0], true, "appends in the memory of")
		}
	case *types.Func:
		to = to.Origin()
		if to.Pkg() != nil && slices.Contains(inPlace[to.Pkg().Path()], to.Name()) {
			c.write(f, n.Args[0], true, to.Pkg().Name()+"."+to.Name()+" writes in")
		}
		if to.Pkg() != c.pkg {
			c.lookAtReceiver(f, fun, to)
			return
		}
		f.calls = append(f.calls, call{to, n.Pos()})
		if callee := c.funcs[to]; callee != nil {
			for i := range callee.writes {
				if i < len(n.Args) {
					c.write(f, n.Args[i], true, callee.name+" writes in")
				}
			}
		}
	}
}

// lookAtReceiver finds methods of other packages that may write into a field of a record
// whose address they take.
func (c *checker) lookAtReceiver(f *function, fun ast.Expr, to *types.Func) {
	s, ok := fun.(*ast.SelectorExpr)
	recv := to.Type().(*types.Signature).Recv()
	if !ok || recv == nil {
		return
	}
	_, byAddress := recv.Type().(*types.Pointer)
	if _, have := c.info.TypeOf(s.X).Underlying().(*types.Pointer); byAddress && !have {
		c.write(f, s.X, false, to.Name()+" takes the address of")
	}
}

// write notes that a function writes to what an expression stands for; with elements set,
// into what that leads to.
func (c *checker) write(f *function, to ast.Expr, elements bool, how string) {
	if to != nil {
		c.follow(f, to, elements, how, to.Pos(), 0)
	}
}

// follow goes from what is written to, outwards, as far as it is one piece of memory.
// There is nothing to say where that is a variable of the function's own.
func (c *checker) follow(f *function, to ast.Expr, shared bool, how string, at gotoken.Pos, depth int) {
	var fields []field
	for {
		switch e := to.(type) {
		case *ast.ParenExpr:
			to = e.X
			continue
		case *ast.SliceExpr:
			to = e.X
			continue
		case *ast.StarExpr:
			if t := c.named(c.info.TypeOf(to)); t != nil {
				fields = append(fields, field{t, "all of it", nil})
			}
			c.report(f, fields, how, at)
			return
		case *ast.IndexExpr:
			switch c.info.TypeOf(e.X).Underlying().(type) {
			case *types.Slice, *types.Map, *types.Pointer:
				shared = true
			}
			to = e.X
			continue
		case *ast.SelectorExpr:
			more, crossed, ok := c.path(e)
			if !ok {
				return
			}
			fields = append(fields, more...)
			if crossed {
				c.report(f, fields, how, at)
				return
			}
			to = e.X
			continue
		case *ast.Ident:
			c.followVariable(f, e, fields, shared, how, at, depth)
		}
		return
	}
}

// followVariable goes on with what a variable was assigned, if it leads to memory that
// the variable shares.
func (c *checker) followVariable(f *function, e *ast.Ident, fields []field, shared bool, how string, at gotoken.Pos, depth int) {
	obj := c.info.Uses[e]
	if !shared || obj == nil || depth > 4 {
		return
	}
	c.report(f, fields, how, at)
	if i := slices.Index(f.params, obj); i >= 0 && !f.writes[i] {
		f.writes[i], c.changed = true, true
	}
	for _, from := range f.aliases[obj] {
		c.follow(f, from, true, how, at, depth+1)
	}
}

// field is one of a type of the package.
type field struct {
	of   *types.TypeName
	name string
	is   types.Type
}

func (x field) String() string { return x.of.Name() + "." + x.name }

// path are the fields that a selector leads through, the innermost first, as far as they
// are one piece of memory: crossed says that this is not part of what it selects from.
func (c *checker) path(e *ast.SelectorExpr) (fields []field, crossed, ok bool) {
	sel := c.info.Selections[e]
	if sel == nil || sel.Kind() != types.FieldVal {
		return nil, false, false
	}
	t := sel.Recv()
	for _, i := range sel.Index() {
		if p, is := t.Underlying().(*types.Pointer); is {
			t, crossed, fields = p.Elem(), true, nil
		}
		of := t.Underlying().(*types.Struct).Field(i)
		if named := c.named(t); named != nil {
			fields = append(fields, field{named, of.Name(), of.Type()})
		}
		t = of.Type()
	}
	slices.Reverse(fields)
	return fields, crossed, true
}

func (c *checker) named(t types.Type) *types.TypeName {
	if n, ok := t.(*types.Named); ok && n.Obj().Pkg() == c.pkg {
		return n.Obj()
	}
	return nil
}

// report notes a write to a field of a field, the innermost first. The last one is of
// the piece of memory as a whole.
func (c *checker) report(f *function, fields []field, how string, at gotoken.Pos) {
	if len(fields) == 0 {
		return
	}
	say := func(format string, args ...any) {
		c.found = append(c.found, finding{c.fset.Position(at), f.name + " " + how + " " + fmt.Sprintf(format, args...)})
	}
	if i := slices.IndexFunc(fields, c.isLedger); i >= 0 {
		f.direct.ledger = true
		lent := how == takesAddress && f.role != observes && f.role != deduces // for a method of the ledger's
		if f.role != ledgers && !lent {
			say("%s: only a ledger's own methods may write it. Add one where the type is, and call it where that is handed out", fields[i])
		}
		return
	}
	if i := slices.IndexFunc(fields, func(x field) bool { return slices.Contains(c.books, x.String()) }); i >= 0 {
		f.direct.books = true
		if f.role == deduces {
			say("%s where things are deduced: return it to who asks instead", fields[i])
		}
		return
	}
	whole := fields[len(fields)-1]
	if whole.of.Name() == c.engine && slices.Contains(c.scratch, whole.name) || whole.of.Name() != c.engine && !c.records[whole.of] {
		return
	}
	f.direct.facts = true
	switch f.role {
	case deduces:
		say("%s, which is a fact, where things are deduced: keep it in the plan or the builder, or file it where it is observed", fields[0])
	case delivers, runs, ledgers:
		say("%s, which is a fact: file it where it is observed, or note what was handed out in the record's ledger", fields[0])
	}
}

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
		if name := f.name + " -> " + to.name; c.may[name] != "" {
			c.used[name] = true
			continue
		}
		c.found = append(c.found, finding{c.fset.Position(call.at), f.name + " calls " + to.name + ", " + why})
	}
}

// listed renders findings one a line.
func listed(found []finding) string {
	var lines []string
	for _, f := range found {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

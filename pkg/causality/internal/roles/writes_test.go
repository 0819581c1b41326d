package roles

import (
	"cmp"
	"go/ast"
	gotoken "go/token"
	"go/types"
	"slices"
)

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
		if !c.isOwn(to.Pkg()) {
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
			more, crossed, ok := c.pathOf(e)
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

// field is one of a type of the engine.
type field struct {
	of   *types.TypeName
	name string
	is   types.Type
}

// pathOf are the fields that a selector leads through, the innermost first, as far as they
// are one piece of memory: crossed says that this is not part of what it selects from.
func (c *checker) pathOf(e *ast.SelectorExpr) (fields []field, crossed, ok bool) {
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
	if n, ok := t.(*types.Named); ok && c.isOwn(n.Obj().Pkg()) {
		return n.Obj()
	}
	return nil
}

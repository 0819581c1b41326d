package ui

import (
	"cmp"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// page is a whole page about something.
func (f frame) page(content ...g.Node) g.Node {
	first := cmp.Or(f.Root, "./")
	login := f.Page == "login"
	here := func(page string) g.Node { return g.If(f.Page == page, h.Aria("current", "page")) }
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.TitleEl(g.Text(f.Title+" · rollspan")),
			h.Link(h.Rel("icon"), href(f.Root+"assets/icon.svg"), h.Type("image/svg+xml")),
			h.Link(h.Rel("stylesheet"), href(f.Root+"assets/"+f.Style)),
			h.Script(h.Src(f.Root+"assets/"+f.Script)),
		),
		h.Body(h.Data("page", f.Page), h.Data("root", f.Root),
			h.A(h.Class("skip"), href("#main"), g.Text("To the content")),
			h.Header(h.Class("top"),
				h.A(h.Class("brand"), href(first), logo(), g.Text("rollspan")),
				g.If(!login, h.Nav(h.Aria("label", "Pages"), spaced(
					h.A(href(first), here("list"), g.Text("Changes")),
					h.A(href(f.Root+"overview"), here("overview"), g.Text("Overview")),
				))),
				h.Span(h.Class("about"), g.Text(f.About)),
				h.Span(h.Class("tools"), spaced(
					h.Button(h.Type("button"), h.ID("help-button"), hidden(true), h.Aria("haspopup", "dialog"), h.Title("Keys (?)"), g.Text("?")),
					h.Button(h.Type("button"), h.ID("theme-button"), hidden(true), h.Title("Light, dark, or as the system has it")),
				)),
			),
			h.Main(h.ID("main"), h.TabIndex("-1"), g.Group(content)),
			keys(),
			h.Footer(g.Text("Times are in UTC."), g.If(!login, g.Group{g.Text(" Press "), h.Kbd(g.Text("?")), g.Text(" for keys.")})),
		),
	))
}

func logo() g.Node {
	bar := func(x, y, width string) g.Node {
		return rect("", g.Attr("x", x), g.Attr("y", y), h.Width(width), h.Height("4"), rounded("1.5"))
	}
	return h.SVG(g.Attr("viewBox", "0 0 24 24"), h.Width("22"), h.Height("22"), decoration(), bar("2", "4", "13"), bar("7", "10", "10"), bar("13", "16", "9"))
}

// keys is the dialog that explains the keys.
func keys() g.Node {
	row := func(about string, names ...string) g.Node {
		return h.Div(h.Dt(spaced(g.Map(names, key)...)), h.Dd(g.Text(about)))
	}
	return h.Dialog(h.ID("help"), h.Aria("labelledby", "help-title"),
		h.H2(h.ID("help-title"), g.Text("Keys")),
		h.Dl(h.Class("keys"),
			row("the next or the one before, of changes or spans", "j", "k"),
			row("open a change, or what a span says", "Enter"),
			row("search", "/"),
			row("move in the waterfall", "↑", "↓", "Home", "End"),
			row("unfold and fold a span, or go in and out", "→", "←"),
			row("the next span of the critical path, the next error", "c", "e"),
			row("zoom to the span, in, out, to all of it; dragging over the bars does, too", "z", "+", "−", "0"),
			row("the rollout before", "b"),
			h.Div(h.Dt(key("g")), h.Dd(g.Text("to the list of changes; "), key("o"), g.Text(" to the overview"))),
			row("light or dark", "t"),
			row("close what is open", "Esc"),
		),
		h.Form(h.Method("dialog"), h.Button(g.Text("Close"))),
	)
}

func key(name string) g.Node { return h.Kbd(g.Text(name)) }

func (p loginPage) html() g.Node {
	return p.page(h.Section(h.Class("card narrow"),
		h.H1(g.Text("rollspan")),
		h.P(g.Text("This page can be reached from elsewhere, so it asks for its token: what is in the file that "), h.Code(g.Text("--ui-token-file")), g.Text(" names.")),
		wrong(p.Wrong),
		h.Form(h.Method("post"), h.Action("login"),
			h.Input(h.Type("hidden"), h.Name("next"), h.Value(p.Next)),
			h.Label(g.Text("Token "), h.Input(h.Name("token"), h.Type("password"), h.Required(), h.AutoFocus(), h.AutoComplete("current-password"))),
			g.Text(" "),
			h.Button(g.Text("Log in")),
		),
	))
}

// wrong says what is wrong with what was asked; nil for nothing.
func wrong(message string) g.Node {
	return g.If(message != "", h.P(h.Class("wrong"), h.Role("alert"), g.Text(message)))
}

func (p errorPage) html() g.Node {
	return p.page(h.Section(h.Class("card narrow"),
		h.H1(g.Text(p.Title)),
		h.P(g.Text(p.Message)),
		h.P(h.A(href(cmp.Or(p.Root, "./")), g.Text("To the list of changes"))),
	))
}

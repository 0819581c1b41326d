package ui

import (
	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/rollspan/rollspan/pkg/history"
)

func (p listPage) html() g.Node {
	return p.page(
		h.H1(h.Class("hidden"), g.Text("Changes")),
		p.Form.html(),
		wrong(p.Wrong),
		h.Section(h.ID("open"), h.Aria("label", "In progress"), hidden(len(p.Open) == 0),
			h.H2(g.Text("In progress")),
			h.P(h.Class("note"), hidden(p.More == ""), g.Text(p.More)),
			h.Table(h.Class("changes"), h.TBody(g.Map(p.Open, row.html))),
		),
		h.Section(h.ID("done"), h.Aria("label", "Changes"),
			h.Table(h.Class("changes"), hidden(len(p.Changes) == 0),
				h.THead(h.Tr(th("Outcome"), th("What changed"), th("Began"), thNum("Took"), th("Waited for"), th("Why"))),
				h.TBody(g.Map(p.Changes, row.html)),
			),
			h.Div(h.Class("empty"), hidden(len(p.Changes) > 0 || len(p.Open) > 0 || p.Wrong != ""), p.nothing()),
		),
		h.Nav(h.Class("pager"), h.Aria("label", "Pages of the list"), spaced(
			g.If(p.Newer != "", h.A(href(p.Newer), h.Rel("prev"), g.Text("← Newest"))),
			g.If(p.Older != "", h.A(href(p.Older), h.Rel("next"), g.Text("Older →"))),
			h.A(href(p.Overview), g.Text("What happened together")),
		)),
		h.P(h.ID("live"), h.Class("hidden"), h.Role("status"), h.Aria("live", "polite")),
		h.Template(h.ID("row"), p.Blank.html()),
	)
}

// nothing says why there is nothing to see.
func (p listPage) nothing() g.Node {
	if p.Form.Narrowed {
		return g.Group{
			h.P(h.B(g.Text("No change matches."))),
			h.P(h.A(href("./"), g.Text("Clear the filter")), g.Text(" to see all of them.")),
		}
	}
	return g.Group{h.P(h.B(g.Text("Nothing has changed yet."))), h.P(g.Text(p.Empty))}
}

func (f form) html() g.Node {
	field := func(label, name, value string, attributes ...g.Node) g.Node {
		return h.Label(g.Text(label), h.Input(h.Name(name), h.Value(value), g.Group(attributes), h.AutoComplete("off")))
	}
	known := func(id string, values ...string) g.Node {
		return h.DataList(h.ID(id), g.Map(values, func(v string) g.Node { return h.Option(h.Value(v)) }))
	}
	return h.Form(h.Class("filter"), h.Method("get"), h.Action("./"), h.Role("search"), h.Aria("label", "Filter of changes"),
		h.Div(h.Class("filter-row"), spaced(
			h.Label(h.Class("grow"), unseen("Search"), h.Input(h.Type("search"), h.Name("q"), h.ID("search"), h.Value(f.Text),
				h.Placeholder("Search names, reasons, messages, trace IDs …"), h.AutoComplete("off"))),
			selection("Namespace", "namespace", f.Namespaces),
			selection("Kind", "kind", f.Kinds),
			field("Name", "name", f.Name, h.List("names"), size("12")),
			selection("Change", "change", f.Changes),
			selection("Outcome", "outcome", f.Outcomes),
			h.Button(h.Class("go"), g.Text("Show")),
		)),
		h.Details(h.Class("filter-more"), g.If(f.More, g.Attr("open")),
			h.Summary(g.Text("Reason, duration and time"), g.If(f.Narrowed, g.Group{g.Text(" · "), h.A(href("./"), g.Text("clear the filter"))})),
			h.Div(h.Class("filter-row"), spaced(
				selection("Reason", "reason", f.Reasons),
				field("Took at least", "took", f.Took, size("7"), h.Placeholder("30s"), h.List("durations")),
				field("In the last", "since", f.Since, size("7"), h.Placeholder("24h"), h.List("agos")),
				field("or from (UTC)", "from", f.From, size("17"), h.Placeholder("2026-03-01 08:30")),
				field("to (UTC)", "to", f.To, size("17"), h.Placeholder("2026-03-01 09:30")),
			)),
		),
		h.DataList(h.ID("names"), g.Map(f.Names, func(n history.Facet) g.Node { return h.Option(h.Value(n.Value)) })),
		known("durations", "10s", "30s", "1m", "5m", "30m"),
		known("agos", "15m", "1h", "6h", "24h", "168h"),
	)
}

func selection(label, name string, choices []choice) g.Node {
	return h.Label(g.Text(label), h.Select(h.Name(name), h.Option(h.Value(""), g.Text("any")), g.Map(choices, func(c choice) g.Node {
		return h.Option(h.Value(c.Value), g.If(c.Chosen, h.Selected()), g.Text(c.Label))
	})))
}

// html is a row of the table. The script finds the parts by data-f.
func (r row) html() g.Node {
	part := func(name string) g.Node { return h.Data("f", name) }
	return h.Tr(g.Attr("data-change"),
		h.Td(h.Class("c-outcome"), part("outcome"), r.Outcome.html()),
		h.Td(h.Class("c-what"),
			h.A(part("link"), href(r.Address), h.Span(h.Class("ns"), part("namespace"), g.Text(r.Namespace)), h.B(part("name"), g.Text(r.Name))),
			g.Text(" "),
			h.Span(h.Class("kind"), part("kind"), g.Text(r.Kind)),
			h.Div(h.Class("sub"), h.Span(part("change"), g.Text(r.Change)), g.Text(" "), dim(r.Subject, part("subject"))),
		),
		h.Td(h.Class("c-began"),
			h.Time(part("began"), h.DateTime(r.Stamp), g.Text(r.Began)),
			h.Div(h.Class("dim"), part("ago"), g.Text(r.Ago)),
		),
		h.Td(h.Class("c-took num"), part("took"), g.Text(r.Took)),
		h.Td(h.Class("c-most"),
			h.Span(part("phases"), drawPhases(r.Phases)),
			h.Div(h.Class("sub"), h.Span(part("most"), g.Text(r.Most)), g.Text(" "), h.Span(h.Class("slower"), part("slower"), g.Text(r.Slower))),
		),
		h.Td(h.Class("c-why"), part("why"), g.Text(r.Why)),
	)
}

// drawPhases draws pieces one after the other.
func drawPhases(list []piece) g.Node {
	return h.SVG(h.Class("phases"), decoration(), g.Map(list, func(p piece) g.Node {
		return rect("ph-"+p.Phase, left(p.From), wide(p.Width), h.Height("100%"), tip(p.Title))
	}))
}

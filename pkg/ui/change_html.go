package ui

import (
	"fmt"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

func (c changePage) html() g.Node {
	return c.page(h.Article(h.Data("id", c.ID), h.Data("open", strconv.FormatBool(c.Open())),
		h.Nav(h.Class("crumbs"), h.Aria("label", "Where this is"),
			h.A(href(c.Root), g.Text("Changes")), g.Text(" / "),
			h.A(href(c.Root+c.Of), g.If(c.Namespace != "", g.Text(c.Namespace+" / ")), g.Text(c.Name)),
		),
		c.head(),
		h.Div(h.Class("why"), h.ID("why"), g.Map(c.Standing.Sentences, func(s string) g.Node { return h.P(g.Text(s)) })),
		g.If(len(c.Path) > 0, c.path()),
		h.Div(h.Class("columns"), g.If(len(c.Legend) > 0, c.compared()), c.changed()),
		c.falls(),
	))
}

func (c changePage) head() g.Node {
	spans := fmt.Sprintf("%d spans", c.Spans)
	if c.Errors > 0 {
		spans += fmt.Sprintf(", %d with errors", c.Errors)
	}
	return h.Div(h.Class("head"),
		h.H1(h.Span(h.Class("kind"), g.Text(c.Kind)), g.Text(" "), span("ns", c.Namespace), g.Text(c.Name), h.Span(h.Class("what"), g.Text(c.Change))),
		h.P(h.Class("facts"), spaced(
			h.Span(h.ID("outcome"), c.Standing.Outcome.html()),
			h.Span(g.Text("took "), h.B(h.ID("took"), g.Text(c.Standing.Took)), g.If(c.Open(), g.Text(" so far"))),
			h.Span(g.Text("began "), h.Time(h.DateTime(c.Stamp), g.Text(c.Began)), g.Text(" "), dim(c.Ago)),
			g.If(c.Subject != "", h.Span(g.Text(c.Subject))),
			h.Span(g.Text(spans)),
		)),
	)
}

// path draws the critical path.
func (c changePage) path() g.Node {
	titles := make([]string, 0, len(c.Path))
	for i := range c.Path {
		titles = append(titles, c.Path[i].Title)
	}
	return h.Section(h.Class("path"), h.Aria("labelledby", "path-title"),
		h.H2(h.ID("path-title"), g.Text("What it waited for")),
		h.SVG(h.Class("strip"), h.Role("img"), h.Aria("label", "The critical path, in order: "+strings.Join(titles, ", ")), g.Map(c.Path, func(s segment) g.Node {
			return g.Group{
				rect("ph-"+s.Phase, left(s.From), wide(s.Width), high(24), rounded("2"), tip(s.Title)),
				g.If(s.Label != "", g.El("text", left(s.From), g.Attr("dx", "3"), top(39), g.Text(s.Label))),
			}
		})),
		g.If(c.Unknown != "", note(g.Text("Not known: "+c.Unknown))),
	)
}

// compared are the phases beside those of the rollout before.
func (c changePage) compared() g.Node {
	kept := c.Before != nil && c.Before.Kept
	return h.Section(h.Class("compare"), h.Aria("label", "Phases"), h.Table(
		h.Caption(c.Before.html(c.Root)),
		h.THead(h.Tr(
			th("Phase"), h.Th(h.Scope("col"), h.Class("hidden-narrow"), unseen("Bars")), thNum("Took"), thNum("Share"),
			g.If(kept, g.Group{thNum("Before"), thNum("Difference")}),
		)),
		h.TBody(g.Map(c.Legend, func(l legendItem) g.Node {
			return h.Tr(
				h.Th(h.Scope("row"), swatch(rect("ph-"+l.Phase, all())), g.Text(l.Name)),
				h.Td(h.Class("hidden-narrow"), h.SVG(h.Class("twin"), decoration(),
					rect("ph-"+l.Phase, top(either(kept, 1, 4)), high(8), wide(l.Width)),
					rect("was", top(11), high(4), wide(l.BeforeWidth)),
				)),
				tdNum(l.Took), h.Td(h.Class("num dim"), g.Text(l.Share)),
				g.If(kept, g.Group{h.Td(h.Class("num dim"), g.Text(l.Before)), h.Td(class("num", when(l.Grew, "more")), g.Text(l.Delta))}),
			)
		})),
	))
}

// html says what a change is compared with.
func (b *before) html(root string) g.Node {
	if b == nil {
		return g.Text("There is no completed one before it to compare with.")
	}
	delta := h.B(h.Class(either(b.Slower, "more", "less")), g.Text(b.Delta))
	if !b.Kept {
		return g.Group{g.Textf("%s took %s: ", b.Name, b.Took), delta}
	}
	return g.Group{g.Text("Beside "), h.A(h.ID("before"), href(root+"change/"+b.Address), g.Text(b.Name)), g.Textf(", which took %s: ", b.Took), delta}
}

// changed is what is another now, and what has to do with it.
func (c changePage) changed() g.Node {
	return h.Section(h.Class("changed"), h.Aria("label", "What changed"),
		h.H2(g.Text("What changed")),
		g.If(len(c.Images) > 0, h.Ul(h.Class("images"), g.Map(c.Images, func(i imageChange) g.Node {
			return h.Li(
				g.If(i.Before != "", h.Code(g.Text(i.Before))),
				g.If(i.Before != "" && i.After != "", g.Text(" → ")),
				g.If(i.After != "", h.Code(g.Text(i.After))),
			)
		}))),
		g.If(len(c.Changed) > 0, h.P(
			g.Map(c.Changed, func(field string) g.Node { return g.Group{h.Code(h.Class("field"), g.Text(field)), g.Text(" ")} }),
			g.If(c.ChangedMore > 0, g.Textf("and %d more", c.ChangedMore)),
		)),
		pairs("pairs", c.Facts),
		g.If(len(c.Related) > 0, g.Group{h.H2(g.Text("Related")), relatedList(c.Root, c.Related)}),
		h.P(h.Class("ways"), spaced(
			h.A(href(c.Root+c.Meanwhile), g.Text("What else happened then")),
			h.A(href(c.asText()), g.Text("As text")),
			g.If(c.Backend != "", away(c.Backend, g.Text("In the trace backend"))),
		)),
	)
}

// asText leads to the change as text.
func (c changePage) asText() string { return c.Root + "change/" + c.ID + "/tree.txt" }

func relatedList(root string, list []related) g.Node {
	return h.Ul(h.Class("related"), g.Map(list, func(r related) g.Node { return h.Li(g.Text(r.Meaning+" "), r.html(root)) }))
}

// html leads to what is related, from a page from which this is the root.
func (r related) html(root string) g.Node {
	switch {
	case r.Address == "":
		return g.Text(r.Name)
	case r.External:
		return away(r.Address, g.Text(r.Name))
	}
	return h.A(href(root+r.Address), g.Text(r.Name))
}

func (c changePage) falls() g.Node {
	return h.Section(h.Class("falls"), h.Aria("labelledby", "falls-title"),
		h.Div(h.Class("falls-head"),
			h.H2(h.ID("falls-title"), g.Text("Waterfall")), g.Text(" "),
			keyOfFalls(), g.Text(" "),
			tools(),
		),
		patterns(),
		h.Div(h.Class("falls-body"),
			h.Div(h.Class("wf"), h.ID("wf"),
				h.Div(h.Class("wf-axis"), h.Span(), h.SVG(h.Class("ticks"), decoration(), g.Map(c.Waterfall.Ticks(), func(t tick) g.Node {
					return t.html("", "100%", 12)
				}))),
				h.Div(h.Class("wf-rows"), h.ID("wf-rows"), h.Role("treegrid"), h.Aria("label", "Spans of the change"), h.Aria("readonly", "true"),
					g.Map(c.Rows, c.spanRow)),
				g.If(c.More > 0, note(g.Textf("%d more rows: the script, or ", c.More), h.A(href(c.asText()), g.Text("the text")), g.Text(", has them."))),
				g.If(c.Waterfall.LeftOut > 0, note(g.Textf("%d spans are more than can be shown here.", c.Waterfall.LeftOut))),
			),
			h.Aside(h.Class("details"), h.ID("details"), h.Aria("label", "Details of the span"), hidden(c.Selected == nil), c.Selected.html(c.Root)),
		),
		h.P(h.ID("live"), h.Class("hidden"), h.Role("status"), h.Aria("live", "polite")),
	)
}

// keyOfFalls says what the marks of the waterfall mean.
func keyOfFalls() g.Node {
	diamond := func(name string) g.Node { return g.El("path", h.Class(name), g.Attr("d", "M8 2l4 5-4 5-4-5z")) }
	sample := func(part g.Node, about string) g.Node { return h.Span(swatch(part), g.Text(about)) }
	return h.Span(h.Class("keyline"), spaced(
		sample(rect("bar ph-pull_image critical", all()), "critical path"),
		sample(rect("bar ph-pull_image", all()), "not waited for"),
		sample(diamond("mark"), "Event"),
		sample(diamond("mark warning"), "warning"),
		sample(rect("doubt", all()), "began or ended within this"),
	))
}

// tools are the script's.
func tools() g.Node {
	button := func(does, label string, attributes ...g.Node) g.Node {
		return h.Button(h.Type("button"), h.Data("do", does), g.Group(attributes), g.Text(label))
	}
	return h.Span(h.Class("falls-tools"), h.ID("falls-tools"), hidden(true), spaced(
		button("critical", "Critical path only", h.Aria("pressed", "false")),
		button("unfold", "Unfold all"),
		button("fold", "Fold"),
		h.Span(h.Class("group"), h.Role("group"), h.Aria("label", "Zoom"),
			button("out", "−", h.Aria("label", "Zoom out")), button("fit", "All"), button("in", "+", h.Aria("label", "Zoom in"))),
	))
}

// patterns are what the bars are filled with.
func patterns() g.Node {
	pattern := func(id, size, angle string, parts ...g.Node) g.Node {
		return g.El("pattern", h.ID(id), h.Width(size), h.Height(size), g.Attr("patternUnits", "userSpaceOnUse"), g.Attr("patternTransform", "rotate("+angle+")"), g.Group(parts))
	}
	return h.SVG(h.Width("0"), h.Height("0"), h.Class("defs"), decoration(), g.El("defs",
		pattern("hatch", "6", "45", rect("hatch-ground", h.Width("6"), h.Height("6")), rect("hatch-line", h.Width("2"), h.Height("6"))),
		pattern("doubt", "5", "-45", rect("doubt-line", h.Width("1.6"), h.Height("5"))),
	))
}

// spanRow is a row of the waterfall.
func (c changePage) spanRow(b bar) g.Node {
	fall := c.Waterfall
	return h.Div(h.Role("row"), h.Aria("level", strconv.Itoa(b.Level())),
		class("wf-row", when(b.Critical, "critical"), when(b.Failed, "failed"), when(c.IsSelected(b.ID), "selected")),
		h.Div(h.Role("gridcell"), class("wf-name", fmt.Sprintf("d%d", b.Indent())), spaced(
			h.A(href("?span="+b.ID+"#details"), g.Text(b.Name)),
			dim(b.About),
			g.If(b.Folded, dim(fmt.Sprintf("+%d", b.Below))),
			span("note", b.Note),
		)),
		h.Div(h.Role("gridcell"), h.Class("wf-lane"),
			h.SVG(decoration(),
				rect("bar ph-"+b.Phase+when(b.Critical, " critical")+when(b.Below > 0, " parent"), left(fall.X(b.From)), wide(fall.Width(b)), top(either(b.Below > 0, 9, 5)), high(either(b.Below > 0, 7, 15)), rounded("2")),
				g.Map(b.Marks, func(m mark) g.Node {
					return rect("mark"+when(m.Warning, " warning"), left(fall.X(m.At)), top(4), h.Width("2"), high(17), tip(m.Title))
				}),
			),
			unseen(b.Took),
		),
	)
}

// html is all that a span says; nil for none. From its page root leads to the first one.
func (d *details) html(root string) g.Node {
	if d == nil {
		return nil
	}
	more := func(title string, list []fact) g.Node {
		return g.If(len(list) > 0, g.Group{h.H4(g.Text(title)), pairs("pairs attributes", list)})
	}
	return g.Group{
		h.Button(h.Type("button"), h.Class("close"), h.ID("details-close"), hidden(true), h.Aria("label", "Close (Esc)"), g.Text("×")),
		h.H3(g.Text(d.Name)), h.P(h.Class("dim"), g.Text(d.About)),
		g.If(d.Message != "", h.P(h.Class("wrong"), g.Text(d.Message))),
		pairs("pairs", d.Facts),
		g.If(len(d.Links) > 0, g.Group{h.H4(g.Text("Links")), relatedList(root, d.Links)}),
		g.If(len(d.Events) > 0, g.Group{h.H4(g.Text("Events")), h.Ol(h.Class("events"), g.Map(d.Events, said.html))}),
		more("Attributes", d.Attributes),
		more("Object", d.Resource),
	}
}

func (e said) html() g.Node {
	return h.Li(g.If(e.Warning, h.Class("warning")), spaced(
		h.Span(h.Class("num dim"), g.Text(e.At)), h.B(g.Text(e.Name)), g.Text(e.Message), dim(e.Times),
	))
}

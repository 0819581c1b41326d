package ui

import (
	"fmt"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/rollspan/rollspan/pkg/history"
)

func (p overviewPage) html() g.Node {
	return p.page(
		h.H1(h.Class("hidden"), g.Text("Overview")),
		h.Div(h.Class("over-head"), spaced(
			h.Span(h.Class("group"), h.Role("group"), h.Aria("label", "How long"),
				h.A(h.Class("button"), href(p.Earlier), h.Title("Earlier"), h.Rel("prev"), g.Text("←"), unseen(" Earlier")),
				g.Map(p.Windows, func(c choice) g.Node {
					return h.A(h.Class("button"), href(c.Value), g.If(c.Chosen, h.Aria("current", "true")), g.Text(c.Label))
				}),
				h.A(h.Class("button"), href(p.Later), h.Title("Later"), h.Rel("next"), unseen("Later "), g.Text("→")),
			),
			h.Span(h.Class("range"), h.Time(g.Text(p.From)), g.Text(" to "), h.Time(g.Text(p.To))),
			spaced(g.Map(p.Narrowed, func(f fact) g.Node { return span("chip", f.Key+": "+f.Value) })...),
			h.A(href("./"+p.List), g.Text("List of these changes")),
		)),
		p.drawing(),
	)
}

// drawing is what happened in the time, if anything did.
func (p overviewPage) drawing() g.Node {
	if p.Empty != "" {
		return h.Div(h.Class("empty"), h.P(h.B(g.Text(p.Empty))), g.If(p.Everything != "", h.P(h.A(href(p.Everything), g.Text("Show all that is kept")))))
	}
	lanes := func(list []lane) g.Node { return g.Map(list, func(l lane) g.Node { return l.html(p.Ticks) }) }
	return g.Group{
		h.Div(h.Class("over"), h.ID("over"),
			p.events(),
			g.If(len(p.Reasons) > 0, h.P(h.Class("over-reasons"), g.Map(p.Reasons, func(r history.Facet) g.Node {
				return h.Span(h.Class("chip"), g.Text(r.Value+" "), h.B(g.Textf("%d", r.Count)))
			}))),
			h.H2(g.Text("Workloads")),
			lanes(p.Workloads),
			g.If(len(p.Nodes) > 0, g.Group{h.H2(g.Text("Nodes "), dim("and the pods that these changes tell of")), lanes(p.Nodes)}),
			h.Div(h.Class("crosshair"), h.ID("crosshair"), hidden(true)),
		),
		g.If(p.LeftOut > 0, note(g.Textf("%d more changes and pods are not drawn: narrow the time or the filter.", p.LeftOut))),
		keyOfOverview(),
	}
}

// events are those of each step.
func (p overviewPage) events() g.Node {
	counted := fmt.Sprint(p.Events)
	if p.Warnings > 0 {
		counted += fmt.Sprintf(", %d warnings", p.Warnings)
	}
	return h.Div(h.Class("over-row over-axis"),
		h.Span(h.Class("over-name"), h.B(g.Text("Events")), g.Text(" "), dim(counted)),
		h.SVG(h.Class("over-lane"), high(56), h.Role("img"), h.Aria("label", "Events in time"),
			g.Map(p.Ticks, func(t tick) g.Node { return t.html("grid", "56", 11) }),
			g.Map(p.Columns, column.html),
		),
	)
}

func (c column) html() g.Node {
	bar := func(name string, from, tall float64, moved g.Node) g.Node {
		return rect(name, left(c.X), wide(c.Width), g.Attr("y", decimal(from)), h.Height(decimal(tall)), moved)
	}
	return h.A(href(c.Address), h.TabIndex("-1"),
		bar("column", 0, 56, nil), bar("normal", c.Top(), c.Normal, lower(16)), bar("warning", c.WarningTop(), c.Warning, lower(16)), tip(c.Title))
}

// lower moves a part of a drawing down.
func lower(pixels int) g.Node { return g.Attr("transform", fmt.Sprintf("translate(0 %d)", pixels)) }

func (l lane) html(ticks []tick) g.Node {
	said := g.Group{span("ns", l.Namespace), g.Text(l.Name)}
	marks := func(list []heat, name string, down int) g.Node {
		return g.Map(list, func(m heat) g.Node {
			return rect(fmt.Sprintf("%s l%d%s", name, m.Level, when(m.Warning, " warning")),
				left(m.X), wide(m.Width), top(l.Height), high(5), g.If(down > 0, lower(down)), tip(m.Title))
		})
	}
	return h.Div(h.Class("over-lanes"),
		h.Div(h.Class("over-row"),
			h.Span(h.Class("over-name"), either(l.Address != "", h.A(href("./"+l.Address), said), g.Text(l.Name)), g.Text(" "), h.Span(h.Class("kind"), g.Text(l.Kind))),
			h.SVG(h.Class("over-lane"), high(l.FullHeight()), h.Role("group"), h.Aria("label", l.Kind+" "+l.Name+" in time"),
				g.Map(ticks, func(t tick) g.Node { return t.line("grid", "100%") }),
				marks(l.Events, "heat", 0),
				marks(l.Started, "started", 6),
				marks(l.Gone, "gone", 12),
				g.Map(l.Bars, laneBar.html),
			),
		),
		g.If(len(l.Pods) > 0, h.Details(h.Class("over-pods"),
			h.Summary(g.Text(l.Said)),
			h.Table(
				h.THead(h.Tr(th("Pod"), th("Of"), th("On"), th("Created"), th("Gone"), thNum("Lived"), th("Why"))),
				h.TBody(g.Map(l.Pods, podRow.html)),
			),
			g.If(l.MorePods > 0, note(g.Textf("and %d more", l.MorePods))),
		)),
	)
}

func (b laneBar) html() g.Node {
	return h.A(href(b.Address), h.Aria("label", b.Title),
		rect("o-"+b.Class, left(b.X), wide(b.Width), top(b.Y), high(laneBarHeight), rounded("2")), tip(b.Title))
}

func (p podRow) html() g.Node {
	return h.Tr(h.Td(h.A(href(p.Address), g.Text(p.Name))), td(p.Of), td(p.Node), td(p.Began), td(p.Gone), tdNum(p.Lived), td(p.Why))
}

func keyOfOverview() g.Node {
	sample := func(class, about string) g.Node { return h.Span(h.I(h.Class("sw "+class)), g.Text(about)) }
	return h.P(h.Class("keyline"), spaced(
		sample("o-complete", "complete"),
		sample("o-failed", "failed"),
		sample("o-open", "in progress"),
		sample("o-superseded", "cut short, deleted, other"),
		sample("s-started", "pods created"),
		sample("s-gone", "pods gone"),
		sample("s-normal", "Events"),
		sample("s-warning", "with warnings"),
		h.Span(g.Text("A column of Events leads to its time.")),
	))
}

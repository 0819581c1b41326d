package ui

import (
	"net/url"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// Pages are made of gomponents' nodes, which escape each text and each value of an attribute. Names
// of elements and attributes are constants, addresses go through href, and nothing is written raw:
// TestNothingIsRaw sees to that. They are no templates: html/template looks methods up by their
// names, for which the linker would keep all methods of all types of Kubernetes.

// href leads to another page here, by a relative address, or to one of the web. Of any other
// address, such as javascript:, no link is made.
func href(address string) g.Node {
	u, err := url.Parse(address)
	if err != nil || strings.Contains(address, `\`) { // which browsers take for a slash
		return nil
	}
	// Browsers take any number of slashes for two.
	if here := u.Scheme == "" && !strings.HasPrefix(address, "//"); !here && !isWeb(u) {
		return nil
	}
	return h.Href(address)
}

// isWeb reports whether an address is one of the web.
func isWeb(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

// away is a link to another server.
func away(address string, children ...g.Node) g.Node {
	return h.A(href(address), h.Rel("noopener noreferrer"), g.Group(children))
}

// class has the names that are not empty.
func class(names ...string) g.Node {
	var b strings.Builder
	for _, name := range names {
		if name != "" {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(name)
		}
	}
	return h.Class(b.String())
}

// when is a text if something holds, or else empty.
func when(holds bool, text string) string {
	if holds {
		return text
	}
	return ""
}

// either is one of two.
func either[T any](holds bool, this, that T) T {
	if holds {
		return this
	}
	return that
}

// spaced has a space between two nodes each.
func spaced(nodes ...g.Node) g.Node {
	var out g.Group
	for _, n := range nodes {
		if n == nil {
			continue
		}
		if len(out) > 0 {
			out = append(out, g.Text(" "))
		}
		out = append(out, n)
	}
	return out
}

// span is a text with a style; nil if there is none.
func span(name, text string) g.Node { return g.If(text != "", h.Span(h.Class(name), g.Text(text))) }

// dim is a text that matters less, which may be empty.
func dim(text string, attributes ...g.Node) g.Node {
	return h.Span(h.Class("dim"), g.Group(attributes), g.Text(text))
}

// note is a paragraph beside the matter.
func note(children ...g.Node) g.Node { return h.P(h.Class("note"), g.Group(children)) }

func hidden(holds bool) g.Node { return g.If(holds, g.Attr("hidden")) }

// size is how many letters a field has room for.
func size(letters string) g.Node { return g.Attr("size", letters) }

// unseen is for screen readers.
func unseen(text string) g.Node { return h.Span(h.Class("hidden"), g.Text(text)) }

// decoration is what screen readers pass over.
func decoration() g.Node { return h.Aria("hidden", "true") }

func th(title string) g.Node { return h.Th(h.Scope("col"), g.Text(title)) }

func thNum(title string) g.Node { return h.Th(h.Scope("col"), h.Class("num"), g.Text(title)) }

func tdNum(text string) g.Node { return h.Td(h.Class("num"), g.Text(text)) }

func td(text string) g.Node { return h.Td(g.Text(text)) }

// pairs are facts as a list.
func pairs(name string, list []fact) g.Node {
	return h.Dl(h.Class(name), g.Map(list, func(f fact) g.Node {
		return h.Div(h.Dt(g.Text(f.Key)), h.Dd(g.Text(f.Value)))
	}))
}

// rect is a part of a drawing. Where it is given in percent, it goes by the width of the drawing.
func rect(name string, children ...g.Node) g.Node {
	return g.El("rect", g.If(name != "", h.Class(name)), g.Group(children))
}

func left(percent float64) g.Node { return g.Attr("x", share(percent)) }

func wide(percent float64) g.Node { return h.Width(share(percent)) }

func top(pixels int) g.Node { return g.Attr("y", strconv.Itoa(pixels)) }

func high(pixels int) g.Node { return h.Height(strconv.Itoa(pixels)) }

// rounded are corners.
func rounded(radius string) g.Node { return g.Attr("rx", radius) }

// all fills a drawing.
func all() g.Node { return g.Group{h.Width("100%"), h.Height("100%")} }

// tip is what a part of a drawing says when it is pointed at.
func tip(text string) g.Node { return g.El("title", g.Text(text)) }

func share(percent float64) string { return decimal(percent) + "%" }

func decimal(number float64) string { return strconv.FormatFloat(number, 'f', -1, 64) }

// swatch shows a color beside what it means.
func swatch(part g.Node) g.Node { return h.SVG(h.Class("swatch"), decoration(), part) }

func (o outcome) html() g.Node {
	return h.Span(class("outcome", "o-"+o.Class), h.Span(decoration(), g.Text(o.Mark)), g.Text(" "+o.Word))
}

// html is a line with its time, in a drawing of this height.
func (t tick) html(name, height string, down int) g.Node {
	return g.Group{t.line(name, height), g.El("text", left(t.At), g.Attr("dx", "4"), top(down), g.Text(t.Label))}
}

func (t tick) line(name, height string) g.Node {
	return g.El("line", g.If(name != "", h.Class(name)), g.Attr("x1", share(t.At)), g.Attr("x2", share(t.At)), g.Attr("y1", "0"), g.Attr("y2", height))
}

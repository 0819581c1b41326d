package clocks

import (
	"cmp"
	"slices"
	"time"
)

// Source is whose clock it is: a node's, by which its kubelet states times, or a component's,
// such as the deployment-controller's.
type Source struct{ Node, Component string }

// Watcher is the source that is rollspan itself.
var Watcher = Source{Component: "rollspan"}

// Finding says that a clock is off, by how much as of when, or that it is right again.
type Finding struct {
	Source Source
	// Namespace is whose Events say so; empty where nobody else can have written it.
	Namespace string
	Offset    time.Duration
	At        time.Time
}

// key finds a clock. Anybody who may write Events somewhere can let them state any time in
// the name of any source. So what the Events of a namespace state counts in it alone.
type key struct {
	namespace string
	source    Source
}

// MostOfNamespace bounds the clocks of one namespace: it has as many nodes at the most.
const MostOfNamespace = 5000

// mostComponents bounds those of them that are no node's, as anybody may name any.
const mostComponents = 64

// mostTrusted bounds the nodes whose clocks are known by what is trusted: pods may name nodes
// that there are not.
const mostTrusted = 4 * MostOfNamespace

// Clocks are those of a cluster.
type Clocks struct {
	Watch  watch  // rollspan's own
	Writes Writes // by which its arrivals are
	byKey  map[key]*Clock
	// nodes and components count them by namespace.
	nodes, components map[string]int
	report            func(Finding)
}

// New returns clocks that are all right. What is found is reported, if report is not nil.
func New(report func(Finding)) *Clocks {
	return &Clocks{byKey: map[key]*Clock{}, nodes: map[string]int{}, components: map[string]int{}, report: report}
}

// Of is the clock of a source by what is stated in a namespace: with all that is trusted
// where that is empty. It is nil where there are too many.
func (cs *Clocks) Of(namespace string, source Source) *Clock {
	k := key{namespace, source}
	if c := cs.byKey[k]; c != nil {
		return c
	}
	count, most := cs.nodes, MostOfNamespace
	switch {
	case source.Component != "":
		count, most = cs.components, mostComponents
	case namespace == "":
		most = mostTrusted
	}
	if count[namespace] >= most {
		return nil
	}
	c := newClock(source)
	if namespace != "" {
		c.others = cs
	}
	c.report = func(f Finding) {
		f.Namespace = namespace
		cs.tell(f)
	}
	count[namespace]++
	cs.byKey[k] = c
	return c
}

// Known is the clock of a source, nil if it has stated nothing yet.
func (cs *Clocks) Known(namespace string, source Source) *Clock {
	return cs.byKey[key{namespace, source}]
}

func (cs *Clocks) tell(f Finding) {
	if cs.report != nil {
		cs.report(f)
	}
}

// Sweep forgets the clocks that have not been used since.
func (cs *Clocks) Sweep(since time.Time) {
	for k, c := range cs.byKey {
		if k.namespace == "" || !c.used.Before(since) {
			continue
		}
		delete(cs.byKey, k)
		cs.forget(k)
	}
	// What is trusted is needed while it is of a namespace's.
	used := map[*Clock]bool{}
	for _, c := range cs.byKey {
		used[c.trusted] = true
	}
	for k, c := range cs.byKey {
		if k.namespace == "" && !used[c] && c.used.Before(since) {
			delete(cs.byKey, k)
			cs.forget(k)
		}
	}
}

func (cs *Clocks) forget(k key) {
	count := cs.nodes
	if k.source.Component != "" {
		count = cs.components
	}
	if count[k.namespace]--; count[k.namespace] == 0 {
		delete(count, k.namespace)
	}
}

// Wrong are the nodes whose clocks are off, as nobody else can have written it, in order of
// their names; rollspan's own is first, if it is.
func (cs *Clocks) Wrong() []Finding {
	var wrong []Finding
	for k, c := range cs.byKey {
		if k.namespace == "" && k.source.Node != "" && c.Offset() != 0 {
			wrong = append(wrong, Finding{Source: k.source, Offset: c.Offset(), At: c.used})
		}
	}
	slices.SortFunc(wrong, func(a, b Finding) int { return cmp.Compare(a.Source.Node, b.Source.Node) })
	if w := &cs.Watch; w.offset != 0 {
		wrong = slices.Insert(wrong, 0, Finding{Source: Watcher, Offset: w.offset, At: w.at})
	}
	return wrong
}

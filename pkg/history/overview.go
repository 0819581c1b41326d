package history

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// OverviewQuery says of what an Overview is.
type OverviewQuery struct {
	// Filter says whose changes are meant. From and To bound the time; default the hour that
	// ends now.
	Filter
	// Steps is in how many pieces of the same length that time is cut to count Events. Default
	// 60, at most 1,000.
	Steps int
}

// Overview is what happened in a time, so that what happened together is seen together.
type Overview struct {
	From, To time.Time
	// Step is how long a piece of the time is.
	Step time.Duration
	// Events are how many Kubernetes Events there were in each piece, and Reasons how many for
	// each reason.
	Events  []EventCount
	Reasons []Facet
	// Workloads are the objects that changed, those that began to first.
	Workloads []Lane
	// Nodes are those on which pods of these changes ran, and those that changed, by name. The
	// pods whose node is not known are on the node without a name.
	Nodes []NodeLane
	// LeftOut is how many changes and pods there were no room for.
	LeftOut int
}

// EventCount is how many Events there were. An Event that stands for several counts when it came
// first, and the others of it when it came last: when they came between is not known.
type EventCount struct{ Normal, Warning int }

// Lane is what happened to one object.
type Lane struct {
	Namespace, Kind, Name string
	// Changes are in order of their begin.
	Changes []Summary
	// Pods are those that these changes tell of, in order of their begin.
	Pods []Pod
	// Events are those on the spans of its changes, for each piece of the time.
	Events []EventCount
}

// NodeLane is what happened on one node.
type NodeLane struct {
	Name string
	// Changes are those of the node itself.
	Changes []Summary
	Pods    []Pod
}

// Pod is what the changes tell of a pod, also of one that is gone. A time that they do not tell
// is zero.
type Pod struct {
	Namespace, Name, UID string
	// Node is where it ran.
	Node string
	// Kind and Workload are the object whose change tells of it.
	Kind, Workload string
	// Change is the last one that tells of it.
	Change ID
	// Created is when it was created, and Ready when it was ready or, if it is to end, had
	// ended. Of a pod that never was, Ready is zero.
	Created, Ready time.Time
	// Stopping is when it began to stop, and Gone when it was.
	Stopping, Gone time.Time
	// Failed says that its start or its run failed, and Reason why.
	Failed bool
	Reason string
}

// Bounds of an Overview.
const (
	defaultSteps = 60
	maxSteps     = 1000
	maxLanes     = 500
	maxOfLane    = 500 // changes, and as many pods, of one object or node
)

// told is a change as an overview sees it.
type told struct {
	summary *Summary
	facts   *facts
}

// overviewer puts an Overview together.
type overviewer struct {
	*Overview
	lanes   map[objectName]*Lane
	nodes   map[string]*NodeLane
	pods    map[string]*Pod // by UID, or by the names
	of      map[*Pod]objectName
	reasons map[string]int
}

type objectName struct{ namespace, kind, name string }

// bounded fills in what a query leaves out.
func (q OverviewQuery) bounded(now time.Time) OverviewQuery {
	if q.To.IsZero() {
		q.To = now
	}
	if q.From.IsZero() || !q.From.Before(q.To) {
		q.From = q.To.Add(-time.Hour)
	}
	if q.Steps <= 0 {
		q.Steps = defaultSteps
	}
	q.Steps = min(q.Steps, maxSteps)
	return q
}

func newOverviewer(q OverviewQuery) *overviewer {
	return &overviewer{
		Overview: &Overview{
			From: q.From, To: q.To, Step: max(q.To.Sub(q.From)/time.Duration(q.Steps), 1),
			Events: make([]EventCount, q.Steps),
		},
		lanes: map[objectName]*Lane{}, nodes: map[string]*NodeLane{},
		pods: map[string]*Pod{}, of: map[*Pod]objectName{}, reasons: map[string]int{},
	}
}

// add takes in a change. They come in order of their begin.
func (o *overviewer) add(t told) {
	s := t.summary
	name := objectName{s.Namespace, s.Kind, s.Name}
	lane := o.lanes[name]
	if lane == nil {
		if len(o.lanes) == maxLanes {
			o.LeftOut += 1 + len(t.facts.Pods)
			return
		}
		lane = &Lane{Namespace: s.Namespace, Kind: s.Kind, Name: s.Name, Events: make([]EventCount, len(o.Events))}
		o.lanes[name] = lane
	}
	o.put(&lane.Changes, s)
	if s.Kind == "Node" {
		if n := o.node(s.Name); n != nil {
			o.put(&n.Changes, s)
		}
	}
	for _, e := range t.facts.Events {
		o.count(lane, &e)
	}
	for i := range t.facts.Pods {
		o.pod(name, s.ID, &t.facts.Pods[i])
	}
}

func (o *overviewer) put(list *[]Summary, s *Summary) {
	if len(*list) == maxOfLane {
		o.LeftOut++
		return
	}
	*list = append(*list, *s)
}

func (o *overviewer) node(name string) *NodeLane {
	n := o.nodes[name]
	if n == nil && len(o.nodes) < maxLanes {
		n = &NodeLane{Name: name}
		o.nodes[name] = n
	}
	return n
}

func (o *overviewer) count(lane *Lane, e *eventFact) {
	if e.At.Before(o.From) || !e.At.Before(o.To) {
		return
	}
	step := min(int(e.At.Sub(o.From)/o.Step), len(o.Events)-1)
	for _, c := range []*EventCount{&o.Events[step], &lane.Events[step]} {
		if e.Warning {
			c.Warning += e.Count
		} else {
			c.Normal += e.Count
		}
	}
	o.reasons[e.Reason] += e.Count
}

// pod takes in what a change tells of a pod: another one may have told of its begin.
func (o *overviewer) pod(of objectName, id ID, f *podFact) {
	key := cmp.Or(f.UID, f.Namespace+"/"+f.Name)
	p := o.pods[key]
	if p == nil {
		p = &Pod{Namespace: f.Namespace, Name: f.Name, UID: f.UID}
		o.pods[key] = p
	}
	p.Kind, p.Workload, p.Change = of.kind, of.name, id
	o.of[p] = of
	p.Node = cmp.Or(f.Node, p.Node)
	p.Reason = cmp.Or(f.Reason, p.Reason)
	p.Failed = p.Failed || f.Failed
	for _, t := range []struct {
		told time.Time
		to   *time.Time
	}{{f.Created, &p.Created}, {f.Ready, &p.Ready}, {f.Stopping, &p.Stopping}, {f.Gone, &p.Gone}} {
		if !t.told.IsZero() {
			*t.to = t.told
		}
	}
}

// first is the earliest that is known of a pod.
func (p *Pod) first() time.Time {
	for _, t := range []time.Time{p.Created, p.Ready, p.Stopping} {
		if !t.IsZero() {
			return t
		}
	}
	return p.Gone
}

// done returns the Overview.
func (o *overviewer) done() *Overview {
	byBegin := slices.SortedFunc(maps.Values(o.pods), func(a, b *Pod) int {
		return cmp.Or(a.first().Compare(b.first()), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	for _, p := range byBegin {
		if !p.Gone.IsZero() && p.Gone.Before(o.From) || !p.first().Before(o.To) {
			continue
		}
		lists := []*[]Pod{&o.lanes[o.of[p]].Pods}
		if n := o.node(p.Node); n != nil {
			lists = append(lists, &n.Pods)
		}
		for _, list := range lists {
			if len(*list) == maxOfLane {
				o.LeftOut++
			} else {
				*list = append(*list, *p)
			}
		}
	}
	o.Reasons = facets(o.reasons)
	for _, l := range o.lanes {
		o.Workloads = append(o.Workloads, *l)
	}
	slices.SortFunc(o.Workloads, func(a, b Lane) int {
		return cmp.Or(placeOf(&a.Changes[0]).compare(placeOf(&b.Changes[0])))
	})
	for _, n := range o.nodes {
		o.Nodes = append(o.Nodes, *n)
	}
	slices.SortFunc(o.Nodes, func(a, b NodeLane) int { return cmp.Compare(a.Name, b.Name) })
	return o.Overview
}

// facets are counts, the most frequent first.
func facets(counts map[string]int) []Facet {
	var list []Facet
	for v, n := range counts {
		if v != "" {
			list = append(list, Facet{v, n})
		}
	}
	slices.SortFunc(list, func(a, b Facet) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value)) })
	return list[:min(len(list), maxFacet)]
}

// facetCounter counts what changes have.
type facetCounter struct{ namespaces, kinds, names, changes, outcomes, reasons map[string]int }

func newFacetCounter() *facetCounter {
	return &facetCounter{map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}}
}

func (c *facetCounter) add(s *Summary) {
	c.namespaces[s.Namespace]++
	c.kinds[s.Kind]++
	c.names[s.Name]++
	c.changes[string(s.Change)]++
	c.outcomes[string(s.Outcome)]++
	c.reasons[s.Reason]++
}

func (c *facetCounter) done() Facets {
	return Facets{
		Namespaces: facets(c.namespaces), Kinds: facets(c.kinds), Names: facets(c.names),
		Changes: facets(c.changes), Outcomes: facets(c.outcomes), Reasons: facets(c.reasons),
	}
}

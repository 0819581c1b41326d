package metrics

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of what alarms are raised by.
const (
	// maxEventReasons bounds the label reason of Events: there are some hundred in
	// Kubernetes, and anybody may write others.
	maxEventReasons = 256
	// maxEventKinds bounds the label kind of Events, and maxResources the label resource.
	maxEventKinds = 64
	maxResources  = 64
	// maxStates is how many series a gauge of what goes on has, such as nodes that are not
	// Ready. Further ones are in one series.
	maxStates = 500
)

// The kinds that alarms by Events are about.
const (
	kindPod  = "Pod"
	kindNode = "Node"
)

// eventTypes are the values of the label type of Events.
var eventTypes = []string{"Normal", "Warning", other}

// Alarms are the metrics that the alarms of deploy/helm/rollspan/files/alerts.yaml go by. It is a
// prometheus.Collector, and safe for concurrent use.
type Alarms struct {
	options       Options
	events        *family
	unschedulable *family
	slow          *family
	begun         *prometheus.CounterVec
	untold        prometheus.Counter
	overflow      prometheus.Counter
	// watched are the reasons that alarms go by, of Events about pods and nodes. Of the sets of label
	// values with others there may be maxSets, so that as many are left for those.
	watched   []string
	rest      *limit
	reasons   *limit
	kinds     *limit
	resources *limit

	mu     sync.Mutex
	states States
}

var _ prometheus.Collector = (*Alarms)(nil)

// States are what goes on.
type States struct {
	Nodes      []NodeState
	Rollouts   []RolloutState
	CrashLoops []CrashLoop
}

// NodeState is that a node is not what its pods need it to be; Cause is as the attribute
// rollspan.cause has it.
type NodeState struct{ Node, Cause string }

// RolloutState is a rollout that is open since a time, and waits for nobody to go on with it.
type RolloutState struct {
	Namespace, Kind, Workload string
	Since                     time.Time
}

// CrashLoop is a container that crashes again and again.
type CrashLoop struct{ Namespace, Pod, Container string }

// NewAlarms returns metrics that have counted nothing. The reasons of Events that alarms go by
// are counted as such however many others there are.
func NewAlarms(o Options, reasons []string) *Alarms {
	counter := func(name, help string, place int, labels ...string) *family {
		return newFamily(prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "rollspan", Name: name, Help: help}, labels).MetricVec, place, nil)
	}
	a := &Alarms{
		options: o,
		events: counter("events_total", "How often Events happened, about objects of a kind.", 1,
			"namespace", "type", "reason", "kind"),
		unschedulable: counter("failed_scheduling_total", "How often a pod could not be scheduled because nodes lack a resource. The resource is empty where none is named.", 1,
			"namespace", "resource"),
		slow: counter("slow_rollouts_total", "Rollouts that took more than twice the median of those before, and a minute longer.", 2,
			"namespace", "workload", "kind"),
		begun: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "rollspan", Name: "alarms_total",
			Help: "Alarms that began, as a webhook is told of them."}, []string{"alarm"}),
		untold: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "rollspan", Name: "alarms_untold_total",
			Help: "How often an alarm had no room: too many were on already, or began at once. A webhook is not told of it."}),
		overflow: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "rollspan", Name: "events_overflow_total",
			Help: "Events that were counted with the namespace \"" + other + "\" because there are too many series already."}),
		watched: slices.Clone(reasons), rest: newLimit(maxSets),
		reasons: newLimit(maxEventReasons), kinds: newLimit(maxEventKinds), resources: newLimit(maxResources),
	}
	// What rest refuses has a set for each type and reason besides.
	a.events.sets = newLimit(2*maxSets + len(eventTypes)*(maxEventReasons+1))
	for _, reason := range reasons {
		a.reasons.admits(reason)
		for _, eventType := range eventTypes {
			// The first one about a node of the cluster may come when there is no room left.
			a.events.sets.admits(strings.Join([]string{"", eventType, reason, kindNode}, "\xff"))
		}
	}
	for _, kind := range []string{kindPod, kindNode} {
		a.kinds.admits(kind)
	}
	for _, resource := range []string{"", "cpu", "memory", "pods"} {
		a.resources.admits(resource)
	}
	return a
}

// Event counts how often an Event has happened anew.
func (a *Alarms) Event(namespace, eventType, reason, kind string, n int) {
	if !slices.Contains(eventTypes, eventType) {
		eventType = other
	}
	if !word.MatchString(reason) {
		reason = other
	}
	if !word.MatchString(kind) {
		kind = other
	}
	labels := []string{namespace, eventType, a.reasons.orOther(reason), a.kinds.orOther(kind)}
	watched := slices.Contains(a.watched, reason) && (kind == kindPod || kind == kindNode)
	if !watched && !a.rest.admits(strings.Join(labels, "\xff")) {
		labels[0], labels[3] = other, other // or there would be as many again for each kind
		a.overflow.Inc()
	}
	a.add(a.events, labels, n)
}

// Unschedulable counts how often a pod could not be scheduled for want of a resource; empty
// where that is not what was in the way.
func (a *Alarms) Unschedulable(namespace, resource string, n int) {
	a.add(a.unschedulable, []string{namespace, a.resources.orOther(resource)}, n)
}

// Rollout counts a rollout that is complete, and says whether it was slow: the series begins
// with the first one, so that the first slow one shows as an increase. Without
// Options.WorkloadName nothing is counted.
func (a *Alarms) Rollout(namespace, workload, kind string, slow bool) {
	if !a.options.WorkloadName {
		return
	}
	n := 0
	if slow {
		n = 1
	}
	a.add(a.slow, []string{namespace, workload, kind}, n)
}

// Began counts an alarm that has begun.
func (a *Alarms) Began(alarm string) { a.begun.WithLabelValues(alarm).Inc() }

// Untold counts an alarm for which there was no room.
func (a *Alarms) Untold() { a.untold.Inc() }

// Set says what goes on now. The lists are a's from then on.
func (a *Alarms) Set(s States) {
	// Of too many it is the same ones that have series of their own.
	slices.SortFunc(s.Nodes, func(a, b NodeState) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Cause, b.Cause))
	})
	slices.SortFunc(s.Rollouts, func(a, b RolloutState) int { return a.Since.Compare(b.Since) })
	slices.SortFunc(s.CrashLoops, func(a, b CrashLoop) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Pod, b.Pod), strings.Compare(a.Container, b.Container))
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states = s
}

func (a *Alarms) add(f *family, labels []string, n int) {
	if f.add(labels, float64(n)) {
		a.overflow.Inc()
	}
}

var (
	nodeStateDesc = prometheus.NewDesc("rollspan_node_disruptions",
		"1 while a node is not what its pods need it to be, by why: NotReady, Cordoned, MemoryPressure, a problem's condition.", []string{"node", "cause"}, nil)
	crashLoopDesc = prometheus.NewDesc("rollspan_crash_loops",
		"1 while a container crashes again and again: the kubelet backs off, or did so lately, and it was restarted three times or more.", []string{"namespace", "pod", "container"}, nil)
)

// openDesc is the metric of rollouts that are open.
func (a *Alarms) openDesc() *prometheus.Desc {
	labels := []string{"namespace", "kind"}
	if a.options.WorkloadName {
		labels = []string{"namespace", "workload", "kind"}
	}
	return prometheus.NewDesc("rollspan_open_rollout_start_time_seconds",
		"When the rollout began that is open for longest, since the epoch. Those that are paused are none.", labels, nil)
}

// Describe names the metrics.
func (a *Alarms) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range a.collectors() {
		m.Describe(ch)
	}
	ch <- nodeStateDesc
	ch <- crashLoopDesc
	ch <- a.openDesc()
}

// Collect reads them.
func (a *Alarms) Collect(ch chan<- prometheus.Metric) {
	for _, m := range a.collectors() {
		m.Collect(ch)
	}
	a.mu.Lock()
	states := a.states
	a.mu.Unlock()
	gauge := func(d *prometheus.Desc, series map[string]float64) {
		for key, v := range series {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, strings.Split(key, "\xff")...)
		}
	}
	nodes := bounded{}
	for _, n := range states.Nodes {
		nodes.count(n.Node, n.Cause)
	}
	gauge(nodeStateDesc, nodes)
	loops := bounded{}
	for _, l := range states.CrashLoops {
		loops.count(l.Namespace, l.Pod, l.Container)
	}
	gauge(crashLoopDesc, loops)
	open := bounded{}
	for _, r := range states.Rollouts {
		labels := []string{r.Namespace, r.Kind}
		if a.options.WorkloadName {
			labels = []string{r.Namespace, r.Workload, r.Kind}
		}
		key := open.key(labels)
		if at, ok := open[key]; !ok || float64(r.Since.Unix()) < at {
			open[key] = float64(r.Since.Unix())
		}
	}
	gauge(a.openDesc(), open)
}

func (a *Alarms) collectors() []prometheus.Collector {
	all := []prometheus.Collector{a.events, a.unschedulable, a.begun, a.untold, a.overflow}
	if a.options.WorkloadName {
		all = append(all, a.slow)
	}
	return all
}

// bounded are the values of what goes on, by labels: maxStates of them, and one for the rest.
type bounded map[string]float64

func (b bounded) count(labels ...string) { b[b.key(labels)]++ }

func (b bounded) key(labels []string) string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	key := strings.Join(labels, "\xff")
	if _, ok := b[key]; !ok && len(b) >= maxStates {
		return strings.Join(slices.Repeat([]string{other}, len(labels)), "\xff")
	}
	return key
}

package causality

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/records"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// Options of an Engine. The zero value is ready to use.
type Options struct {
	// Settle is how long, in stream time, a finished change waits for late
	// observations before its spans are handed out. Streams of different
	// kinds may lag each other by that much. Default 5s.
	Settle time.Duration
	// Linger is how long a change that has ended waits for pods that are
	// still stopping before it is handed out without them; their spans
	// follow. Default 1m.
	Linger time.Duration
	// Quiet is how long Events about an object with no open change wait for
	// more of them before they make a trace of their own. Default 30s.
	Quiet time.Duration
	// TraceContext says what becomes of the trace context that a deployer
	// leaves on a workload. Default TraceContextParent.
	TraceContext TraceContextMode
	// TraceContextKeys are the annotations that hold one, that which counts
	// first coming first. Default DefaultTraceContextKeys().
	TraceContextKeys []string
	// InProgressAfter is how long a change is open before a span "in progress"
	// says what it waits for. Zero: never, it is told when it has ended.
	InProgressAfter time.Duration
	// InProgressEvery is how long after that the next one follows, and so on;
	// a change that is open for more than an hour has one an hour. Default 3m.
	InProgressEvery time.Duration
	// OnFault is called for each Fault, by whoever called the engine. It must not
	// call the engine. Default: nobody is told; Stats count them.
	OnFault func(Fault)
	// OnClock is called where a clock turns out to be off by a second or more, when it has
	// jumped, and when it is right again. It must not call the engine. Default: nobody is told.
	OnClock func(Clock)
	// TraceContextNamespaces are the namespaces whose workloads may join the trace of
	// who deployed them; of the others the context is linked to. Default: all.
	TraceContextNamespaces []string
	// WorkloadLabels and WorkloadAnnotations are the keys of labels and annotations that
	// are on the spans of the workloads that have them, as the attributes of the semantic
	// conventions: k8s.deployment.label.<key>. An annotation that IsCopy is not. Default:
	// none.
	WorkloadLabels, WorkloadAnnotations []string
	// EventBytes bounds the memory that Events take, which anybody may write, as
	// the engine estimates it. Beyond it Events are forgotten, of the namespace that
	// has most of them; see ShedReason. Default 128 MiB, which holds some 100,000.
	EventBytes int
	// NodeProblemConditions are the conditions of Nodes that are disruptions when they are
	// True, beside Kubernetes' own and those that node-problem-detector ships. Of the
	// others a Warning about the Node must say so.
	NodeProblemConditions []string
	// Records says of which Events log records are handed out, one for each time at which the
	// Event happens, as a spans.Trace with a Record. Default: of none.
	Records func(*corev1.Event) bool
}

// IsCopy reports whether an annotation holds a copy of the object that has it, by its key.
func IsCopy(annotation string) bool { return workloads.IsCopy(annotation) }

// shownBy are the keys that the options name, each once.
func shownBy(opts *Options) workloads.Shown {
	once := func(keys []string) []string { return slices.Compact(slices.Sorted(slices.Values(keys))) }
	return workloads.Shown{
		Labels:      once(opts.WorkloadLabels),
		Annotations: slices.DeleteFunc(once(opts.WorkloadAnnotations), IsCopy),
	}
}

// IsNodeProblem reports whether a text can be one of Options.NodeProblemConditions.
func IsNodeProblem(name string) bool { return nodes.IsConditionType(name) }

// ShedReason is why an Event was forgotten before its time. The zero value is none.
type ShedReason string

const (
	// ShedTold is that a span has it already, so that of all Events it is needed
	// least. Should it repeat, it is taken for another one.
	ShedTold ShedReason = "told"
	// ShedUntold is that Events took too much memory, and those of its namespace
	// had not been told yet. No trace tells of it.
	ShedUntold ShedReason = "untold"
	// ShedObject is that its object has too many, none of which had been told
	// yet. No trace tells of it.
	ShedObject ShedReason = "object"
)

// Stats counts what the engine met. All counters only grow, but Open and EventBytes.
type Stats struct {
	// Observations by the kind of their object.
	Observations map[string]int64
	// Incomplete is how many observations lacked what identifies or dates
	// them: no object, no UID.
	Incomplete int64
	// IncompleteEvents is how many Events lacked a reason, or the kind or UID
	// of their object. They are kept where they can be.
	IncompleteEvents int64
	// LateRepetitions is how many times an Event repeated that was handed
	// out already: these are told in their own time.
	LateRepetitions int64
	// Repeated is how many spans were not handed out because another one
	// had the same ID: two objects state that they are the same.
	Repeated int64
	// MalformedContexts is how many values of the annotations for trace
	// contexts were none, each counted once per workload.
	MalformedContexts int64
	// Traces and Spans is what was handed out.
	Traces, Spans int64
	// Orphans is what no change explains, by kind: Events that were handed out
	// as activity, and pods and ReplicaSets that were gone for a while without
	// their workload being known, so that no trace tells of them.
	Orphans map[string]int64
	// Faults is how often what was known of an object was dropped, by why.
	Faults map[FaultKind]int64
	// Shed is how many Events were forgotten for want of room, and ShedIn the
	// namespace of the last one.
	Shed   map[ShedReason]int64
	ShedIn string
	// EventBytes is the memory that Events take, as the engine estimates it. It
	// may fall.
	EventBytes int64
	// Clocks are the nodes' clocks that are off, and the watcher's, if it is. They are as
	// many as there are nodes at most.
	Clocks []Clock
	// Open is how many changes are open or not handed out yet.
	Open int64
	// Rollouts are those that go on, and Disruptions what ails nodes now, in no order.
	Rollouts    []OpenRollout
	Disruptions []Ongoing
	// RecordsLost is how many log records had no room to wait, while the engine was held.
	RecordsLost int64
}

// OpenRollout is a rollout that goes on.
type OpenRollout = workloads.OpenRollout

// Ongoing is a disruption that goes on.
type Ongoing = nodes.Ongoing

// RecordsWithin is how long a log record waits at most to be certain of its trace: with a longer
// Options.Settle it names only what is told already.
const RecordsWithin = records.MaxDelay

// Ref names an object that Engine.About is asked about.
type Ref = records.Ref

// Known is what the engine knows of it.
type Known = records.Known

// TraceContextMode is what becomes of the trace context that a deployer leaves
// on a workload.
type TraceContextMode string

const (
	// TraceContextParent makes a change a child of the deployer's span, in the
	// deployer's trace, if the context is new. An old one gives a link.
	TraceContextParent TraceContextMode = "parent"
	// TraceContextLink leaves each change a trace of its own, with a link to the
	// deployer's span.
	TraceContextLink TraceContextMode = "link"
	// TraceContextIgnore does not read contexts.
	TraceContextIgnore TraceContextMode = "ignore"
)

// DefaultTraceContextKeys are the annotations that contexts are read from: that
// of KEP-5915, and the name of the W3C's header.
func DefaultTraceContextKeys() []string {
	return []string{"tracing.k8s.io/traceparent", "traceparent"}
}

package nodes

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// shipped are the conditions that node-problem-detector comes with (its folder config). They
// are True while there is the problem.
var shipped = []corev1.NodeConditionType{
	"ContainerRuntimeUnhealthy", "CorruptDockerOverlay2", "CperHardwareErrorFatal", "DiskBadBlock",
	"FrequentContainerdRestart", "FrequentDockerRestart", "FrequentKubeletRestart", "FrequentUnregisterNetDevice",
	"KernelDeadlock", "KubeletUnhealthy", "KubeProxyUnhealthy", "NTPProblem", "ReadonlyFilesystem", "XfsShutdown",
}

// own are the kinds of disruptions that are known by more than a condition's name, which no
// problem may have.
var own = []disruptionKind{disruptionKind(corev1.NodeReady), NotReady, Unreachable, memoryPressure, diskPressure, pidPressure, NetworkUnavailable, Cordoned, Rebooted, KubeletRestarted, Deleted}

// maxConditions bounds the conditions that are kept of a node: whoever may write its status
// may write any.
const maxConditions = 64

// IsConditionType reports whether a text can be the type of a problem: a label's name.
func IsConditionType(name string) bool {
	if name == "" || len(name) > 63 || slices.Contains(own, disruptionKind(name)) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("-_./", r)
	})
}

// problemConditions are those that node-problem-detector ships, and others.
func problemConditions(others []string) []corev1.NodeConditionType {
	all := slices.Clone(shipped)
	for _, name := range others {
		all = append(all, corev1.NodeConditionType(name))
	}
	return all
}

// problemKind says of a condition that is not Kubernetes' own which disruption it is, "" if it
// is none now, and whether that is certain: of one that nobody named a Warning has to say so.
func (n *Record) problemKind(in *corev1.NodeCondition) (kind disruptionKind, certain, known bool) {
	if !IsConditionType(string(in.Type)) || n.Conditions[in.Type] == nil && len(n.Conditions) >= maxConditions {
		return "", false, false
	}
	if in.Status != corev1.ConditionTrue {
		return "", true, true
	}
	return disruptionKind(in.Type), slices.Contains(n.Problems, in.Type), true
}

// warningReach is how long before or after a condition became True a Warning about the node may
// say that this is a problem. Of a merit, which may be there for months, one may speak later.
const warningReach = time.Minute

// ObserveWarnings begins the disruptions of which only now a Warning about the node says that
// the condition is a problem, and no merit: the streams are apart, so that either may come
// first.
func (n *Record) ObserveWarnings() {
	if n.Gone {
		return
	}
	var doubtful []corev1.NodeConditionType
	for kind, c := range n.Conditions {
		if c.doubtful != nil {
			doubtful = append(doubtful, kind)
		}
	}
	slices.Sort(doubtful)
	for _, kind := range doubtful {
		c := n.Conditions[kind]
		d := c.doubtful
		if i := slices.IndexFunc(n.Events, func(ev *podlife.Event) bool { return d.warnedOf(ev) }); i >= 0 {
			d.by = n.Events[i].Component
			c.doubtful = nil
			over := d.Over
			if d = n.begin(d); over {
				d.Over = true
			} else {
				c.open = d
			}
		}
	}
}

// warnedOf reports whether an Event is a Warning that tells of the condition when it became True.
func (d *Disruption) warnedOf(ev *podlife.Event) bool {
	return ev.EventType == corev1.EventTypeWarning && d.namedBy(ev) && slices.ContainsFunc(ev.Occurrences,
		func(o podlife.Occurrence) bool { return o.At.Sub(d.Start.At()).Abs() <= warningReach })
}

// namedBy reports whether an Event has the condition's reason, or its type in the message, as
// node-problem-detector's have ("Node condition KernelDeadlock is now: False, reason: …").
func (d *Disruption) namedBy(ev *podlife.Event) bool {
	if d.Reason != "" && d.Reason == ev.Reason {
		return true
	}
	return strings.Contains(ev.Message(), string(d.Kind)) && slices.Contains(strings.FieldsFunc(ev.Message(), func(r rune) bool { return strings.ContainsRune(" \t\n,:;()[]\"'", r) }), string(d.Kind))
}

// problemsNamedBy are the kinds of the node's problems that an Event tells of.
func (n *Record) problemsNamedBy(ev *podlife.Event) (kinds []disruptionKind) {
	for _, d := range n.Disruptions {
		if d.problem && d.namedBy(ev) {
			kinds = append(kinds, d.Kind)
		}
	}
	return kinds
}

// IsProblem reports whether the disruption is a condition that is not Kubernetes' own.
func (d *Disruption) IsProblem() bool { return d.problem }

// FoundBy is who found the problem: who warned of it, where only that makes it one.
func (d *Disruption) FoundBy() string {
	if d.by != "" {
		return d.by
	}
	return attr.ServiceNodeProblemDetector
}

// Ongoing is a disruption that goes on. Cause is as the attribute rollspan.cause has it.
type Ongoing struct {
	Node, UID, Cause, Reason, Message string
	Since                             time.Time
	// Place is where its trace will be.
	Place ledger.Place
}

// Ongoing are the disruptions that go on, in no order.
func (ns *Nodes) Ongoing() (all []Ongoing) {
	for _, n := range ns.ByID {
		for _, d := range n.Disruptions {
			if !d.Over {
				all = append(all, Ongoing{n.Name, string(n.UID), string(d.Kind), d.Reason, d.Message, d.Start.At(), d.Place()})
			}
		}
	}
	return all
}

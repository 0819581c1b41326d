package nodes

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// disruptionKind is what ails a node, as the attribute rollspan.cause has it.
type disruptionKind string

// The kinds of disruptions: conditions of the Node, and what was done to it.
const (
	NotReady           disruptionKind = attr.CauseNotReady
	Unreachable        disruptionKind = attr.CauseUnreachable
	memoryPressure     disruptionKind = attr.CauseMemoryPressure
	diskPressure       disruptionKind = attr.CauseDiskPressure
	pidPressure        disruptionKind = attr.CausePIDPressure
	NetworkUnavailable disruptionKind = attr.CauseNetworkUnavailable
	Cordoned           disruptionKind = attr.CauseCordoned
	Rebooted           disruptionKind = attr.CauseRebooted
	KubeletRestarted   disruptionKind = attr.CauseKubeletRestarted
	Deleted            disruptionKind = attr.CauseDeleted
)

// Disruption is a time during which a node is not what its pods need it to be: it was not
// Ready from 10:02 to 10:09, or is cordoned.
type Disruption struct {
	Node *Record
	Kind disruptionKind
	// key tells it from others of its kind on the node. It is known from the
	// beginning, so that links can point to a trace that is not over yet: the
	// second in which it began, as the objects state it; of a reboot the boot ID.
	key string

	Start, End evidence.Moment
	Ahead      time.Duration // how far the clock was ahead that states its start
	Over       bool
	Outcome    attr.Outcome
	Seen       time.Time // arrival of the latest news of it

	Reason, Message string         // of the condition
	Manager         string         // who cordoned the node
	tainted         bool           // key is the time of the cordon's taint, which every watcher sees
	event           *podlife.Event // the Event that is all that is known of a kubelet's restart
	problem         bool           // it is a condition that is not Kubernetes' own
	by              string         // who warned of it, where only that makes it a problem

	Ledger ledger.Disruption
}

// Condition are the attributes for the node's condition that the disruption is, and its
// status; none if it is no condition.
func (d *Disruption) Condition() []attribute.KeyValue {
	switch d.Kind {
	case NotReady:
		return []attribute.KeyValue{semconv.K8SNodeConditionTypeReady, semconv.K8SNodeConditionStatusConditionFalse}
	case Unreachable:
		return []attribute.KeyValue{semconv.K8SNodeConditionTypeReady, semconv.K8SNodeConditionStatusConditionUnknown}
	case memoryPressure, diskPressure, pidPressure, NetworkUnavailable:
		return []attribute.KeyValue{
			semconv.K8SNodeConditionTypeKey.String(string(d.Kind)), // they are named after it
			semconv.K8SNodeConditionStatusConditionTrue,
		}
	}
	if d.problem {
		return []attribute.KeyValue{semconv.K8SNodeConditionTypeKey.String(string(d.Kind)), semconv.K8SNodeConditionStatusConditionTrue}
	}
	return nil
}

// secondKey is a whole second as part of an identity.
func secondKey(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// EarliestOf is the earliest time that a moment may mean.
func EarliestOf(m evidence.Moment) time.Time {
	if m.Earliest.IsZero() {
		return m.Latest
	}
	return m.Earliest
}

// Place is where the trace of the disruption is, or will be when it is over.
func (d *Disruption) Place() ledger.Place {
	return ledger.OwnPlace(d.Node.Unique(), string(attr.ChangeDisruption), string(d.Kind), d.key)
}

// finish ends a disruption that is open.
func (d *Disruption) finish(how attr.Outcome, at evidence.Moment, seen time.Time) {
	if d == nil || d.Over {
		return
	}
	d.Over, d.Outcome, d.End, d.Seen = true, how, at, seen
}

// describe takes the reason and message over from the condition. The kubelet
// changes the message while the condition lasts; the latest counts.
func (d *Disruption) describe(in *corev1.NodeCondition) {
	if d != nil && (d.Reason != in.Reason || d.Message != in.Message) {
		d.Reason, d.Message = evidence.Shared(d.Node.Disruptions, in.Reason), evidence.Shared(d.Node.Disruptions, in.Message)
	}
}

// Words are what the disruptions of a node keep of one, each text once.
func (d *Disruption) Words() (reason, message string) { return d.Reason, d.Message }

// covers reports whether t lies in the disruption, or at most lead before it or
// tail after it.
func (d *Disruption) covers(t time.Time, lead, tail time.Duration) bool {
	if t.Before(EarliestOf(d.Start).Add(-lead)) {
		return false
	}
	return !d.Over || !t.After(evidence.Latest(d.End.At(), d.Start.At()).Add(tail))
}

// KubeletPeriod is how far what the kubelet does and what it says of its node
// may be apart: it looks for pressure and for cordons, and posts its status,
// every ten seconds.
const KubeletPeriod = 15 * time.Second

// BootReach is how long before the new boot ID is posted the kubelet of a
// rebooted node may have started.
const BootReach = 30 * time.Second

// Lead is how long before its beginning, as the API states it, a disruption
// may have shown.
func (d *Disruption) Lead() time.Duration {
	switch d.Kind {
	case memoryPressure, diskPressure, pidPressure:
		return KubeletPeriod // it evicts first and posts the condition then
	case Rebooted:
		return BootReach
	default:
		return evidence.ArrivalSlack
	}
}

// Tail is how long after its end a disruption may still be spoken of.
func (d *Disruption) Tail() time.Duration {
	switch d.Kind {
	case Cordoned, Rebooted, KubeletRestarted, Deleted:
		return KubeletPeriod
	default:
		return evidence.ArrivalSlack
	}
}

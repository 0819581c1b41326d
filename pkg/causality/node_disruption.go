package causality

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// disruptionKind is what ails a node, as the attribute rollspan.cause has it.
type disruptionKind string

const (
	nodeNotReady           disruptionKind = attr.CauseNotReady
	nodeUnreachable        disruptionKind = attr.CauseUnreachable
	nodeMemoryPressure     disruptionKind = attr.CauseMemoryPressure
	nodeDiskPressure       disruptionKind = attr.CauseDiskPressure
	nodePIDPressure        disruptionKind = attr.CausePIDPressure
	nodeNetworkUnavailable disruptionKind = attr.CauseNetworkUnavailable
	nodeCordoned           disruptionKind = attr.CauseCordoned
	nodeRebooted           disruptionKind = attr.CauseRebooted
	nodeKubeletRestarted   disruptionKind = attr.CauseKubeletRestarted
	nodeDeleted            disruptionKind = attr.CauseDeleted
)

// disruption is a spell during which a node is not what its pods need it to be.
type disruption struct {
	node *nodeRecord
	kind disruptionKind
	// key tells it from others of its kind on the node. It is known from the
	// beginning, so that links can point to a trace that is not over yet: the
	// second in which it began, as the objects state it; of a reboot the boot ID.
	key string

	start, end moment
	over       bool
	outcome    attr.Outcome
	seen       time.Time // arrival of the latest news of it

	reason, message string // of the condition
	manager         string // who cordoned the node
	tainted         bool   // key is the time of the cordon's taint
	event           *event // the Event that is all that is known of a kubelet's restart

	ledger disruptionLedger
}

// secondKey is a whole second as part of an identity.
func secondKey(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// from is the earliest time the moment may mean.
func (m moment) from() time.Time {
	if m.lo.IsZero() {
		return m.hi
	}
	return m.lo
}

func (d *disruption) place() place {
	return ownPlace(d.node.unique(), string(attr.ChangeDisruption), string(d.kind), d.key)
}

// finish ends a disruption that is open.
func (d *disruption) finish(how attr.Outcome, at moment, seen time.Time) {
	if d == nil || d.over {
		return
	}
	d.over, d.outcome, d.end, d.seen = true, how, at, seen
}

// describe takes the reason and message over from the condition. The kubelet
// changes the message while the condition lasts; the latest counts.
func (d *disruption) describe(in *corev1.NodeCondition) {
	if d != nil && (d.reason != in.Reason || d.message != in.Message) {
		d.reason, d.message = shared(d.node.disruptions, in.Reason), shared(d.node.disruptions, in.Message)
	}
}

func (d *disruption) words() (reason, message string) { return d.reason, d.message }

// covers reports whether t lies in the disruption, or at most lead before it or
// tail after it.
func (d *disruption) covers(t time.Time, lead, tail time.Duration) bool {
	if t.Before(d.start.from().Add(-lead)) {
		return false
	}
	return !d.over || !t.After(latest(d.end.at(), d.start.at()).Add(tail))
}

// kubeletPeriod is how far what the kubelet does and what it says of its node
// may be apart: it looks for pressure and for cordons, and posts its status,
// every ten seconds.
const kubeletPeriod = 15 * time.Second

// bootReach is how long before the new boot ID is posted the kubelet of a
// rebooted node may have started.
const bootReach = 30 * time.Second

// lead is how long before its beginning, as the API states it, a disruption
// may have shown.
func (d *disruption) lead() time.Duration {
	switch d.kind {
	case nodeMemoryPressure, nodeDiskPressure, nodePIDPressure:
		return kubeletPeriod // it evicts first and posts the condition then
	case nodeRebooted:
		return bootReach
	default:
		return arrivalSlack
	}
}

// tail is how long after its end a disruption may still be spoken of.
func (d *disruption) tail() time.Duration {
	switch d.kind {
	case nodeCordoned, nodeRebooted, nodeKubeletRestarted, nodeDeleted:
		return kubeletPeriod
	default:
		return arrivalSlack
	}
}

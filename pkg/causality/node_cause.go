package causality

import (
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// nodeCause finds the disruption of its node that led to the loss of a pod; nil
// if none did. Disruptions that began after until, when what came of the loss
// was over, are not looked at, so that it does not matter how late one asks.
func (e *Engine) nodeCause(pod *podlife.Pod, until time.Time) *nodes.Disruption {
	n := e.nodeOf(pod)
	if n == nil || !pod.Lost() {
		return nil
	}
	var best *nodes.Disruption
	for _, kind := range nodes.KindsBehindLoss(pod) {
		for _, d := range n.Disruptions {
			if d.Kind == kind && !nodes.EarliestOf(d.Start).After(until) && d.TookPod(pod) &&
				(best == nil || nodes.EarliestOf(d.Start).After(nodes.EarliestOf(best.Start))) {
				best = d
			}
		}
	}
	return best
}

// nodeOf finds the Node that a pod ran on: of those that have had the name the
// one that was there when the pod was bound to it. A static pod may run before that, but its mirror
// is created later.
func (e *Engine) nodeOf(pod *podlife.Pod) *nodes.Record {
	bound := evidence.Latest(pod.Created.At(), pod.Scheduled.At())
	var last *nodes.Record
	for _, n := range e.nodes.Named[pod.Node] {
		if !n.Created.After(bound) && (last == nil || n.Created.After(last.Created)) {
			last = n
		}
	}
	return last
}

// beyond is what lies around a workload, for its plan.
type beyond struct{ *Engine }

// NodeCause is the disruption of its node that led to the loss of a pod, of those that
// began by a time; nil if none did.
func (e beyond) NodeCause(lost *podlife.Pod, until time.Time) *nodes.Disruption {
	return e.nodeCause(lost, until)
}

// CausesOfLoss are where the causes of a pod's loss are handed out that lie beyond the
// workload: the disruption of its node, if one led to it, and what brought the pod it
// had to make room for.
func (e beyond) CausesOfLoss(lost *podlife.Pod, on *nodes.Disruption) (causes []ledger.Place) {
	if on != nil {
		causes = append(causes, e.issued.Give(on.Place()))
	}
	if by, ok := e.broughtBy(e.preemptor(lost)); ok {
		causes = append(causes, by)
	}
	return causes
}

// DisruptionsOf are what kept the kubelet of a pod's node from its work in a time.
func (e beyond) DisruptionsOf(pod *podlife.Pod, from, until time.Time) []*nodes.Disruption {
	n := e.nodeOf(pod)
	if n == nil {
		return nil
	}
	return n.HoldingUp(from, until)
}

// PlaceOfDisruption is where a disruption is, or will be, told.
func (e beyond) PlaceOfDisruption(d *nodes.Disruption) ledger.Place { return e.issued.Give(d.Place()) }

// awaitsNode reports whether a pod of a change is on a Node that has not been seen, and
// whose kubelet says that it was started. What that was is told with the Node, if it comes:
// the streams are apart.
func (e *Engine) awaitsNode(p *plans.Plan, c *workloads.Change) bool {
	p.Work.Spend(plans.WorkPerLookup * len(p.Pods))
	for _, pod := range p.Pods {
		if p.Starts[pod].Change != c || pod.Node == "" || len(e.nodes.Named[pod.Node]) > 0 {
			continue
		}
		unseen := e.objects[podlife.Named(kube.ObjectID{Kind: kube.KindNode}, pod.Node)]
		if unseen != nil && slices.ContainsFunc(unseen.Events, func(ev *podlife.Event) bool {
			return nodes.KubeletStarted(ev) && ev.First().After(pod.CreatedAt())
		}) {
			return true
		}
	}
	return false
}

// noteConsequence notes for the causes of a pod's loss that its replacement will be
// there to link to.
func (e *Engine) noteConsequence(lost *podlife.Pod, on *nodes.Disruption) {
	if on != nil {
		on.Ledger.AddConsequence(consequenceOf(lost))
	}
	if by := e.preemptor(lost); by != nil {
		by.Ledger.AddVictim(consequenceOf(lost))
	}
}

// nodeCauseOfRestart finds the reboot, or else the start of the kubelet, with
// which a container's run ended; nil if there was none.
func (e *Engine) nodeCauseOfRestart(restart *build.Restart) *nodes.Disruption {
	n := e.nodeOf(restart.Pod)
	if n == nil || restart.Cause() == attr.CauseOOM {
		return nil
	}
	began, died, again := nodes.EarliestOf(restart.Ended.Started), restart.Ended.Finished.At(), time.Time{}
	if restart.Next != nil {
		again = restart.Next.Started.At()
	}
	var best *nodes.Disruption
	for _, d := range n.Disruptions {
		at := d.Start.At()
		if !began.Before(at) || died.After(at.Add(nodes.KubeletPeriod)) && !restart.Ended.Vanished || n.PartOfReboot(d) {
			continue
		}
		switch d.Kind {
		case nodes.Rebooted:
			// The run was cut off when the machine went down, whenever that
			// was; the next one came after it was up.
			backedOff := restart.Container().SaidBackOff(restart.Ended.Finished.Earliest, at.Add(-d.Lead())) // it had ended by itself
			if !backedOff && (again.IsZero() || !again.Before(at.Add(-d.Lead()))) {
				return d
			}
		case nodes.KubeletRestarted:
			probed := restart.Killed != nil && strings.Contains(restart.Killed.Message, "probe")
			if !died.Before(at.Add(-evidence.ArrivalSlack)) && !probed {
				best = d
			}
		}
	}
	return best
}

// nodeGone reports whether a Node was there, and none of its name is any more.
func (e *Engine) nodeGone(name string) bool {
	named := e.nodes.Named[name]
	return len(named) > 0 && !slices.ContainsFunc(named, func(n *nodes.Record) bool { return !n.Gone })
}

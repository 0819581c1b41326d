package build

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/critpath"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// comparePrevious tells on the root how long the completed rollout before took,
// and, if this one took longer, which phase of the critical path grew most.
//
// The one before may not have been handed out yet, because an old pod of its is
// slow to stop. How long it took is known, its critical path not.
func (b *changeBuilder) comparePrevious() {
	if b.change.Kind != attr.ChangeRollout {
		return
	}
	previous := b.plan.Workload.LastCompleted
	for _, c := range b.plan.Workload.Changes {
		if c == b.change {
			break
		}
		if c.Comparable() {
			previous = c
		}
	}
	if previous == nil {
		return
	}
	var took time.Duration
	if previous.Ledger.Root != nil {
		took = previous.Ledger.Root.End.Sub(previous.Ledger.Root.Start)
	} else {
		took = b.endOf(previous, b.end).Sub(b.plan.StartOf(previous))
	}
	if took <= 0 {
		return // nothing tells how long it took
	}
	b.root.Attributes = append(b.root.Attributes, evidence.Seconds(attr.PreviousDurationKey, took))
	if previous.Revision > 0 {
		b.root.Attributes = append(b.root.Attributes, attr.PreviousRevisionKey.Int64(previous.Revision))
	}
	if b.end.Sub(b.start) <= took || previous.Ledger.Phases == nil {
		return // something always grows, if only by chance
	}
	if phase, by := critpath.GrewMost(previous.Ledger.Phases, b.change.Ledger.Phases); by > 0 {
		b.root.Attributes = append(b.root.Attributes, attr.SlowerPhaseKey.String(string(phase)), evidence.Seconds(attr.SlowerByKey, by))
	}
}

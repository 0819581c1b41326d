package plans

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// RevisionAt is the number of the rollout that was the latest when a write was made, 0 if
// it is not known.
func (p *Plan) RevisionAt(write evidence.Write) int64 {
	revision := p.Workload.Revision
	for _, c := range slices.Backward(p.Workload.Changes) {
		if c.Kind != attr.ChangeRollout || c.Revision == 0 {
			continue
		}
		if !write.Before(c.Opened) {
			return c.Revision
		}
		revision = 0 // another came before
	}
	return revision
}

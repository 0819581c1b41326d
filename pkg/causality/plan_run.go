package causality

import "github.com/rollspan/rollspan/pkg/spans/attr"

// planRun attributes the pods of a Job, or the pod that is its own workload:
// they belong to the run they were made in. A pod that has finished is not
// missed when it goes.
func (p *plan) planRun(rs *podSet, pods []*pod) {
	for _, q := range pods {
		at := q.firstSeen
		if q.initial {
			at = stamp{arrival: q.created.at()}
		}
		if c := openChange(p.changeAt(at), at); c != nil {
			p.starts[q] = slot{change: c, rs: rs}
		}
		if !q.lost() || q.lostFirst {
			continue
		}
		c := p.changeAt(q.lostStamp())
		switch {
		case c != nil && c.kind == attr.ChangeDelete && q.released():
			// The Job went without it.
		case c != nil && (c.kind == attr.ChangeDelete || c.openAt(q.lostStamp())):
			at := slot{change: c, rs: rs}
			if !q.finished.known() && (p.controller.pods == podItself || c.kind != attr.ChangeDelete) {
				at.lost = q
			}
			p.stops[q] = at
		case p.controller.pods != podItself && c != nil && !q.finished.known():
			// The controller removes what still runs when the Job has failed or
			// is suspended.
			p.stops[q] = slot{change: c, rs: rs}
		case q.failed.known():
			p.stops[q] = slot{rs: rs, lost: q}
		}
	}
}

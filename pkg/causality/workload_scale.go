package causality

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// scale notes another number of replicas, or other ones: a step of an open rollout,
// or a change of its own.
func (d *workload) scale(fields []metav1.ManagedFieldsEntry, st workloadState, s stamp, arrival time.Time) {
	fewer := max(d.replicas-st.replicas, 0)
	if d.pending != nil {
		d.pending.wanted = st.replicas
		d.pending.renumber(d, st)
	}
	cur := d.current()
	if cur != nil && !cur.ended && cur.kind == attr.ChangeRollout {
		cur.wanted = st.replicas
		cur.fewer += fewer
		cur.renumber(d, st)
		return
	}
	if d.pending != nil && (!st.paused || d.takenUp(st)) {
		return // a step of the rollout that is about to begin
	}
	c := d.offer(&change{
		kind:       attr.ChangeScale,
		opened:     s,
		generation: s.number(st.generation),
		cause:      attr.CauseScale,
		wanted:     st.replicas,
		before:     d.replicas,
		fewer:      fewer,
		revision:   st.revision,
	})
	c.renumber(d, st)
	switch {
	case d.controller.scaledBy == scaledByNodes:
		// Nobody wrote it: nodes came or went, or became fit for it or unfit.
		c.cause, c.start, c.generation = attr.CauseNodes, arrived(s.arrival), int64(s.version)
	case st.replicas == d.replicas:
		who := writerOf(fields, `"f:start"`, d.writers)
		c.cause, c.manager, c.start = attr.CauseOrdinals, who.manager, writtenAt(who, time.Time{}, arrival, s.arrival)
	default:
		who := d.writer(fields, false)
		c.manager, c.subresource, c.start = who.manager, who.subresource, writtenAt(who, d.replicasAt, arrival, s.arrival)
		if who.asAutoscaler() {
			c.cause = attr.CauseAutoscale
		}
	}
	d.supersede(c, s)
	d.begin(c)
}

// supersede ends the change that is open when the next one begins, which the
// write s shows.
func (d *workload) supersede(next *change, s stamp) {
	cur := d.current()
	if cur == nil {
		return
	}
	at := next.start
	if n := len(next.pauses); cur.kind == attr.ChangeScale && n > 0 && !cur.opened.before(next.opened) {
		// Its template was written before, and waited for the end of a pause. What
		// happened until then is the scale's.
		next.opened, at = s, arrived(s.arrival)
		if p := next.pauses[n-1]; p.until.known() {
			next.opened, at = p.resumed, p.until
		}
	}
	if !cur.ended {
		cur.finish(attr.OutcomeSuperseded, at, next.opened)
	}
}

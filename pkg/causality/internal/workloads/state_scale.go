package workloads

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// scale notes another number of replicas, or other ones: a step of an open rollout,
// or a change of its own.
func (w *Workload) scale(fields []metav1.ManagedFieldsEntry, st State, write evidence.Write, arrival time.Time) {
	fewer := max(w.replicas-st.replicas, 0)
	if w.Pending != nil {
		w.Pending.Wanted = st.replicas
		w.Pending.renumber(w, st)
	}
	cur := w.Current()
	if cur != nil && !cur.Ended && cur.Kind == attr.ChangeRollout {
		cur.Wanted = st.replicas
		cur.Fewer += fewer
		cur.renumber(w, st)
		return
	}
	if w.Pending != nil && (!st.paused || w.takenUp(st)) {
		return // a step of the rollout that is about to begin
	}
	c := w.Offer(&Change{
		Kind:       attr.ChangeScale,
		Opened:     write,
		generation: write.Number(st.generation),
		Cause:      attr.CauseScale,
		Wanted:     st.replicas,
		Before:     w.replicas,
		Fewer:      fewer,
		Revision:   st.Revision,
	})
	c.renumber(w, st)
	switch {
	case w.Controller.ScaledBy == ScaledByNodes:
		// Nobody wrote it: nodes came or went, or became fit for it or unfit.
		c.Cause, c.Start, c.generation = attr.CauseNodes, evidence.Arrived(write.Arrival), int64(write.Version)
	case st.replicas == w.replicas:
		who := kube.WriterOf(fields, `"f:start"`, w.Writers)
		c.Cause, c.Manager, c.Start = attr.CauseOrdinals, who.Manager, kube.WrittenAt(who, time.Time{}, arrival, write.Arrival)
	default:
		who := w.writer(fields, false)
		c.Manager, c.Subresource, c.Start = who.Manager, who.Subresource, kube.WrittenAt(who, w.replicasAt, arrival, write.Arrival)
		if who.AsAutoscaler() {
			c.Cause = attr.CauseAutoscale
		}
	}
	w.supersede(c, write)
	w.Begin(c)
}

// supersede ends the change that is open when the next one begins, which a write shows.
func (w *Workload) supersede(next *Change, write evidence.Write) {
	at := next.Start
	w.endSuspected(attr.OutcomeSuperseded, at, next.Opened)
	cur := w.Current()
	if cur == nil {
		return
	}
	if n := len(next.Pauses); cur.Kind == attr.ChangeScale && n > 0 && !cur.Opened.Before(next.Opened) {
		// Its template was written before, and waited for the end of a pause. What
		// happened until then is the scale's.
		next.Opened, at = write, evidence.Arrived(write.Arrival)
		if p := next.Pauses[n-1]; p.Until.Known() {
			next.Opened, at = p.Resumed, p.Until
		}
	}
	if !cur.Ended {
		cur.Finish(attr.OutcomeSuperseded, at, next.Opened)
	}
}

package snapshots

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// readyBefore dates a pod that was Ready within a second by what its controller did as the pod was
// available, which it does at once: in that second as of then, and soon after that second at its
// end. Dated to its beginning, each pod of a rollout that makes them one by one would leave up to a
// second to the controller.
func (pod *snapshotPod) readyBefore(effect time.Time, minReady time.Duration) {
	second := pod.ready
	if second.IsZero() || !second.Equal(second.Truncate(time.Second)) {
		return
	}
	at := evidence.InSecond(second, evidence.Earliest(effect.Add(-minReady), pod.asked, pod.unready).Add(-1)).At()
	if !at.After(second) {
		return
	}
	for i := range pod.facts {
		if f := &pod.facts[i]; f.isReady && f.at.Equal(second) {
			f.at = at
		}
	}
	for i, d := range pod.doubts {
		if d.At.Equal(second) && d.Of == stream.DoubtOfReady {
			pod.doubts[i] = stream.Doubt{At: at, Earliest: d.Earliest, Latest: d.Latest, Of: d.Of, Stated: d.Stated}
		}
	}
	pod.ready, pod.newest = at, evidence.Latest(pod.newest, at)
}

// narrowReady dates when the pods of a rollout were Ready by what came next: the next pod was made,
// or first the old one in its place was deleted.
func (d *snapshotDirect) narrowReady(snap *snapshot, r directRollout) {
	if !d.goesPodByPod(r) {
		return
	}
	removed := map[place]time.Time{}
	for _, pod := range d.pods {
		if p, ok := snap.placeOf(pod); ok && (pod.askedKnown || pod.final != nil) && pod.born.Before(r.began) && !pod.asked.Before(r.began) {
			removed[p] = evidence.Earliest(removed[p], pod.asked)
		}
	}
	for i := range len(d.made) - 1 {
		next := d.made[i+1]
		effect := next.born
		if p, ok := snap.placeOf(next); ok {
			effect = evidence.Earliest(effect, removed[p])
		}
		d.made[i].readyBefore(effect, d.minReady)
	}
}

// narrowReady dates when pods were Ready by the next step of a Deployment's ReplicaSets.
func (d *snapshotDeployment) narrowReady() {
	minReady := time.Duration(max(d.Spec.MinReadySeconds, 0)) * time.Second
	for _, set := range d.sets {
		for _, pod := range set.pods {
			if n := d.steps.before(evidence.Latest(pod.ready, pod.born).Add(minReady + 1)); n < len(d.steps.all) && !pod.ready.IsZero() {
				pod.readyBefore(d.steps.all[n].at, minReady)
			}
		}
	}
}

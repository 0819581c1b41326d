package snapshots

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// place is what two pods of one owner cannot both have: of a StatefulSet the name, and of a
// DaemonSet the node, until a pod there has ended.
type place struct {
	owner types.UID
	at    string
}

// placeOf is a pod's place; none if its owner makes the next pod without waiting for this one, or
// if nothing tells the node.
func (snap *snapshot) placeOf(pod *snapshotPod) (p place, ok bool) {
	made := snap.makers[pod.owner]
	if made == nil {
		return place{}, false
	}
	p = place{owner: pod.owner}
	switch made.Object.(type) {
	case *appsv1.StatefulSet:
		p.at = pod.name
	case *appsv1.DaemonSet:
		p.at = snap.nodeOf(pod)
	}
	return p, p.at != ""
}

// nodeOf is the node of a pod, as far as its state or Events tell.
func (snap *snapshot) nodeOf(pod *snapshotPod) string {
	if pod.final != nil {
		return pod.final.Spec.NodeName
	}
	for _, ev := range snap.eventsOf[pod.uid] {
		switch {
		case ev.Reason == "Scheduled":
			return scheduledTo(ev.Message)
		case ev.Source.Host != "": // the kubelets' alone have one
			return ev.Source.Host
		}
	}
	return ""
}

// freePlaces dates when pods that are gone were out of the way of the next in their place. Their
// controller makes that as soon as they are, so what lies between the last sign of a pod and the
// next was the stop, and not the controller's time. That holds where the next came within what a
// stop may take; after a longer time it need not have waited for this one, as a scale that was
// undone.
func (snap *snapshot) freePlaces() {
	births := map[place][]time.Time{}
	for _, pod := range snap.pods {
		if p, ok := snap.placeOf(pod); ok && !pod.born.IsZero() {
			births[p] = append(births[p], pod.born)
		}
	}
	for _, at := range births {
		slices.SortFunc(at, time.Time.Compare)
	}
	for _, pod := range snap.pods {
		p, ok := snap.placeOf(pod)
		if !ok || pod.gone.IsZero() || !pod.askedKnown {
			continue
		}
		later := births[p][bornUntil(births[p], pod.asked):]
		if due := pod.asked.Add(graceOf(&pod.start.Spec) + nextSlack); len(later) > 0 && later[0].After(pod.gone) && !later[0].After(due) {
			pod.lastSign, pod.gone = pod.gone, later[0]
		}
	}
}

// bornUntil is how many of the births, which are in order, were not after a time.
func bornUntil(births []time.Time, at time.Time) int {
	n, _ := slices.BinarySearchFunc(births, at, func(born, at time.Time) int {
		if born.After(at) {
			return 1
		}
		return -1
	})
	return n
}

// raceSlack is how long after a pod was asked to stop its kubelet speaks of that at the latest, if all is well.
const raceSlack = 2 * time.Second

// placeLosses dates when pods of one owner were asked to stop of which only those tell who carried that out:
// by the births of the pods in their places. The owner races with the kubelet, and may be first: its next pod
// is there, and only then does the kubelet say that it stops the one before. Each birth is that of one next
// pod, and where one came later than the kubelet spoke, that was it. An owner that waits for the place of a pod
// cannot be first.
func (snap *snapshot) placeLosses(pods []*snapshotPod) {
	var heard []*snapshotPod
	var births []time.Time
	for _, pod := range pods {
		if _, waits := snap.placeOf(pod); pod.askedHeard && !waits {
			heard = append(heard, pod)
		}
		if !pod.born.IsZero() {
			births = append(births, pod.born)
		}
	}
	slices.SortFunc(heard, func(a, b *snapshotPod) int { return cmp.Or(a.asked.Compare(b.asked), cmp.Compare(a.uid, b.uid)) })
	slices.SortFunc(births, time.Time.Compare)
	next := 0
	free := make([]time.Time, 0, len(births)) // those that were of none of these
	heard = slices.DeleteFunc(heard, func(pod *snapshotPod) bool {
		for ; next < len(births) && births[next].Before(pod.asked); next++ {
			free = append(free, births[next])
		}
		soon := next < len(births) && births[next].Before(pod.asked.Add(raceSlack))
		if soon {
			next++
		}
		return soon
	})
	for _, pod := range heard {
		from := evidence.Latest(pod.asked.Add(-raceSlack), pod.born.Add(1))
		free = free[firstFrom(free, from):]
		if len(free) > 0 && free[0].Before(pod.asked) {
			pod.moveAsked(free[0])
			free = free[1:]
		}
	}
}

// moveAsked dates anew when a pod was asked to go.
func (pod *snapshotPod) moveAsked(at time.Time) {
	pod.asked = at
	for i := range pod.facts {
		if f := &pod.facts[i]; f.deletes {
			f.at = at
		}
	}
}

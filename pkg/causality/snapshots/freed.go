package snapshots

import (
	"cmp"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
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
		if later := births[p][bornUntil(births[p], pod.asked):]; len(later) > 0 {
			pod.freeAt(later[0])
		}
	}
	snap.freeRecreated()
}

// freeAt notes that what waited for the pod came at a time, if that is within what its stop may have taken.
func (pod *snapshotPod) freeAt(next time.Time) {
	if due := pod.asked.Add(graceOf(&pod.start.Spec) + nextSlack); next.After(pod.gone) && !next.After(due) {
		pod.lastSign, pod.gone = pod.gone, next
	}
}

// filling is that a ReplicaSet got its first pods.
type filling struct {
	set types.UID
	at  time.Time
}

// freeRecreated does the same for Deployments that recreate their pods: these fill the next ReplicaSet as
// soon as no pod of another one is left.
func (snap *snapshot) freeRecreated() {
	sets := map[types.UID][]*snapshotSet{} // by Deployment
	for _, set := range snap.sets {
		d := snap.controllerOf(set)
		sets[d] = append(sets[d], set)
	}
	filled := map[types.UID][]filling{}
	for _, d := range snap.deployments {
		if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
			filled[d.UID] = fillingsOf(sets[d.UID], snap.eventsOf[d.UID])
		}
	}
	for _, pod := range snap.pods {
		set := snap.sets[pod.owner]
		if set == nil || pod.gone.IsZero() || !pod.askedKnown {
			continue
		}
		all := filled[snap.controllerOf(set)]
		i, _ := slices.BinarySearchFunc(all, pod.asked, func(f filling, at time.Time) int { return f.at.Compare(at) })
		for _, f := range all[i:] {
			if f.set != pod.owner {
				pod.freeAt(f.at)
				break
			}
		}
	}
}

// fillingsOf are when the ReplicaSets of a Deployment got their first pods, in order: as its Events say, or when
// they were created.
func fillingsOf(sets []*snapshotSet, events []*snapshotEvent) (all []filling) {
	said := map[string][]time.Time{}
	for _, ev := range events {
		if set, ok := filledBy(ev); ok {
			said[set] = append(said[set], ev.spoken()...)
		}
	}
	for _, set := range sets {
		times := said[set.Name]
		if !slices.ContainsFunc(times, func(at time.Time) bool { return !at.Before(set.created) && at.Sub(set.created) < 2*time.Second }) {
			times = append(times, set.created)
		}
		for _, at := range times {
			all = append(all, filling{set.UID, at})
		}
	}
	slices.SortFunc(all, func(a, b filling) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.set, b.set)) })
	return all
}

// filledBy is the name of the ReplicaSet of which a Deployment's Event says that it is scaled up from none, or
// created, of which some do not say "from".
func filledBy(ev *snapshotEvent) (set string, ok bool) {
	said, ok := workloads.ScalingIn(ev.Message)
	return said.Set, ok && ev.Reason == "ScalingReplicaSet" && said.Up && said.From <= 0 // none, or unknown
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
// cannot be first, and the births of a Job's pods are not all for losses.
func (snap *snapshot) placeLosses(pods []*snapshotPod) {
	var heard []*snapshotPod
	var births []time.Time
	for _, pod := range pods {
		if pod.askedHeard && snap.replacesAtOnce(pod.owner) {
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
		free = free[firstFrom(free, pod.asked.Add(-raceSlack)):]
		// What was too early for a young pod may have been for the next.
		at := firstFrom(free, pod.born.Add(1))
		if at < len(free) && free[at].Before(pod.asked) {
			pod.moveAsked(free[at])
			free = slices.Delete(free, at, at+1)
		}
	}
}

// replacesAtOnce reports whether an owner is known to make the next pod as soon as one of its pods is asked to go, and
// to make none besides but to have as many as it wants.
func (snap *snapshot) replacesAtOnce(owner types.UID) bool {
	made := snap.makers[owner]
	if made == nil {
		return false
	}
	switch made.Object.(type) {
	case *appsv1.ReplicaSet, *corev1.ReplicationController:
		return true
	}
	return false
}

// moveAsked dates anew when a pod was asked to go, and with that when it is to be gone.
func (pod *snapshotPod) moveAsked(at time.Time) {
	by := at.Truncate(time.Second).Sub(pod.asked.Truncate(time.Second)) // as the pod states it
	pod.asked = at
	for i := range pod.facts {
		f := &pod.facts[i]
		if !f.deletes {
			continue
		}
		f.at = at
		apply := f.apply
		f.apply = func(to *corev1.Pod) {
			apply(to)
			to.DeletionTimestamp = new(metav1.NewTime(to.DeletionTimestamp.Add(by)))
		}
	}
}

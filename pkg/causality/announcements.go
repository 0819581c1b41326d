package causality

import (
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// What a controller says of the pods it made ("Created pod: web-1") tells when they were
// there. It is filed with the pod when both are known, whichever comes first: its Event
// may be forgotten long before the pod.

// maxNamesakes is how many pods of one name are looked at. They come one after the other,
// and an Event is of the time at which one was made.
const maxNamesakes = 8

// observeAnnouncements files what the Events of a set say of pods.
func (e *Engine) observeAnnouncements(set *podlife.Object, events []*podlife.Event) {
	for _, ev := range events {
		for _, o := range ev.Occurrences {
			e.observeAnnouncement(set, ev.Reason, o)
		}
	}
}

// observeAnnouncement files what one Event says, if its reason is that a pod was made. The
// pods of a StatefulSet have the names of those before them; it is about the one that was
// made nearest to its time.
func (e *Engine) observeAnnouncement(set *podlife.Object, reason string, o podlife.Occurrence) {
	if reason != "SuccessfulCreate" {
		return
	}
	var best *podlife.Pod
	away := evidence.ArrivalSlack
	pod := e.pods[e.names[kube.NameKey{Kind: kube.KindPod, Namespace: set.Namespace, Name: plans.PodNamed(o.Message)}]]
	for range maxNamesakes {
		if pod == nil {
			break
		}
		if d := pod.Created.At().Sub(o.At).Abs(); pod.Owner == set.ObjectID && d < away {
			best, away = pod, d
		}
		pod = e.pods[namesake(pod)]
	}
	if best != nil {
		best.Announced = evidence.Earliest(best.Announced, o.At)
	}
}

// observeAnnounced files what was said of a pod before it was seen.
func (e *Engine) observeAnnounced(pod *podlife.Pod) {
	set := e.objects[pod.Owner]
	if set == nil || pod.Unowned() {
		return
	}
	for _, ev := range set.Events {
		if ev.Reason != "SuccessfulCreate" {
			continue
		}
		for _, o := range ev.Occurrences {
			if pod.Created.At().Sub(o.At).Abs() < evidence.ArrivalSlack && plans.PodNamed(o.Message) == pod.Name {
				e.observeAnnouncement(set, ev.Reason, o)
			}
		}
	}
}

// namesake is the pod that had the name before; no pod's identity if none did.
func namesake(pod *podlife.Pod) kube.ObjectID {
	return kube.ObjectID{Kind: kube.KindPod, Namespace: pod.Namespace, UID: pod.Predecessor}
}

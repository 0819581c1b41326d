package snapshots

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// doubt notes of a time of an object that it was not before one and not after another.
func (snap *snapshot) doubt(of types.UID, d stream.Doubt) {
	if d.BeyondSecond() {
		snap.doubts[of] = append(snap.doubts[of], d)
	}
}

// doubt notes the same of a time of a pod.
func (pod *snapshotPod) doubt(d stream.Doubt) {
	if d.BeyondSecond() {
		pod.doubts = append(pod.doubts, d)
	}
}

// availableAfter is after which time pods were available that are told as available at a time.
func availableAfter(at time.Time, made []*snapshotPod, minReady time.Duration) time.Time {
	for _, pod := range made {
		for _, d := range pod.doubts {
			if d.Of == stream.DoubtOfReady {
				at = evidence.Earliest(at, d.Earliest.Add(minReady))
			}
		}
	}
	return at
}

// reportedBy is by when a workload had reported that it is complete, whose pods are known to have
// been available at a time: when those that were not Ready for a while, as far as anything
// tells, were again, and the kubelet and the controller had written it.
func reportedBy(at time.Time, made []*snapshotPod, minReady time.Duration) time.Time {
	for _, pod := range made {
		if pod.final != nil && !pod.readyUntil.After(pod.born.Add(podlife.SlowestStart)) {
			at = evidence.Latest(at, pod.readyUntil.Add(minReady))
		}
	}
	return at.Add(statusSlack)
}

// doubtBooted says of the pod's startup probes, which have passed, that nothing tells when.
func (pod *snapshotPod) doubtBooted() {
	if pod.final == nil {
		return
	}
	for i := range pod.final.Status.ContainerStatuses {
		if s := &pod.final.Status.ContainerStatuses[i]; s.State.Running != nil && s.Started != nil && *s.Started {
			pod.doubt(stream.Doubt{At: pod.newest, Earliest: s.State.Running.StartedAt.Time, Latest: pod.newest, Of: stream.DoubtOfBooted})
		}
	}
}

// doubtGone says of the pods that are gone how well it is known when they were: between the
// last sign of each, and the birth of the next that has its name, or the snapshot.
func (snap *snapshot) doubtGone() {
	births := map[string][]time.Time{} // by namespace and name
	name := func(pod *snapshotPod) string { return pod.start.Namespace + "/" + pod.name }
	for _, pod := range snap.pods {
		births[name(pod)] = append(births[name(pod)], pod.born)
	}
	for _, pod := range snap.pods {
		if pod.gone.IsZero() {
			continue
		}
		by := snap.end
		if !pod.lastSign.IsZero() {
			by = pod.gone // the next one in its place is there
		}
		for _, at := range births[name(pod)] {
			if at.After(pod.born) {
				by = evidence.Earliest(by, at)
			}
		}
		pod.doubt(stream.Doubt{At: pod.gone, Earliest: evidence.Earliest(pod.gone, pod.lastSign), Latest: by, Of: stream.DoubtOfGone})
		if !pod.askedKnown {
			pod.doubt(stream.Doubt{At: pod.asked, Earliest: pod.asked, Latest: by})
		}
	}
}

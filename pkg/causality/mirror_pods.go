package causality

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// observeMirror takes in a mirror pod that is new: the Events about its static pod
// are its own from now on, and those that came before it, too.
func (e *Engine) observeMirror(pod *podlife.Pod, in *corev1.Pod) {
	static := pod.WithUID(kube.MirrorOf(in))
	if static.UID == "" || e.pods[static] != nil {
		return
	}
	pod.Mirrors = static.UID
	var from []*podlife.Object
	if orphan := e.objects[static]; orphan != nil && orphan.Name == pod.Name {
		from = append(from, orphan)
	}
	if before := e.mirrorAt(static, pod.Created.Earliest); before != nil {
		from = append(from, before.Object)
	}
	e.mirrors[static] = slices.Insert(e.mirrors[static], podlife.MadeBy(e.mirrors[static], pod.Created.Earliest), pod)
	for _, obj := range from {
		obj.Events = slices.DeleteFunc(obj.Events, func(ev *podlife.Event) bool {
			moves := ev.Static && !ev.Ledger.Claimed && e.mirrorAt(static, ev.First()) == pod
			if moves {
				ev.Object = pod.Object
				pod.Events = append(pod.Events, ev)
			}
			return moves
		})
		e.old.Earlier(obj, e.now)
	}
	if len(pod.Events) > 0 {
		slices.SortStableFunc(pod.Events, func(a, b *podlife.Event) int { return a.First().Compare(b.First()) })
		e.unsettled.Earlier(pod.Object, e.now.Add(e.opts.Quiet))
		e.old.Earlier(pod.Object, e.now)
	}
}

// mirrorAt is the mirror pod that there was of a static pod at a time: the last that
// was made by then, or else the first. nil if there is none.
func (e *Engine) mirrorAt(static kube.ObjectID, at time.Time) *podlife.Pod {
	mirrors := e.mirrors[static]
	if len(mirrors) == 0 {
		return nil
	}
	return mirrors[max(podlife.MadeBy(mirrors, at)-1, 0)]
}

// dropMirror forgets a mirror pod.
func (e *Engine) dropMirror(pod *podlife.Pod) {
	static := pod.WithUID(pod.Mirrors)
	left := slices.DeleteFunc(e.mirrors[static], func(o *podlife.Pod) bool { return o == pod })
	if len(left) == 0 {
		delete(e.mirrors, static)
		return
	}
	e.mirrors[static] = left
}

// staticGap is how long after the mirror of a static pod was gone the next one of its name
// still shows that the pod was changed. The kubelet makes the two in one go, when the
// containers have ended (SyncPod of k8s.io/kubernetes/pkg/kubelet).
const staticGap = 5 * time.Second

// observeStaticChange notes that a mirror pod which is new took the place of one that stood
// for the same static pod with another manifest.
func (e *Engine) observeStaticChange(pod *podlife.Pod) {
	before := e.pods[namesake(pod)]
	if pod.Mirrors == "" || pod.Initial || before == nil || before.Mirrors == "" || before.Mirrors == pod.Mirrors {
		return
	}
	if !before.Gone.Known() || pod.FirstSeen.Arrival.Sub(before.GoneSeen) < staticGap {
		before.ChangedTo = pod.UID
	}
}

// changedFrom is the mirror pod of what a static pod was before it was changed, if it was,
// and the mirror pod before is still to be told of.
func (e *Engine) changedFrom(pod *podlife.Pod) *podlife.Pod {
	before := e.pods[namesake(pod)]
	if before == nil || before.ChangedTo != pod.UID || before.Ledger.StopSent {
		return nil
	}
	return before
}

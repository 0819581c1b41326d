package causality

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A static pod is known to its kubelet by the hash of its manifest, which its
// Events give for its UID. What the API has is a mirror of it, with a UID of its
// own, which the kubelet makes again whenever somebody deletes it. The mirror
// names the hash in an annotation.

// mirrorOf is the hash that a mirror pod states; "" for any other pod. Mirrors are
// made by kubelets and belong to their nodes: an annotation alone proves nothing.
func mirrorOf(in *corev1.Pod) types.UID {
	if !isBuiltIn(controllerRef(in), kindNode) {
		return ""
	}
	return uidOf(in.Annotations[corev1.MirrorPodAnnotationKey])
}

// observeMirror takes in a mirror pod that is new: the Events about its static pod
// are its own from now on, and those that came before it, too.
func (e *Engine) observeMirror(p *pod, in *corev1.Pod) {
	static := p.objectID
	static.uid = mirrorOf(in)
	if static.uid == "" || e.pods[static] != nil {
		return
	}
	p.mirrors = static
	var from []*object
	if stray := e.objects[static]; stray != nil && stray.name == p.name {
		from = append(from, stray)
	}
	if before := e.mirrorAt(static, p.created.lo); before != nil {
		from = append(from, before.object)
	}
	e.mirrors[static] = slices.Insert(e.mirrors[static], madeBy(e.mirrors[static], p.created.lo), p)
	for _, obj := range from {
		obj.events = slices.DeleteFunc(obj.events, func(ev *event) bool {
			moves := ev.static && !ev.ledger.claimed && e.mirrorAt(static, ev.first()) == p
			if moves {
				ev.object = p.object
				p.events = append(p.events, ev)
			}
			return moves
		})
	}
	if len(p.events) > 0 {
		slices.SortStableFunc(p.events, func(a, b *event) int { return a.first().Compare(b.first()) })
		e.unsettled[p.object] = true
		e.wakeForEvents(e.now.Add(e.opts.Quiet))
	}
}

// mirrorAt is the mirror pod that there was of a static pod at a time: the last that
// was made by then, or else the first. nil if there is none.
func (e *Engine) mirrorAt(static objectID, at time.Time) *pod {
	mirrors := e.mirrors[static]
	if len(mirrors) == 0 {
		return nil
	}
	return mirrors[max(madeBy(mirrors, at)-1, 0)]
}

// madeBy is how many of the pods, which are in order of creation, were made by a time.
// Whoever makes pods can state the same hash in thousands.
func madeBy(pods []*pod, at time.Time) int {
	n, _ := slices.BinarySearchFunc(pods, at, func(p *pod, at time.Time) int {
		if p.created.lo.After(at) {
			return 1
		}
		return -1
	})
	return n
}

// dropMirror forgets a mirror pod.
func (e *Engine) dropMirror(p *pod) {
	left := slices.DeleteFunc(e.mirrors[p.mirrors], func(o *pod) bool { return o == p })
	if len(left) == 0 {
		delete(e.mirrors, p.mirrors)
		return
	}
	e.mirrors[p.mirrors] = left
}

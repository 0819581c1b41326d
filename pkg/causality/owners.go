package causality

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// maxOwners bounds the walk up an owner chain. References can form a ring.
const maxOwners = 16

// ownersOf names the owners of an object, nearest first. Where an owner could
// not be read the chain ends at the reference to it.
func (e *Engine) ownersOf(obj *podlife.Object) []string {
	var owners []string
	for up := obj; up != nil && up.Owned.UID != "" && len(owners) < maxOwners; up = e.ownerOf(up) {
		name := up.Owned.String()
		if slices.Contains(owners, name) {
			break // the ring is closed
		}
		owners = append(owners, name)
	}
	return owners
}

// workloadAbove is the nearest workload up from an object: the one it is or is
// part of, the one that it is for, or one among its owners; nil if there is
// none.
func (e *Engine) workloadAbove(obj *podlife.Object) *workloads.Workload {
	for range maxOwners {
		if obj == nil {
			return nil
		}
		if w := e.workloadOf(obj); w != nil {
			return w
		}
		if obj.Target.Name != "" {
			obj = e.objects[e.names[obj.Target]]
		} else {
			obj = e.ownerOf(obj)
		}
	}
	return nil
}

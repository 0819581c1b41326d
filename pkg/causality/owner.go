package causality

import "slices"

// maxOwners bounds the walk up an owner chain. References can form a ring.
const maxOwners = 16

// ownersOf names the owners of an object, nearest first. Where an owner could
// not be read the chain ends at the reference to it.
func (e *Engine) ownersOf(obj *object) []string {
	var owners []string
	for up := obj; up != nil && up.owned.uid != "" && len(owners) < maxOwners; up = e.ownerOf(up) {
		name := up.owned.String()
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
func (e *Engine) workloadAbove(obj *object) *workload {
	for range maxOwners {
		if obj == nil {
			return nil
		}
		if d := e.workloadOf(obj); d != nil {
			return d
		}
		if obj.target.name != "" {
			obj = e.objects[e.names[obj.target]]
		} else {
			obj = e.ownerOf(obj)
		}
	}
	return nil
}

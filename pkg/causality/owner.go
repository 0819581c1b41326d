package causality

// maxOwners bounds the walk up an owner chain. References can form a ring.
const maxOwners = 16

// ownersOf names the owners of an object, nearest first. Where an owner could
// not be read the chain ends at the reference to it.
func (e *Engine) ownersOf(obj *object) []string {
	var owners []string
	for obj != nil && obj.owned.uid != "" && len(owners) < maxOwners {
		owners = append(owners, obj.owned.String())
		obj = e.objects[obj.owned.uid]
	}
	return owners
}

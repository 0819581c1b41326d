package causality

import "slices"

// void is what of a step came to nothing.
type void struct {
	pods int32
	by   *step // of a step up: the last step down that gave up some of its pods
}

// void is what of a ReplicaSet's steps came to nothing. One that is scaled down
// before it has created all pods of a step up, as it may if a quota forbids it,
// never creates those that are missing, and has as many fewer to delete. So
// neither a pod of a later step nor a later deletion is taken for theirs.
func (rs *podSet) void(born []*pod) map[*step]void {
	voids := map[*step]void{}
	missing := map[*step]int32{}
	var short []*step // steps up that miss pods; a long history has few
	for _, s := range rs.steps {
		for len(born) > 0 && born[0].firstSeen.before(s.stamp) {
			if !born[0].lostFirst {
				takeRoom(short, missing, born[0].firstSeen)
			}
			born = born[1:]
		}
		if s.up() {
			missing[s] = s.to - s.from - s.ledger.filled
			short = append(short, s)
			continue
		}
		left := s.from - s.to
		short = slices.DeleteFunc(short, func(up *step) bool { return missing[up] <= 0 })
		for _, up := range slices.Backward(short) {
			n := min(left, missing[up])
			if n == 0 {
				break
			}
			missing[up] -= n
			voids[up] = void{voids[up].pods + n, s}
			voids[s] = void{pods: voids[s].pods + n}
			left -= n
		}
	}
	return voids
}

package journal

import (
	"encoding/binary"
	"slices"

	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Missed is an observation of what was missed while nobody looked. The engine gets all of that at
// once, in the order in which it happened. Until all of it is there it waits in the journal as well: a
// process that is killed before that leaves it to the next one, which asks for what is behind it. So
// processes of which none lives long get on, while the API server forgets.
type Missed struct {
	// At is the position that it leads to. It must have one.
	At Position
	// Live says that its watch had caught up when it came, so that it came when it was written.
	Live bool
	// Observation is what EncodeObservation has made of it; empty where there is nothing up to At but
	// what was kept before.
	Observation []byte
}

// KeepMissed notes what was missed. Each source's are in the order of their versions.
func (k *Keeper) KeepMissed(missed []Missed) {
	if len(missed) == 0 || !k.Kept() {
		return
	}
	k.awaits = true
	for _, m := range missed {
		k.body = encodeMissed(k.body[:0], m)
		k.observed.append(k.body)
		if len(k.observed.pending) >= flushAt {
			if err := k.observed.flush(false); err != nil {
				k.fail(err)
				return
			}
		}
	}
	k.flush(len(missed))
}

// ToldMissed notes that the engine has all that KeepMissed has noted, and that the journal had.
func (k *Keeper) ToldMissed() {
	if k.awaits {
		k.record([]byte{recToldMissed})
	}
	k.awaits, k.missed = false, nil
}

// Missed is what the journal had of it when this process began, but for what the engine was told
// before: that is up to its source's position. Where there is no position a list tells what there is.
func (k *Keeper) Missed() (left []Missed) {
	told := map[string]int{} // how many of all the last one is that a source's position names
	for i, m := range k.missed {
		if m.At.Version == k.positions[m.At.Source] {
			told[m.At.Source] = i + 1
		}
	}
	for i, m := range k.missed {
		at := k.positions[m.At.Source]
		order, err := resourceversion.CompareResourceVersion(m.At.Version, at)
		if at != "" && i >= told[m.At.Source] && (err != nil || order > 0) {
			left = append(left, m)
		}
	}
	return left
}

// encodeMissed appends it to a record:
//
//	kind, 1 if it is live or else 0, the length of what follows of the position, position, observation
func encodeMissed(to []byte, m Missed) []byte {
	live := byte(0)
	if m.Live {
		live = 1
	}
	to = append(to, recMissed, live)
	to = binary.AppendUvarint(to, uint64(len(m.At.Source)+1+len(m.At.Version)))
	to = append(append(append(to, m.At.Source...), 0), m.At.Version...)
	return append(to, m.Observation...)
}

// decodeMissed reads what encodeMissed has written; the error is that of what is damaged.
func decodeMissed(body []byte) (m Missed, err error) {
	if len(body) < 2 {
		return m, errDamaged
	}
	length, n := binary.Uvarint(body[2:])
	rest := body[min(2+max(n, 0), len(body)):]
	if n <= 0 || length > uint64(len(rest)) {
		return m, errDamaged
	}
	m.Live = body[1] != 0
	m.At = positionOf(rest[:length])
	m.Observation = slices.Clone(rest[length:])
	return m, nil
}

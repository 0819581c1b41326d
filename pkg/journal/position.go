package journal

import (
	"maps"
	"slices"
	"strings"

	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Position is up to where something that is watched was seen: the resource version from which a
// watch goes on. A position is written into the frame of the observations that it is behind, so
// that a tail that is torn takes both.
type Position struct {
	// Source is what is watched; empty for no position.
	Source string
	// Version is empty where there is nowhere to go on from: a list has begun, and is not
	// through.
	Version string
}

// ObserveAt is Observe, where at[i] is the position that batch[i] leads to.
func (k *Keeper) ObserveAt(batch []stream.Observation, at []Position) []spans.Trace {
	k.at = at
	defer func() { k.at = nil }()
	return k.Observe(batch...)
}

// Reached notes a position: all up to there has been observed.
func (k *Keeper) Reached(p Position) {
	if k.reach(p); len(k.moved) > 0 && k.Kept() {
		k.appendPositions()
		k.flush(1)
	}
}

// Positions are those that the journal had when this process began, and those that were reached
// since.
func (k *Keeper) Positions() map[string]string { return k.positions }

// reach notes a position that is to be written.
func (k *Keeper) reach(p Position) {
	if p.Source == "" || k.positions[p.Source] == p.Version {
		return
	}
	if k.moved == nil {
		k.moved = map[string]bool{}
	}
	k.moved[p.Source] = true
	k.place(p)
}

// place sets a position.
func (k *Keeper) place(p Position) {
	switch {
	case p.Version == "":
		delete(k.positions, p.Source)
	case k.positions == nil:
		k.positions = map[string]string{p.Source: p.Version}
	default:
		k.positions[p.Source] = p.Version
	}
}

// appendPositions appends those that are to be written.
func (k *Keeper) appendPositions() {
	for _, source := range slices.Sorted(maps.Keys(k.moved)) {
		k.observed.append(encodePosition(Position{source, k.positions[source]}))
	}
	clear(k.moved)
}

// nowhere forgets all positions, and what was missed, as nothing is observed yet.
func (k *Keeper) nowhere() {
	k.positions, k.moved = nil, nil
	k.missed, k.awaits = nil, false
}

// lost forgets all positions, and has that written: something of what was observed up to there is
// lost, so that only lists tell what there is.
func (k *Keeper) lost() {
	for source := range maps.Clone(k.positions) {
		k.reach(Position{Source: source})
	}
}

func encodePosition(p Position) []byte {
	return append([]byte{recPosition}, p.Source+"\x00"+p.Version...)
}

func decodePosition(body []byte) Position { return positionOf(body[1:]) }

func positionOf(text []byte) (p Position) {
	p.Source, p.Version, _ = strings.Cut(string(text), "\x00")
	return p
}

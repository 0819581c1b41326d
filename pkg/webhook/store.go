package webhook

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"
)

// Store keeps on a disk what waits, so that it survives the process. Its methods may be called by
// several goroutines, and wait for nothing but the disk.
type Store interface {
	// Append puts an event behind all others, and returns its place, which is higher than that of
	// all before; 0 if the disk has failed, by which the event waits in memory alone. Where there
	// is no room the oldest of the namespace that has most are dropped from the disk: gone are
	// their places.
	Append(namespace string, body []byte) (place uint64, gone []uint64)
	// Next returns the oldest event that the process before has left, and was not returned yet; a
	// place of 0 is the end. lost is how many came before it and cannot be read any more.
	Next() (namespace string, body []byte, place uint64, lost int)
	// Done says that of all events up to a place nothing is to be sent any more.
	Done(place uint64)
	// Sync has what was appended survive the machine.
	Sync()
	// Working reports whether the disk has not failed.
	Working() bool
}

// storeVersion is the first byte of what is on the disk of an event.
const storeVersion = 1

// pack is what is on the disk of an event: when it came, and what is sent.
func (it *item) pack() []byte {
	out := binary.BigEndian.AppendUint64([]byte{storeVersion}, uint64(it.at.UnixNano())) //nolint:gosec // It is read back as it was.
	return append(out, it.body...)
}

// unpack reads that; ok is false if it is something else.
func unpack(packed []byte) (it *item, ok bool) {
	const head = 1 + 8
	if len(packed) < head || packed[0] != storeVersion {
		return nil, false
	}
	it = &item{body: append([]byte(nil), packed[head:]...)}
	it.at = time.Unix(0, int64(binary.BigEndian.Uint64(packed[1:head]))) //nolint:gosec // It was written so.
	var e struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(it.body, &e) != nil || e.ID == "" {
		return nil, false
	}
	it.id = e.ID
	return it, true
}

// recover takes over what the process before has left.
func (s *Sender) recover() {
	for {
		namespace, packed, place, lost := s.store.Next()
		s.stats.Offered += int64(lost)
		s.stats.Lost.Damaged += int64(lost)
		if place == 0 {
			break
		}
		s.last = place
		s.stats.Offered++
		it, ok := unpack(packed)
		if !ok {
			s.stats.Lost.Damaged++
			continue
		}
		it.namespace, it.place = namespace, place
		s.stats.Found++
		s.put(it)
	}
	s.forget()
	if s.stats.Found > 0 {
		s.log.Info("Events wait for the webhook that were left by the run before", "events", s.stats.Found, "to", s.Place())
	}
}

// leaveDisk notes that the disk has dropped what was in some places: it waits in memory alone. The
// caller holds the lock.
func (s *Sender) leaveDisk(places []uint64) {
	for _, it := range s.queue {
		if slices.Contains(places, it.place) {
			it.place = 0
		}
	}
}

// forget has the disk forget what is before all that waits. The caller holds the lock.
func (s *Sender) forget() {
	if s.store == nil {
		return
	}
	done := s.last
	for _, it := range s.queue {
		if it.place > 0 {
			done = it.place - 1
			break
		}
	}
	if done > s.forgotten {
		s.forgotten = done
		s.store.Done(done)
	}
}

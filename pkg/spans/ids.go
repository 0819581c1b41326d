package spans

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"go.opentelemetry.io/otel/trace"
)

// idVersion is hashed into every ID. Change it when the same identity should
// give another ID, for example because a trace's meaning changed.
const idVersion = "rollspan/v1"

// NewTraceID derives a trace's ID from the identity of its change, so that
// every replica, restart and replay of rollspan gives the same ID.
func NewTraceID(identity ...string) trace.TraceID {
	var id trace.TraceID
	copy(id[:], digest(nil, identity))
	if !id.IsValid() {
		id[0] = 1
	}
	return id
}

// NewSpanID derives a span's ID from its trace and from what tells it from
// the other spans of that trace.
func NewSpanID(t trace.TraceID, identity ...string) trace.SpanID {
	var id trace.SpanID
	copy(id[:], digest(t[:], identity))
	if !id.IsValid() {
		id[0] = 1
	}
	return id
}

// digest hashes length-prefixed parts, so that ("a", "bc") and ("ab", "c")
// differ.
func digest(prefix []byte, parts []string) []byte {
	h := sha256.New()
	writePart(h, []byte(idVersion))
	writePart(h, prefix)
	for _, p := range parts {
		writePart(h, []byte(p))
	}
	return h.Sum(nil)
}

func writePart(h hash.Hash, part []byte) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(part)))
	h.Write(length[:])
	h.Write(part)
}

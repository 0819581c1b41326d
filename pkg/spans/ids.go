package spans

import (
	"crypto/sha256"
	"encoding/binary"

	"go.opentelemetry.io/otel/trace"
)

// idVersion is hashed into every ID. Change it when the same identity should
// give another ID, for example because a trace's meaning changed.
const idVersion = "rollspan/v1"

// NewTraceID derives a trace's ID from the identity of its change, so that
// every replica, restart and replay of rollspan gives the same ID.
func NewTraceID(identity ...string) trace.TraceID {
	var id trace.TraceID
	hash := digest(nil, identity)
	copy(id[:], hash[:])
	if !id.IsValid() {
		id[0] = 1
	}
	return id
}

// NewSpanID derives a span's ID from its trace and from what tells it from
// the other spans of that trace.
func NewSpanID(t trace.TraceID, identity ...string) trace.SpanID {
	var id trace.SpanID
	hash := digest(t[:], identity)
	copy(id[:], hash[:])
	if !id.IsValid() {
		id[0] = 1
	}
	return id
}

// digest hashes length-prefixed parts, so that ("a", "bc") and ("ab", "c")
// differ. There is one for each span: what is hashed is put together on the stack.
func digest(prefix []byte, parts []string) [sha256.Size]byte {
	var room [512]byte
	all := appendPart(room[:0], idVersion)
	all = appendPart(all, prefix)
	for _, p := range parts {
		all = appendPart(all, p)
	}
	return sha256.Sum256(all)
}

func appendPart[T string | []byte](all []byte, part T) []byte {
	return append(binary.BigEndian.AppendUint64(all, uint64(len(part))), part...)
}

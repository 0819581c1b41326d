package evidence

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Proof is how well a boundary of a span is known, where that is worse than to the second:
// it is at most Precision earlier or later, by what Source tells. The zero Proof is of a
// boundary that is known to the second or better, as the API states it.
type Proof struct {
	Precision time.Duration
	Source    attr.Source
}

// Worse is the worse of two proofs.
func (p Proof) Worse(other Proof) Proof {
	if other.Precision > p.Precision || other.Precision == p.Precision && other.Source > p.Source {
		return other
	}
	return p
}

// Since is a proof by the same source of a time that need not have been later than another.
func (p Proof) Since(from, t time.Time) Proof {
	if !t.After(from) {
		return Proof{}
	}
	return Proof{Precision: t.Sub(from), Source: p.Source}
}

// Attributes are those of a boundary, by its two keys; none where it is known to the second.
func (p Proof) Attributes(precision, source attribute.Key) []attribute.KeyValue {
	if p.Precision <= time.Second {
		return nil
	}
	return []attribute.KeyValue{Seconds(precision, p.Precision), source.String(string(p.Source))}
}

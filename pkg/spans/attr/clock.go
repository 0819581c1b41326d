package attr

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// ClockOffsetBy is the key under which it is kept how far the clock of a service was off by
// which it stated what an object says. On a span of that service it is ClockOffsetKey.
func ClockOffsetBy(service string) attribute.Key {
	return ClockOffsetKey + attribute.Key("/"+service)
}

// ClockOffsetService is the service of such a key.
func ClockOffsetService(key attribute.Key) (service string, ok bool) {
	return strings.CutPrefix(string(key), string(ClockOffsetKey)+"/")
}

package causality

import "go.opentelemetry.io/otel/attribute"

// What the spans of pods have besides; docs/traces.md explains it.
const (
	keySidecar        = attribute.Key("rollspan.sidecar")
	keyWaitingMessage = attribute.Key("rollspan.waiting.message")
	keyForced         = attribute.Key("rollspan.forced")
	keyGraceExceeded  = attribute.Key("rollspan.grace_period.exceeded")
	keyGraceOverrun   = attribute.Key("rollspan.grace_period.overrun")
	keyPreStop        = attribute.Key("rollspan.pre_stop")
	keyFinalizers     = attribute.Key("rollspan.finalizers")
)

// The components that look after volumes, by the names they give in Events.
const (
	serviceBinder   = "persistentvolume-controller"
	serviceAttacher = "attachdetach-controller"
)

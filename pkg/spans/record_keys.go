package spans

import "go.opentelemetry.io/otel/attribute"

// What log records say of Kubernetes Events besides what span events say (package attr), as the
// Collector's k8seventsreceiver names it; there is no convention. There the last five are of the
// Resource, which here is as that of the spans about the object.
const (
	// EventStartTimeKey is when the Event came first, by RFC 3339.
	EventStartTimeKey = attribute.Key("k8s.event.start_time")
	// EventActionKey is what its reporter did, or tried to: "Binding".
	EventActionKey = attribute.Key("k8s.event.action")
	// ObjectKindKey is the kind of the object that it is about, as the Event states it: "Pod".
	ObjectKindKey = attribute.Key("k8s.object.kind")
	// ObjectNameKey is the name of that.
	ObjectNameKey = attribute.Key("k8s.object.name")
	// ObjectUIDKey is the UID of that.
	ObjectUIDKey = attribute.Key("k8s.object.uid")
	// ObjectAPIVersionKey is the API version of that: "apps/v1".
	ObjectAPIVersionKey = attribute.Key("k8s.object.api_version")
	// ObjectFieldPathKey is what of it the Event is about: "spec.containers{web}".
	ObjectFieldPathKey = attribute.Key("k8s.object.fieldpath")
)

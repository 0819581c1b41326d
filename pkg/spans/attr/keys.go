package attr

import "go.opentelemetry.io/otel/attribute"

// What a root says of its change. docs/traces.md has the spans that each key is on.
const (
	// ChangeKey is what kind of change a root tells of, one of the Changes: "rollout".
	ChangeKey = attribute.Key("rollspan.change")
	// OutcomeKey is how the change ended, one of the Outcomes: "complete".
	OutcomeKey = attribute.Key("rollspan.outcome")
	// CauseKey is why there was a change: "template". It is one of the Causes, or the
	// reason that Kubernetes gives: "EvictionByEvictionAPI".
	CauseKey = attribute.Key("rollspan.cause")
	// RevisionKey is the number of a rollout: 7.
	RevisionKey = attribute.Key("rollspan.revision")
	// RollbackRevisionKey is the number of the rollout that a rollback goes back to: 5.
	RollbackRevisionKey = attribute.Key("rollspan.rollback.revision")
	// ManagerNameKey is the field manager that wrote the change: "kubectl-rollout".
	ManagerNameKey = attribute.Key("rollspan.manager.name")
	// ManagerSubresourceKey is the subresource that it was written through: "scale".
	ManagerSubresourceKey = attribute.Key("rollspan.manager.subresource")
	// AutoscaleReasonKey is why an autoscaler wanted a scale, in its own words:
	// "cpu resource utilization (percentage of request) above target".
	AutoscaleReasonKey = attribute.Key("rollspan.autoscale.reason")
	// ChangedFieldsKey lists what of the pod template is not as it was before, by name and
	// never by value: "container/web image".
	ChangedFieldsKey = attribute.Key("rollspan.changed.fields")
	// ChangedLeftOutKey is how many more fields have changed than ChangedFieldsKey lists: 3.
	ChangedLeftOutKey = attribute.Key("rollspan.changed.left_out")
	// ImagesBeforeKey lists the images of the pod template before a rollout: "app:1".
	ImagesBeforeKey = attribute.Key("rollspan.images.before")
	// ImagesAfterKey lists the images that the change brings: "app:2".
	ImagesAfterKey = attribute.Key("rollspan.images.after")
	// PodsWantedKey is how many pods the change asks for: 3.
	PodsWantedKey = attribute.Key("rollspan.pods.wanted")
	// PodsReadyKey is how many of these were ready at the end: 2.
	PodsReadyKey = attribute.Key("rollspan.pods.ready")
	// OwnersKey lists the owners of the workload, nearest first: "Shop.example.com/web".
	OwnersKey = attribute.Key("rollspan.owners")
	// ScaleFromKey is how many replicas there were before a scale or a step: 2.
	ScaleFromKey = attribute.Key("rollspan.scale.from")
	// ScaleToKey is how many replicas a scale or a step asks for: 5.
	ScaleToKey = attribute.Key("rollspan.scale.to")
	// OrdinalsFromKey is the number that the first pod of a StatefulSet had before: 0.
	OrdinalsFromKey = attribute.Key("rollspan.ordinals.from")
	// OrdinalsToKey is the number that the first pod of a StatefulSet is to have: 5.
	OrdinalsToKey = attribute.Key("rollspan.ordinals.to")
	// ScheduledAtKey is the time that a CronJob's schedule asks for, by RFC 3339:
	// "2026-03-01T08:30:00Z".
	ScheduledAtKey = attribute.Key("rollspan.scheduled_at")
	// SinceRolloutKey is how many seconds before its loss or restart the rollout that
	// brought a pod was over: 86400.5.
	SinceRolloutKey = attribute.Key("rollspan.since_rollout")
	// RestartsLeftOutKey is how many restarts, or runs, of a container were not told: 12.
	RestartsLeftOutKey = attribute.Key("rollspan.restarts.left_out")
	// ConditionReasonKey is the reason of a node's condition: "KubeletNotReady".
	ConditionReasonKey = attribute.Key("rollspan.condition.reason")
	// ConditionMessageKey is the message of a node's condition: "kubelet stopped posting
	// node status".
	ConditionMessageKey = attribute.Key("rollspan.condition.message")
	// ObjectKindKey is the kind of an object that has no semantic convention: "Service".
	ObjectKindKey = attribute.Key("rollspan.object.kind")
	// ObjectNameKey is the name of such an object: "web".
	ObjectNameKey = attribute.Key("rollspan.object.name")
	// ObjectUIDKey is the UID of such an object.
	ObjectUIDKey = attribute.Key("rollspan.object.uid")
)

// ComponentKey is the component that did the work, where service.name is the workload's:
// "kubelet".
const ComponentKey = attribute.Key("rollspan.component")

// What is said of Jobs.
const (
	// JobCompletionsKey is how many pods of a Job are to succeed: 5.
	JobCompletionsKey = attribute.Key("rollspan.job.completions")
	// JobSucceededKey is how many pods of a Job have succeeded: 4.
	JobSucceededKey = attribute.Key("rollspan.job.succeeded")
	// JobFailedKey is how many pods of a Job have failed: 1.
	JobFailedKey = attribute.Key("rollspan.job.failed")
	// JobCompletionIndexKey is which index of an Indexed Job a pod is for: 0.
	JobCompletionIndexKey = attribute.Key("rollspan.job.completion_index")
)

// What a change that is open waits for.
const (
	// InProgressKey is what kind of change is going on, one of the Changes: "rollout".
	InProgressKey = attribute.Key("rollspan.in_progress")
	// WaitingForKey is what it waits for, as a sentence: "1 of 3 ready; pod web-0: …".
	WaitingForKey = attribute.Key("rollspan.waiting_for")
	// WaitingReasonKey is the reason why something waits: "ImagePullBackOff".
	WaitingReasonKey = attribute.Key("rollspan.waiting.reason")
	// WaitingMessageKey is the scheduler's first sentence about a pod that waits:
	// "0/3 nodes are available".
	WaitingMessageKey = attribute.Key("rollspan.waiting.message")
)

// How well the boundaries of a span are known, where that is worse than to the second.
const (
	// StartPrecisionKey is how many seconds earlier or later a span may have begun: 35.2.
	StartPrecisionKey = attribute.Key("rollspan.start.precision")
	// StartSourceKey is what tells when it began, one of the Sources: "arrival".
	StartSourceKey = attribute.Key("rollspan.start.source")
	// EndPrecisionKey is how many seconds earlier or later a span may have ended: 35.2.
	EndPrecisionKey = attribute.Key("rollspan.end.precision")
	// EndSourceKey is what tells when it ended, one of the Sources: "inferred".
	EndSourceKey = attribute.Key("rollspan.end.source")
)

// What is said of the starts and the stops of pods.
const (
	// CutShortKey is why a pod's start was over before the pod was Ready, or its run before it had
	// ended, one of the Cuts: "removed".
	CutShortKey = attribute.Key("rollspan.cut_short")
	// PullWaitingKey is how many seconds of a pull were spent in the queue of pulls: 1.5.
	PullWaitingKey = attribute.Key("rollspan.pull.waiting")
	// ImageSizeKey is the size of an image in bytes: 187654321.
	ImageSizeKey = attribute.Key("rollspan.image.size")
	// SidecarKey is true for an init container that keeps running.
	SidecarKey = attribute.Key("rollspan.sidecar")
	// GracePeriodDurationKey is how many seconds a pod was given to stop: 30.
	GracePeriodDurationKey = attribute.Key("rollspan.grace_period.duration")
	// GracePeriodOverrunKey is how many seconds longer than that a pod was there: 4.2.
	GracePeriodOverrunKey = attribute.Key("rollspan.grace_period.overrun")
	// GracePeriodExceededKey is true for a container that was killed as its time was up.
	GracePeriodExceededKey = attribute.Key("rollspan.grace_period.exceeded")
	// PreStopKey is true for a container that has a preStop hook.
	PreStopKey = attribute.Key("rollspan.pre_stop")
	// ForcedKey is true for a pod that was removed without waiting for its containers.
	ForcedKey = attribute.Key("rollspan.forced")
	// FinalizersKey lists what kept a pod that had ended: "example.com/backup".
	FinalizersKey = attribute.Key("rollspan.finalizers")
	// ClockOffsetKey is how many seconds the clock was ahead by which the span's component
	// states times, which were corrected by it: 4.9; behind, if it is negative.
	ClockOffsetKey = attribute.Key("rollspan.clock.offset")
	// DisruptionKey is who disrupted a pod, by its condition DisruptionTarget:
	// "EvictionByEvictionAPI".
	DisruptionKey = attribute.Key("rollspan.disruption")
	// PodMessageKey is what the status of a pod that was lost says of that: "Pod was
	// terminated in response to imminent node shutdown."
	PodMessageKey = attribute.Key("rollspan.pod.message")
	// ToleratedDurationKey is how many seconds a pod was left on its node when that was
	// disrupted, before the taint manager deleted the pod: 300.4.
	ToleratedDurationKey = attribute.Key("rollspan.tolerated.duration")
)

// What is said of the critical path. The sum of each phase has a key of its own: see
// Phase.Key.
const (
	// CriticalKey is true for a span on the critical path.
	CriticalKey = attribute.Key("rollspan.critical")
	// CriticalPathSegmentsKey lists the pieces of the path:
	// "6.945s pull image pod/big-5459ccc858-zbjd4 container/big".
	CriticalPathSegmentsKey = attribute.Key("rollspan.critical_path.segments")
	// PreviousDurationKey is how many seconds the completed rollout before took: 12.3.
	PreviousDurationKey = attribute.Key("rollspan.previous.duration")
	// PreviousRevisionKey is the number of the completed rollout before: 6.
	PreviousRevisionKey = attribute.Key("rollspan.previous.revision")
	// SlowerPhaseKey is the Phase that takes the most more than it did in that rollout:
	// "pull_image".
	SlowerPhaseKey = attribute.Key("rollspan.slower.phase")
	// UnknownKey says how much of a critical path is not known, where that is most of it, and
	// why: "5.460s of 5.460s: 3 pods not seen".
	UnknownKey = attribute.Key("rollspan.unknown")
	// SlowerByKey is how many seconds more that phase takes: 5.1.
	SlowerByKey = attribute.Key("rollspan.slower.by")
)

// LinkTypeKey is what a link between two spans means, one of the Links: "supersedes". The
// span that has the link says so too: see Link.TraceIDKey.
const LinkTypeKey = attribute.Key("rollspan.link.type")

// What span events say of the Kubernetes Events that they are. The first four are named as
// the OpenTelemetry Collector's k8seventsreceiver names them; there is no convention.
const (
	// K8SEventReasonKey is the Event's reason: "BackOff".
	K8SEventReasonKey = attribute.Key("k8s.event.reason")
	// K8SEventNameKey is the name of the Event's object: "web-0.17b4a1f3c5d7e9ab".
	K8SEventNameKey = attribute.Key("k8s.event.name")
	// K8SEventUIDKey is the UID of the Event's object.
	K8SEventUIDKey = attribute.Key("k8s.event.uid")
	// K8SEventCountKey is how often it came, up to the end of the span: 5.
	K8SEventCountKey = attribute.Key("k8s.event.count")
	// K8SEventTypeKey is the Event's type: "Warning".
	K8SEventTypeKey = attribute.Key("k8s.event.type")
	// K8SEventMessageKey is the message that it had last: "Back-off restarting failed
	// container".
	K8SEventMessageKey = attribute.Key("k8s.event.message")
	// K8SEventSourceKey is the component that reports it: "kubelet".
	K8SEventSourceKey = attribute.Key("k8s.event.source")
	// K8SEventLastTimeKey is when it came last, by RFC 3339, if that was more than once.
	K8SEventLastTimeKey = attribute.Key("k8s.event.last_time")
)

// What is said of spans that were left out of a trace, as it was over its budget (package
// budget). What they took by phase has keys of its own: see Phase.LeftOutKey.
const (
	// LeftOutSpansKey is how many spans below this one were left out: 71234.
	LeftOutSpansKey = attribute.Key("rollspan.left_out.spans")
	// LeftOutStartsKey is how many of these are starts, or runs, of pods: 9012.
	LeftOutStartsKey = attribute.Key("rollspan.left_out.starts")
	// LeftOutStopsKey is how many of these are stops of pods: 9012.
	LeftOutStopsKey = attribute.Key("rollspan.left_out.stops")
	// LeftOutErrorsKey is how many of these are errors: 12.
	LeftOutErrorsKey = attribute.Key("rollspan.left_out.errors")
	// LeftOutEventsKey is how many events of spans were left out: 40321.
	LeftOutEventsKey = attribute.Key("rollspan.left_out.events")
	// LeftOutLinksKey is how many links of spans were left out: 3.
	LeftOutLinksKey = attribute.Key("rollspan.left_out.links")
	// LinkLeftOutKey is true for a link to a span that was left out. It leads to the nearest
	// one above that which was not.
	LinkLeftOutKey = attribute.Key("rollspan.link.left_out")
)

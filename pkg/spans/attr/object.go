package attr

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// OfObject reports whether a key identifies or describes the object that a span is about,
// for as long as that exists: "k8s.pod.uid", "container.image.name". Such attributes are
// those of the semantic conventions' entities, and belong in the Resource of the span. What
// changes while the object exists (k8s.container.restart_count), what happened to it, and
// what else took part in that are attributes of the span.
func OfObject(key attribute.Key) bool { return ofObject[key] || ofMetadata(key) }

// ofMetadata reports whether a key is that of a label or an annotation of an object:
// "k8s.deployment.label.team".
func ofMetadata(key attribute.Key) bool {
	object, ok := strings.CutPrefix(string(key), "k8s.")
	_, what, _ := strings.Cut(object, ".")
	return ok && (strings.HasPrefix(what, "label.") || strings.HasPrefix(what, "annotation."))
}

var ofObject = map[attribute.Key]bool{
	semconv.K8SNamespaceNameKey: true,

	semconv.K8SDeploymentNameKey:            true,
	semconv.K8SDeploymentUIDKey:             true,
	semconv.K8SReplicaSetNameKey:            true,
	semconv.K8SReplicaSetUIDKey:             true,
	semconv.K8SStatefulSetNameKey:           true,
	semconv.K8SStatefulSetUIDKey:            true,
	semconv.K8SDaemonSetNameKey:             true,
	semconv.K8SDaemonSetUIDKey:              true,
	semconv.K8SReplicationControllerNameKey: true,
	semconv.K8SReplicationControllerUIDKey:  true,
	semconv.K8SJobNameKey:                   true,
	semconv.K8SJobUIDKey:                    true,
	semconv.K8SCronJobNameKey:               true,
	semconv.K8SCronJobUIDKey:                true,
	semconv.K8SHPANameKey:                   true,
	semconv.K8SHPAUIDKey:                    true,
	ObjectKindKey:                           true,
	ObjectNameKey:                           true,
	ObjectUIDKey:                            true,

	semconv.K8SPodNameKey:                   true,
	semconv.K8SPodUIDKey:                    true,
	JobCompletionIndexKey:                   true,
	semconv.K8SNodeNameKey:                  true,
	semconv.K8SNodeUIDKey:                   true,
	semconv.K8SPersistentvolumeclaimNameKey: true,
	semconv.K8SPersistentvolumeclaimUIDKey:  true,

	semconv.K8SContainerNameKey:          true,
	semconv.ContainerIDKey:               true,
	semconv.ContainerImageNameKey:        true,
	semconv.ContainerImageTagsKey:        true,
	semconv.ContainerImageIDKey:          true,
	semconv.ContainerImageRepoDigestsKey: true,
}

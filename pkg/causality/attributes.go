package causality

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// rollspan's own attributes; docs/traces.md explains them.
const (
	keyChange       = attribute.Key("rollspan.change")
	keyOutcome      = attribute.Key("rollspan.outcome")
	keyRevision     = attribute.Key("rollspan.revision")
	keyRollbackTo   = attribute.Key("rollspan.rollback.revision")
	keyCause        = attribute.Key("rollspan.cause")
	keyManager      = attribute.Key("rollspan.manager")
	keyImagesBefore = attribute.Key("rollspan.images.before")
	keyImagesAfter  = attribute.Key("rollspan.images.after")
	keyPodsWanted   = attribute.Key("rollspan.pods.wanted")
	keyPodsReady    = attribute.Key("rollspan.pods.ready")
	keySinceRollout = attribute.Key("rollspan.since_rollout")

	keyScaleFrom   = attribute.Key("rollspan.scale.from")
	keyScaleTo     = attribute.Key("rollspan.scale.to")
	keyGrace       = attribute.Key("rollspan.grace_period")
	keyDisruption  = attribute.Key("rollspan.disruption")
	keyPullWaiting = attribute.Key("rollspan.pull.waiting")
	keyImageSize   = attribute.Key("rollspan.image.size")
	keyWaiting     = attribute.Key("rollspan.waiting.reason")

	keyLink = attribute.Key("rollspan.link")

	keyEventReason  = attribute.Key("k8s.event.reason")
	keyEventName    = attribute.Key("k8s.event.name")
	keyEventUID     = attribute.Key("k8s.event.uid")
	keyEventCount   = attribute.Key("k8s.event.count")
	keyEventType    = attribute.Key("k8s.event.type")
	keyEventMessage = attribute.Key("k8s.event.message")
	keyEventSource  = attribute.Key("k8s.event.source")
	keyEventLast    = attribute.Key("k8s.event.last_time")
)

// The components that do the work, as service.name has them.
const (
	serviceDeployment = "deployment-controller"
	serviceReplicaSet = "replicaset-controller"
	serviceScheduler  = "default-scheduler"
	serviceKubelet    = "kubelet"
)

func seconds(key attribute.Key, d time.Duration) attribute.KeyValue {
	return key.Float64(d.Seconds())
}

func (d *deployment) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.K8SNamespaceName(d.namespace),
		semconv.K8SDeploymentName(d.name),
		semconv.K8SDeploymentUID(string(d.uid)),
	}
}

func (rs *replicaSet) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.K8SReplicaSetName(rs.name),
		semconv.K8SReplicaSetUID(string(rs.uid)),
	}
}

func (p *pod) attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.K8SPodName(p.name),
		semconv.K8SPodUID(string(p.uid)),
	}
	if p.node != "" {
		attrs = append(attrs, semconv.K8SNodeName(p.node))
	}
	return attrs
}

func (c *container) attributes() []attribute.KeyValue {
	name, tag := splitImage(c.image)
	attrs := []attribute.KeyValue{
		semconv.K8SContainerName(c.name),
		semconv.ContainerImageName(name),
	}
	if tag != "" {
		attrs = append(attrs, semconv.ContainerImageTags(tag))
	}
	if c.imageID != "" {
		attrs = append(attrs, semconv.ContainerImageID(c.imageID))
	}
	return attrs
}

// splitImage splits "registry:5000/app:1@sha256:…" into the name without its
// tag and digest, and the tag.
func splitImage(image string) (name, tag string) {
	name, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		return name[:colon], name[colon+1:]
	}
	return name, ""
}

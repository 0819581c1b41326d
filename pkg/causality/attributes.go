package causality

import (
	"strconv"
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
	keyOwners       = attribute.Key("rollspan.owners")
	keyLeftOut      = attribute.Key("rollspan.restarts.left_out")
	keySinceRollout = attribute.Key("rollspan.since_rollout")

	keyJobCompletions = attribute.Key("rollspan.job.completions")
	keyJobSucceeded   = attribute.Key("rollspan.job.succeeded")
	keyJobFailed      = attribute.Key("rollspan.job.failed")
	keyJobIndex       = attribute.Key("rollspan.job.completion_index")
	keyScheduled      = attribute.Key("rollspan.scheduled_at")

	keyScaleFrom    = attribute.Key("rollspan.scale.from")
	keyScaleTo      = attribute.Key("rollspan.scale.to")
	keyOrdinalsFrom = attribute.Key("rollspan.ordinals.from")
	keyOrdinalsTo   = attribute.Key("rollspan.ordinals.to")
	keyGrace        = attribute.Key("rollspan.grace_period")
	keyDisruption   = attribute.Key("rollspan.disruption")
	keyPullWaiting  = attribute.Key("rollspan.pull.waiting")
	keyImageSize    = attribute.Key("rollspan.image.size")
	keyWaiting      = attribute.Key("rollspan.waiting.reason")
	keyWaitingFor   = attribute.Key("rollspan.waiting_for")
	keyInProgress   = attribute.Key("rollspan.in_progress")

	keyCritical     = attribute.Key("rollspan.critical")
	keyPathSegments = attribute.Key("rollspan.critical_path.segments")

	keyPreviousDuration = attribute.Key("rollspan.previous.duration")
	keyPreviousRevision = attribute.Key("rollspan.previous.revision")
	keySlowerPhase      = attribute.Key("rollspan.slower.phase")
	keySlowerBy         = attribute.Key("rollspan.slower.by")

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
	serviceDeployment            = "deployment-controller"
	serviceReplicaSet            = "replicaset-controller"
	serviceStatefulSet           = "statefulset-controller"
	serviceDaemonSet             = "daemonset-controller"
	serviceJob                   = "job-controller"
	serviceCronJob               = "cronjob-controller"
	serviceReplicationController = "replication-controller"
	serviceScheduler             = "default-scheduler"
	serviceKubelet               = "kubelet"
)

// service is the component that works for a workload.
func (d *workload) service() string { return d.controller.service }

// service is the component that makes the set's pods.
func (rs *podSet) service(d *workload) string {
	if rs.direct() {
		return d.service()
	}
	return serviceReplicaSet
}

func seconds(key attribute.Key, d time.Duration) attribute.KeyValue {
	return key.Float64(d.Seconds())
}

// attributes are on every span of the workload's traces.
func (d *workload) attributes() []attribute.KeyValue {
	attrs := d.object.attributes()
	if c := d.cronJob; c != nil {
		attrs = append(attrs, semconv.K8SCronJobName(c.name), semconv.K8SCronJobUID(string(c.id.uid)))
	}
	return attrs
}

// attributes name the set where the workload's do not.
func (rs *podSet) attributes() []attribute.KeyValue {
	if rs.direct() {
		return nil
	}
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
	if n, err := strconv.ParseInt(p.index, 10, 64); err == nil {
		attrs = append(attrs, keyJobIndex.Int64(n))
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

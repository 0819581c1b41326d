package causality

import (
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// service is the component that works for a workload.
func (d *workload) service() string { return d.controller.service }

// service is the component that makes the set's pods.
func (rs *podSet) service(d *workload) string {
	if rs.direct() {
		return d.service()
	}
	return attr.ServiceReplicaSet
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
		attrs = append(attrs, attr.JobCompletionIndexKey.Int64(n))
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

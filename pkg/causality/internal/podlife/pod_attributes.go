package podlife

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Attributes are on the spans about the pod.
func (p *Pod) Attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.K8SPodName(p.Name),
		semconv.K8SPodUID(string(p.UID)),
	}
	if p.Node != "" {
		attrs = append(attrs, semconv.K8SNodeName(p.Node))
	}
	if n, err := strconv.ParseInt(p.Index, 10, 64); err == nil {
		attrs = append(attrs, attr.JobCompletionIndexKey.Int64(n))
	}
	return attrs
}

// Attributes are on the spans about the container.
func (c *Container) Attributes() []attribute.KeyValue {
	name, tag := splitImage(c.Image)
	attrs := []attribute.KeyValue{
		semconv.K8SContainerName(c.Name),
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

package podlife

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
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
	return append(attrs, p.ClockOffsets()...)
}

// Attributes are on the spans about the container.
func (c *Container) Attributes() []attribute.KeyValue {
	name, tag := kube.SplitImage(c.Image)
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
	if digest := repoDigest(c.imageID); digest != "" {
		attrs = append(attrs, semconv.ContainerImageRepoDigests(digest))
	}
	return attrs
}

// repoDigest is the image in its repository, "registry/app@sha256:…", where the status
// says that and not only what the runtime calls the image. Docker says
// "docker-pullable://registry/app@sha256:…".
func repoDigest(imageID string) string {
	if !strings.Contains(imageID, "@") {
		return ""
	}
	return withoutScheme(imageID)
}

// withoutScheme drops what runtime an ID is of: "containerd://…".
func withoutScheme(id string) string {
	if _, rest, ok := strings.Cut(id, "://"); ok {
		return rest
	}
	return id
}

// Identity is the attribute that joins what is said of a run with the logs and metrics of
// its container; none of a run that has no ID, or of nil.
func (r *Run) Identity() []attribute.KeyValue {
	if r == nil || r.ID == "" {
		return nil
	}
	return []attribute.KeyValue{semconv.ContainerID(withoutScheme(r.ID))}
}

// Attributes say which container a run was, and how it ended.
func (r *Run) Attributes() []attribute.KeyValue {
	return append(r.Ending(), semconv.K8SContainerRestartCount(int(r.Restart)))
}

// Ending are the attributes that say which container a run was, and how it ended, but
// for its number.
func (r *Run) Ending() []attribute.KeyValue {
	attrs := append(r.Identity(), semconv.ProcessExitCode(int(r.ExitCode)))
	if r.Reason != "" {
		attrs = append(attrs, semconv.K8SContainerStatusReasonKey.String(r.Reason))
	}
	return attrs
}

// StatusReason is the attribute for why the pod is in its state, as its status has it:
// "Evicted"; none if that says nothing.
func (p *Pod) StatusReason() []attribute.KeyValue {
	if p.Reason == "" || p.Released() {
		return nil
	}
	return []attribute.KeyValue{semconv.K8SPodStatusReasonKey.String(p.Reason)}
}

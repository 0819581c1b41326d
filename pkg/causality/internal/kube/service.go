package kube

import (
	"cmp"
	"strings"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Service is what the labels and annotations of pods say of the service that the pods run:
// "shop", "2.1.0". What they do not say is empty.
//
// It is the first part of the rule by which OpenTelemetry's semantic conventions have a
// Collector, or an operator, name the service of a pod (docs/non-normative/k8s-attributes.md).
// The second part goes by the names of the pod's owners.
type Service struct {
	Name, Namespace, Version string
}

// ServiceOf reads labels and annotations of a pod, or of a pod template. It returns nil if
// they say nothing, as most do.
func ServiceOf(labels, annotations map[string]string) *Service {
	s := Service{
		Name: spans.Cut(cmp.Or(annotations["resource.opentelemetry.io/service.name"],
			labels["app.kubernetes.io/instance"], labels["app.kubernetes.io/name"])),
		Namespace: spans.Cut(annotations["resource.opentelemetry.io/service.namespace"]),
		Version: spans.Cut(cmp.Or(annotations["resource.opentelemetry.io/service.version"],
			labels["app.kubernetes.io/version"])),
	}
	if s == (Service{}) {
		return nil
	}
	said := s // most pods say nothing, and take no memory
	return &said
}

// VersionOfImage is the version that the same rule reads off the reference of a
// container's image: "2.1.0", "sha256:…", or both as "2.1.0@sha256:…".
func VersionOfImage(image string) string {
	_, tag := SplitImage(image)
	_, digest, _ := strings.Cut(image, "@")
	if tag != "" && digest != "" {
		return tag + "@" + digest
	}
	return tag + digest
}

// SplitImage splits "registry:5000/app:1@sha256:…" into the name without its
// tag and digest, and the tag.
func SplitImage(image string) (name, tag string) {
	name, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		return name[:colon], name[colon+1:]
	}
	return name, ""
}

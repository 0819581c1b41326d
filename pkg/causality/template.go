package causality

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// restartedAtAnnotation is what `kubectl rollout restart` writes.
const restartedAtAnnotation = "kubectl.kubernetes.io/restartedAt"

// podTemplate is what the engine keeps of a workload's pod template. Templates
// hold environment values, which must not stay in memory longer than needed: so
// there are hashes of them, and their images. The zero value is one that is not
// known.
type podTemplate struct {
	hash   templateHash
	images []string // each once, init containers first
	fields []templateField
}

// templateHash tells pod templates apart.
type templateHash [sha256.Size]byte

func newPodTemplate(t *corev1.PodTemplateSpec) podTemplate {
	// API types marshal deterministically: struct fields in order, map
	// keys sorted. They can not fail to.
	raw, _ := json.Marshal(t)
	return podTemplate{hash: sha256.Sum256(raw), images: templateImages(t), fields: templateFields(raw)}
}

// templateImages lists a template's images, each once, init containers first.
func templateImages(t *corev1.PodTemplateSpec) []string {
	var images []string
	for _, cs := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for i := range cs {
			if !slices.Contains(images, cs[i].Image) {
				images = append(images, cs[i].Image)
			}
		}
	}
	return images
}

const keySubresource = attribute.Key("rollspan.manager.subresource")

// written is who wrote a spec, by the managedFields.
type written struct {
	manager     string
	subresource string
	at          time.Time // whole second; zero if not stated
}

// writers is what managedFields say of a workload's spec: by manager, how
// much of it each owns.
type writers map[string]int

func readWriters(fields []metav1.ManagedFieldsEntry) writers {
	w := writers{}
	for i := range fields {
		if m := &fields[i]; m.FieldsV1 != nil {
			w[writerKey(m)] = len(m.FieldsV1.GetRawString())
		}
	}
	return w
}

func writerKey(m *metav1.ManagedFieldsEntry) string {
	return m.Manager + "/" + m.Subresource + "/" + string(m.Operation)
}

// gained tells, of writers within the same second, the one that wrote last:
// it is new, or owns more than it did before.
func (w writers) gained(m *metav1.ManagedFieldsEntry) int {
	before, known := w[writerKey(m)]
	if !known {
		return len(m.FieldsV1.GetRawString())
	}
	return len(m.FieldsV1.GetRawString()) - before
}

// writer returns who last wrote the pod template, or else the replicas.
func writer(fields []metav1.ManagedFieldsEntry, template bool, before writers) written {
	if template {
		return writerOf(fields, `"f:template"`, before)
	}
	return writerOf(fields, `"f:replicas"`, before)
}

// writerOf returns who last wrote a field of the spec. The fields are in
// managedFields as JSON; a scan for the field's name is enough to tell whether
// an entry owns it. The times are whole seconds; among equals it counts who
// owns more than before.
func writerOf(fields []metav1.ManagedFieldsEntry, field string, before writers) written {
	var w written
	gained := 0
	for i := range fields {
		m := &fields[i]
		if m.FieldsV1 == nil || !ownsSpec(m, field) {
			continue
		}
		var at time.Time
		if m.Time != nil {
			at = m.Time.Time
		}
		more := before.gained(m)
		if w.manager == "" || at.After(w.at) || at.Equal(w.at) && more > gained {
			w, gained = written{manager: m.Manager, subresource: m.Subresource, at: at}, more
		}
	}
	return w
}

// statusWritten returns when the status was last written, by the managedFields:
// a whole second, zero if not stated.
func statusWritten(fields []metav1.ManagedFieldsEntry) time.Time {
	var at time.Time
	for i := range fields {
		if m := &fields[i]; m.Subresource == "status" && m.Time != nil {
			at = latest(at, m.Time.Time)
		}
	}
	return at
}

func ownsSpec(m *metav1.ManagedFieldsEntry, field string) bool {
	raw := m.FieldsV1.GetRawString()
	spec := strings.Index(raw, `"f:spec"`)
	return spec >= 0 && strings.Contains(raw[spec:], field)
}

// writtenAt dates a write by the managedFields, whose time moves with every
// value that changes; previous is what they said before. Without a newer time
// (there may be no managedFields at all) there is only the arrival.
func writtenAt(w written, previous, arrival, seen time.Time) moment {
	m := inSecond(w.at, arrival)
	if !w.at.IsZero() && (w.at.After(previous) || w.at.Equal(previous) && !m.hi.IsZero()) {
		return m
	}
	return arrived(seen)
}

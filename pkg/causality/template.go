package causality

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/spans"
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
	return (&podTemplate{}).next(t)
}

// next is the template after t: most writes of a spec leave it as it is.
func (t *podTemplate) next(now *corev1.PodTemplateSpec) podTemplate {
	// API types marshal deterministically: struct fields in order, map
	// keys sorted. They can not fail to.
	raw, _ := json.Marshal(now)
	hash := templateHash(sha256.Sum256(raw))
	if hash == t.hash {
		return *t
	}
	return podTemplate{hash: hash, images: templateImages(now), fields: templateFields(raw)}
}

// templateImages lists a template's images, each once, init containers first.
func templateImages(t *corev1.PodTemplateSpec) []string {
	var images []string
	listed := map[string]bool{}
	for _, cs := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for i := range cs {
			if image := spans.Cut(cs[i].Image); !listed[image] {
				listed[image] = true
				images = append(images, image)
			}
		}
	}
	return images
}

// written is who wrote a spec, by the managedFields.
type written struct {
	manager     string
	subresource string
	at          time.Time // whole second; zero if not stated
	gained      int       // see writers
	// seen is when the news of it came, zero if that was with what it led to.
	seen time.Time
}

// writers is what managedFields say of a workload, by manager.
type writers map[string]ownership

// ownership is how much a manager owns, and when it last wrote.
type ownership struct {
	size int
	at   time.Time
}

func readWriters(fields []metav1.ManagedFieldsEntry) writers {
	w := writers{}
	for i := range fields {
		if m := &fields[i]; m.FieldsV1 != nil {
			w[writerKey(m)] = newOwnership(m)
		}
	}
	return w
}

func newOwnership(m *metav1.ManagedFieldsEntry) ownership {
	o := ownership{size: len(m.FieldsV1.GetRawString())}
	if m.Time != nil {
		o.at = m.Time.Time
	}
	return o
}

func writerKey(m *metav1.ManagedFieldsEntry) string {
	return m.Manager + "/" + m.Subresource + "/" + string(m.Operation)
}

// gained is how much a manager's last write has brought it, as far as that came
// since: all of what it owns if the time has moved, and what is more of it if it
// wrote within the same second. Without a gain it may not have written at all.
func (w writers) gained(m *metav1.ManagedFieldsEntry) int {
	now := newOwnership(m)
	if last, known := w[writerKey(m)]; known && !now.at.After(last.at) {
		return now.size - last.size
	}
	return now.size
}

// writer returns who last wrote the pod template, or else the replicas.
//
// A write that only removes something leaves no entry: the API server takes the
// field from those that owned it. Of a template others own the rest, as before; they
// are not named unless they are seen to have written since. The replicas are owned by
// who set them, or by nobody.
func writer(fields []metav1.ManagedFieldsEntry, template bool, before writers) written {
	if !template {
		return writerOf(fields, `"f:replicas"`, before)
	}
	w := writerOf(fields, `"f:template"`, before)
	if w.gained <= 0 {
		w.manager, w.subresource = "", ""
	}
	return w
}

// writerOf returns who last wrote a field of the spec, of those that own it. The
// fields are in managedFields as JSON; a scan for the field's name is enough to tell
// whether an entry owns it. The times are whole seconds; among equals it counts who
// owns more than before.
func writerOf(fields []metav1.ManagedFieldsEntry, field string, before writers) written {
	var w written
	for i := range fields {
		m := &fields[i]
		if m.FieldsV1 == nil || !ownsSpec(m, field) {
			continue
		}
		at, gained := newOwnership(m).at, before.gained(m)
		if w.manager == "" || at.After(w.at) || at.Equal(w.at) && gained > w.gained {
			w = written{manager: m.Manager, subresource: m.Subresource, at: at, gained: gained}
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

// owns reports whether an entry has a field, of whatever part of the object.
func owns(m *metav1.ManagedFieldsEntry, field string) bool {
	return m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), field)
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
	if !w.seen.IsZero() {
		arrival = w.seen
	}
	m := inSecond(w.at, arrival)
	if !w.at.IsZero() && (w.at.After(previous) || w.at.Equal(previous) && !m.hi.IsZero()) {
		return m
	}
	return arrived(seen)
}

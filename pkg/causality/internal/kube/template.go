package kube

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans"
)

// AsAutoscaler reports whether the HPA controller wrote the replicas: it
// goes through the subresource, as part of the controller manager.
func (w Written) AsAutoscaler() bool {
	return w.Subresource == "scale" && w.Manager == "kube-controller-manager"
}

// restartedAtAnnotation is what `kubectl rollout restart` writes.
const restartedAtAnnotation = "kubectl.kubernetes.io/restartedAt"

// PodTemplate is what the engine keeps of a workload's pod template. Templates
// hold environment values, which must not stay in memory longer than needed: so
// there are hashes of them, and their images. The zero value is one that is not
// known.
type PodTemplate struct {
	Hash   TemplateHash
	Images []string // each once, init containers first
	Runs   *Service
	fields []templateField
}

// TemplateHash tells pod templates apart.
type TemplateHash [sha256.Size]byte

// NewPodTemplate reads a pod template.
func NewPodTemplate(t *corev1.PodTemplateSpec) PodTemplate {
	return (&PodTemplate{}).Next(t)
}

// Next is the template after t: most writes of a spec leave it as it is.
func (t *PodTemplate) Next(now *corev1.PodTemplateSpec) PodTemplate {
	// API types marshal deterministically: struct fields in order, map
	// keys sorted. They can not fail to.
	raw, _ := json.Marshal(now)
	hash := TemplateHash(sha256.Sum256(raw))
	if hash == t.Hash {
		return *t
	}
	return PodTemplate{
		Hash: hash, Images: TemplateImages(now), fields: templateFields(raw, t.fields),
		Runs: ServiceOf(now.Labels, now.Annotations),
	}
}

// TemplateImages lists a template's images, each once, init containers first.
func TemplateImages(t *corev1.PodTemplateSpec) []string {
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

// Written is who wrote a spec, by the managedFields.
type Written struct {
	Manager     string
	Subresource string
	At          time.Time // whole second; zero if not stated
	Gained      int       // see writers
	// Seen is when the news of it came, zero if that was with what it led to.
	Seen time.Time
}

// Writers is what managedFields say of a workload: what each manager owns.
type Writers []ownership

// ownership is how much a manager owns, and when it last wrote.
type ownership struct {
	manager, subresource string
	operation            metav1.ManagedFieldsOperationType
	size                 int
	at                   time.Time
}

// ReadWriters reads managedFields.
func ReadWriters(fields []metav1.ManagedFieldsEntry) Writers {
	w := make(Writers, 0, len(fields))
	for i := range fields {
		if m := &fields[i]; m.FieldsV1 != nil {
			w = append(w, newOwnership(m))
		}
	}
	return w
}

func newOwnership(m *metav1.ManagedFieldsEntry) ownership {
	o := ownership{manager: m.Manager, subresource: m.Subresource, operation: m.Operation, size: len(m.FieldsV1.GetRawBytes())}
	if m.Time != nil {
		o.at = m.Time.Time
	}
	return o
}

// of is what the manager of an entry owned; of two entries for it the last counts.
func (w Writers) of(m *ownership) (owned ownership, known bool) {
	for _, o := range slices.Backward(w) {
		if o.manager == m.manager && o.subresource == m.subresource && o.operation == m.operation {
			return o, true
		}
	}
	return owned, false
}

// gained is how much a manager's last write has brought it, as far as that came
// since: all of what it owns if the time has moved, and what is more of it if it
// wrote within the same second. Without a gain it may not have written at all.
func (w Writers) gained(m *metav1.ManagedFieldsEntry) int {
	now := newOwnership(m)
	if last, known := w.of(&now); known && !now.at.After(last.at) {
		return now.size - last.size
	}
	return now.size
}

// Writer returns who last wrote the pod template, or else the replicas.
//
// A write that only removes something leaves no entry: the API server takes the
// field from those that owned it. Of a template others own the rest, as before; they
// are not named unless they are seen to have written since. The replicas are owned by
// who set them, or by nobody.
func Writer(fields []metav1.ManagedFieldsEntry, template bool, before Writers) Written {
	if !template {
		return WriterOf(fields, `"f:replicas"`, before)
	}
	w := WriterOf(fields, `"f:template"`, before)
	if w.Gained <= 0 {
		w.Manager, w.Subresource = "", ""
	}
	return w
}

// WriterOf returns who last wrote a field of the spec, of those that own it. The
// fields are in managedFields as JSON; a scan for the field's name is enough to tell
// whether an entry owns it. The times are whole seconds; among equals it counts who
// owns more than before.
func WriterOf(fields []metav1.ManagedFieldsEntry, field string, before Writers) Written {
	var w Written
	for i := range fields {
		m := &fields[i]
		if m.FieldsV1 == nil || !ownsSpec(m, field) {
			continue
		}
		at, gained := newOwnership(m).at, before.gained(m)
		if w.Manager == "" || at.After(w.At) || at.Equal(w.At) && gained > w.Gained {
			w = Written{Manager: m.Manager, Subresource: m.Subresource, At: at, Gained: gained}
		}
	}
	return w
}

// StatusWritten returns when the status was last written, by the managedFields:
// a whole second, zero if not stated.
func StatusWritten(fields []metav1.ManagedFieldsEntry) time.Time {
	var at time.Time
	for i := range fields {
		if m := &fields[i]; m.Subresource == "status" && m.Time != nil {
			at = evidence.Latest(at, m.Time.Time)
		}
	}
	return at
}

// Owns reports whether an entry has a field, of whatever part of the object.
func Owns(m *metav1.ManagedFieldsEntry, field string) bool {
	return m.FieldsV1 != nil && bytes.Contains(m.FieldsV1.GetRawBytes(), []byte(field))
}

func ownsSpec(m *metav1.ManagedFieldsEntry, field string) bool {
	raw := m.FieldsV1.GetRawBytes()
	spec := bytes.Index(raw, []byte(`"f:spec"`))
	return spec >= 0 && bytes.Contains(raw[spec:], []byte(field))
}

// WrittenAt dates a write by the managedFields, whose time moves with every
// value that changes; previous is what they said before. Without a newer time
// (there may be no managedFields at all) there is only the arrival.
func WrittenAt(w Written, previous, arrival, seen time.Time) evidence.Moment {
	if !w.Seen.IsZero() {
		arrival = w.Seen
	}
	m := evidence.InSecond(w.At, arrival)
	if !w.At.IsZero() && (w.At.After(previous) || w.At.Equal(previous) && !m.Latest.IsZero()) {
		return m
	}
	return evidence.Arrived(seen)
}

package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/spans"
)

// CutSentence cuts a text after its first sentence.
func CutSentence(s string) string {
	first, _, _ := strings.Cut(s, ". ")
	return strings.TrimSuffix(first, ".")
}

// Much of what objects say is free text, which the API server bounds only by the
// size of the object: messages and reasons of Events, of conditions and of waiting
// containers, images, and the names and UIDs in references. All of it is cut where
// it comes in, in this file, so that no record has to think of it.

// MaxIdentity is the longest name or UID that is kept whole. Names in Kubernetes
// have at most 253 bytes.
const MaxIdentity = 512

// identity shortens what tells things apart. What was cut ends in a digest of the
// whole, so that two things do not become one.
func identity(id string) string { return digested(id, MaxIdentity) }

func digested(id string, most int) string {
	if len(id) <= most {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	end := "…" + hex.EncodeToString(sum[:16])
	return spans.CutTo(id, most-len(end)) + end
}

// Bounded returns the object, or if any text in it is too long a copy in which all
// are cut: what tells things apart as identity does, and what is only shown to what
// is sent of it.
func Bounded(object runtime.Object) runtime.Object {
	long := false
	visitTexts(object, func(t *string, cut func(string) string) {
		long = long || len(*t) > MaxIdentity && len(cut(*t)) < len(*t)
	})
	if !long {
		return object
	}
	object = object.DeepCopyObject()
	visitTexts(object, func(t *string, cut func(string) string) { *t = cut(*t) })
	return object
}

// textVisitor gets a text and how it is cut.
type textVisitor func(t *string, cut func(string) string)

// shown is for free text.
func (v textVisitor) shown(texts ...*string) {
	for _, t := range texts {
		v(t, spans.Cut)
	}
}

// named is for what tells things apart; of what is not there it gets nil.
func (v textVisitor) named(ids ...*string) {
	for _, id := range ids {
		if id != nil {
			v(id, identity)
		}
	}
}

// visitTexts calls visit for each text in the object that the engine may keep.
// Pod templates are not among them: see podTemplate.
func visitTexts(object runtime.Object, visit textVisitor) {
	if has, ok := object.(metav1.ObjectMetaAccessor); ok {
		if meta, ok := has.GetObjectMeta().(*metav1.ObjectMeta); ok {
			visit.meta(meta)
		}
	}
	if typ, ok := object.GetObjectKind().(*metav1.TypeMeta); ok {
		visit.named(&typ.Kind)
	}
	switch in := object.(type) {
	case *corev1.Event:
		visit.event(in)
	case *corev1.Pod:
		visit.pod(in)
	case *corev1.Node:
		visit.named(&in.Status.NodeInfo.BootID)
		for i := range in.Status.Conditions {
			visit.shown(&in.Status.Conditions[i].Reason, &in.Status.Conditions[i].Message)
		}
	case *appsv1.ReplicaSet:
		for i := range in.Status.Conditions {
			visit.shown(&in.Status.Conditions[i].Reason, &in.Status.Conditions[i].Message)
		}
	case *appsv1.StatefulSet:
		visit.named(&in.Status.CurrentRevision, &in.Status.UpdateRevision)
	case *batchv1.Job:
		visit.named(in.Spec.ManagedBy)
		for i := range in.Status.Conditions {
			visit.shown(&in.Status.Conditions[i].Reason, &in.Status.Conditions[i].Message)
		}
	case *autoscalingv2.HorizontalPodAutoscaler:
		visit.named(&in.Spec.ScaleTargetRef.Kind, &in.Spec.ScaleTargetRef.Name)
	case *corev1.PersistentVolumeClaim:
		visit.named(&in.Spec.VolumeName, in.Spec.StorageClassName)
	}
}

func (v textVisitor) meta(in *metav1.ObjectMeta) {
	v.named(&in.Name, &in.Namespace, (*string)(&in.UID))
	for i := range in.OwnerReferences {
		ref := &in.OwnerReferences[i]
		v.named(&ref.APIVersion, &ref.Kind, &ref.Name, (*string)(&ref.UID))
	}
	for i := range in.Finalizers {
		v.named(&in.Finalizers[i])
	}
	for i := range in.ManagedFields {
		m := &in.ManagedFields[i]
		v.named(&m.Manager, &m.Subresource, (*string)(&m.Operation))
	}
}

func (v textVisitor) event(in *corev1.Event) {
	v.reference(&in.InvolvedObject)
	if in.Related != nil {
		v.reference(in.Related)
	}
	v.shown(&in.Type, &in.Reason, &in.Message, &in.ReportingController, &in.Source.Component)
}

func (v textVisitor) reference(ref *corev1.ObjectReference) {
	v.named(&ref.APIVersion, &ref.Kind, &ref.Namespace, &ref.Name, (*string)(&ref.UID), &ref.FieldPath)
}

func (v textVisitor) pod(in *corev1.Pod) {
	v.named(&in.Spec.NodeName, &in.Status.NominatedNodeName, (*string)(&in.Spec.RestartPolicy), (*string)(&in.Status.Phase))
	for i := range in.Spec.Volumes {
		volume := &in.Spec.Volumes[i]
		v.named(&volume.Name)
		if volume.PersistentVolumeClaim != nil {
			v.named(&volume.PersistentVolumeClaim.ClaimName)
		}
		if volume.Image != nil {
			v.shown(&volume.Image.Reference)
		}
	}
	for _, containers := range [][]corev1.Container{in.Spec.InitContainers, in.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			v.named(&c.Name, (*string)(c.RestartPolicy))
			v.shown(&c.Image)
			for j := range c.RestartPolicyRules {
				rule := &c.RestartPolicyRules[j]
				v.named((*string)(&rule.Action))
				if rule.ExitCodes != nil {
					v.named((*string)(&rule.ExitCodes.Operator))
				}
			}
		}
	}
	v.shown(&in.Status.Reason, &in.Status.Message)
	for i := range in.Status.Conditions {
		v.shown(&in.Status.Conditions[i].Reason, &in.Status.Conditions[i].Message)
	}
	for _, statuses := range [][]corev1.ContainerStatus{in.Status.InitContainerStatuses, in.Status.ContainerStatuses} {
		for i := range statuses {
			s := &statuses[i]
			v.named(&s.Name, &s.ContainerID)
			v.shown(&s.ImageID)
			if w := s.State.Waiting; w != nil {
				v.shown(&w.Reason, &w.Message)
			}
			for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
				if t != nil {
					v.named(&t.ContainerID)
					v.shown(&t.Reason, &t.Message)
				}
			}
		}
	}
}

// UIDOf is a UID from where it is free text.
func UIDOf(text string) types.UID { return types.UID(identity(text)) }

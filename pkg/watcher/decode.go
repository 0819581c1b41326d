package watcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
)

// newObject returns an empty object to decode a kind into: the kinds whose
// whole content the engine reads are typed, of all others the metadata does.
func newObject(apiVersion, kind string) runtime.Object {
	switch apiVersion + " " + kind {
	case "v1 Event":
		return &corev1.Event{}
	case "events.k8s.io/v1 Event", "events.k8s.io/v1beta1 Event":
		return &eventsv1.Event{}
	case "v1 Pod":
		return &corev1.Pod{}
	case "apps/v1 Deployment":
		return &appsv1.Deployment{}
	case "apps/v1 ReplicaSet":
		return &appsv1.ReplicaSet{}
	case "apps/v1 StatefulSet":
		return &appsv1.StatefulSet{}
	case "apps/v1 DaemonSet":
		return &appsv1.DaemonSet{}
	case "apps/v1 ControllerRevision":
		return &appsv1.ControllerRevision{}
	case "batch/v1 Job":
		return &batchv1.Job{}
	case "batch/v1 CronJob":
		return &batchv1.CronJob{}
	case "v1 ReplicationController":
		return &corev1.ReplicationController{}
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return &autoscalingv2.HorizontalPodAutoscaler{}
	case "v1 Node":
		return &corev1.Node{}
	case "v1 PersistentVolumeClaim":
		return &corev1.PersistentVolumeClaim{}
	}
	return &metav1.PartialObjectMetadata{}
}

// decodeObject turns an object's JSON into what the engine understands. With
// an error the object is nil, or what is left of it without the fields that
// the error names.
func decodeObject(raw json.RawMessage) (runtime.Object, error) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, errors.New("object is missing")
	}
	var meta struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(raw, &meta); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	if meta.APIVersion == "" || meta.Kind == "" {
		return nil, errors.New("object: apiVersion and kind are needed")
	}
	return decodeKind(raw, meta.APIVersion, meta.Kind)
}

// decodeKind is decodeObject for an object whose kind is known from elsewhere:
// the items of some lists do not say it.
func decodeKind(raw json.RawMessage, apiVersion, kind string) (runtime.Object, error) {
	object := newObject(apiVersion, kind)
	damage := kjson.UnmarshalCaseSensitivePreserveInts(raw, object)
	if damage != nil {
		fresh := newObject(apiVersion, kind)
		dropped := salvage(raw, fresh, func() any { return newObject(apiVersion, kind) })
		if dropped == nil {
			return nil, fmt.Errorf("object: %w", damage)
		}
		object, damage = fresh, dropped
	}
	if e, ok := object.(*eventsv1.Event); ok {
		object, apiVersion = coreEvent(e), "v1"
	}
	object.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(apiVersion, kind))
	if m, ok := object.(metav1.Object); !ok || m.GetName() == "" && m.GetUID() == "" {
		return nil, errors.Join(damage, errors.New("object: metadata names neither a name nor a uid"))
	}
	return object, damage
}

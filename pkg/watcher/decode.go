package watcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// newObject returns an empty object to decode a kind into: what the engine reads, and the
// Events of the newer API, which become the others.
func newObject(apiVersion, kind string) runtime.Object {
	switch apiVersion + " " + kind {
	case "events.k8s.io/v1 Event", "events.k8s.io/v1beta1 Event":
		return &eventsv1.Event{}
	}
	return stream.NewObject(apiVersion, kind)
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

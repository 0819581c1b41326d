package causality_test

import (
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// newCustom is an object of which only the metadata is known.
func newCustom(meta metav1.ObjectMeta) runtime.Object {
	return &metav1.PartialObjectMetadata{ObjectMeta: meta}
}

func setCustom(_ *world, obj runtime.Object, key, val string, now time.Time) {
	if key != "manager" { // of the pod template
		panic("a custom resource has no " + key)
	}
	at := metav1.NewTime(now.Truncate(time.Second))
	obj.(*metav1.PartialObjectMetadata).ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: val, Time: &at, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":{}}}`),
	}}
}

func newAutoscaler(meta metav1.ObjectMeta) runtime.Object {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta}
}

func setAutoscaler(_ *world, obj runtime.Object, key, val string, _ time.Time) {
	if key != "target" {
		panic("a horizontal pod autoscaler has no " + key)
	}
	kind, name, _ := strings.Cut(val, "/")
	obj.(*autoscalingv2.HorizontalPodAutoscaler).Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{
		Kind: scenarioKinds()[kind].kind, Name: name,
	}
}

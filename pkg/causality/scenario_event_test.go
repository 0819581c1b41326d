package causality_test

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

func newEvent(meta metav1.ObjectMeta) runtime.Object {
	return &corev1.Event{ObjectMeta: meta, Type: corev1.EventTypeNormal}
}

func setEvent(w *world, obj runtime.Object, key, val string, _ time.Time) {
	ev := obj.(*corev1.Event)
	io := &ev.InvolvedObject
	switch key {
	case "on":
		kind, name, _ := strings.Cut(val, "/")
		*io = corev1.ObjectReference{Namespace: "shop", Name: name, Kind: scenarioKinds()[kind].kind}
		if obj, ok := w.objects[val]; ok {
			io.UID = obj.(metav1.Object).GetUID()
		}
		if kind == "node" {
			io.Namespace, ev.Namespace = "", "default"
		}
	case "about": // an object that somebody names, whether there is one or not: Kind.group/name
		who := claimedOwner(val)
		*io = corev1.ObjectReference{Namespace: ev.Namespace, Name: who.Name, Kind: who.Kind, APIVersion: who.APIVersion, UID: who.UID}
		if who.Kind == "Node" {
			io.Namespace = ""
		}
	case "about-namespace":
		io.Namespace = val
	case "from": // the component that says so
		ev.Source.Component = val
	case "host": // its node, which kubelets alone name
		ev.Source.Host = val
	case "related":
		kind, name, _ := strings.Cut(val, "/")
		ev.Related = &corev1.ObjectReference{Namespace: "shop", Name: name, Kind: scenarioKinds()[kind].kind, UID: w.objects[val].(metav1.Object).GetUID()}
	case "container":
		io.FieldPath = "spec.containers{" + val + "}"
	case "ephemeral":
		io.FieldPath = "spec.ephemeralContainers{" + val + "}"
	case "reason":
		ev.Reason = val
	case "message":
		ev.Message = val
	case "type":
		ev.Type = val
	case "at": // to the nanosecond, in the name
		at := clock(val)
		ev.Name = fmt.Sprintf("%s.%x", ev.Name, at.UnixNano())
		ev.FirstTimestamp = metav1.NewTime(at.Truncate(time.Second))
		ev.LastTimestamp = ev.FirstTimestamp
		ev.Count = 1
	case "second":
		ev.FirstTimestamp = metav1.NewTime(clock(val))
		ev.LastTimestamp = ev.FirstTimestamp
	case "count":
		ev.Count = int32(atoi(val))
	case "last":
		ev.LastTimestamp = metav1.NewTime(clock(val).Truncate(time.Second))
	case "object-uid":
		io.UID = types.UID(val)
	case "no-object-uid":
		io.UID = ""
	case "no-kind":
		io.Kind = ""
	case "no-name":
		ev.Name = ""
	case "no-time":
		ev.FirstTimestamp, ev.LastTimestamp, ev.CreationTimestamp = metav1.Time{}, metav1.Time{}, metav1.Time{}
	default:
		panic("an event has no " + key)
	}
}

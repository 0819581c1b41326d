package causality

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/spans"
)

const longText = 20 << 10

// filler writes a long text of its own into whatever string of an object is empty.
type filler struct{ n int }

func (f *filler) text() string {
	f.n++
	return fmt.Sprintf("%s%d", strings.Repeat("x", longText), f.n)
}

// fill makes what is nil on its way. The alternatives of a container's state and the
// times are left as they are.
func (f *filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.Len() == 0 {
			v.SetString(f.text())
		}
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		f.fill(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key)
		f.fill(value)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		state := v.Type() == reflect.TypeFor[corev1.ContainerState]()
		for _, field := range v.Fields() {
			if !field.CanSet() || field.Type() == reflect.TypeFor[metav1.Time]() || field.Type() == reflect.TypeFor[*metav1.Time]() ||
				state && field.IsNil() {
				continue
			}
			f.fill(field)
		}
	}
}

// keptTexts calls visit for each string that can be reached from v.
func keptTexts(v reflect.Value, path string, seen map[any]bool, visit func(path, text string)) {
	switch v.Kind() {
	case reflect.String:
		visit(path, v.String())
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return
		}
		seen[v.Pointer()] = true
		keptTexts(v.Elem(), path, seen, visit)
	case reflect.Interface:
		keptTexts(v.Elem(), path, seen, visit)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			keptTexts(v.Index(i), path+"[]", seen, visit)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			keptTexts(it.Key(), path+" key", seen, visit)
			keptTexts(it.Value(), path+"[]", seen, visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			keptTexts(v.Field(i), path+"."+v.Type().Field(i).Name, seen, visit)
		}
	}
}

// TestNoTextIsKeptWhole fills all there is to fill in objects of every kind with
// long texts: none of them is kept longer than it would be sent.
func TestNoTextIsKeptWhole(t *testing.T) {
	l := newLife()
	f := &filler{}
	see := func(object runtime.Object) {
		if kind := object.GetObjectKind(); kube.KindOf(object) != "PartialObjectMetadata" {
			kind.SetGroupVersionKind(schema.GroupVersionKind{Kind: kube.KindOf(object)})
		}
		f.fill(reflect.ValueOf(object).Elem())
		l.see(watch.Added, object)
	}
	yes := true
	owned := func(name, kind, owner string) metav1.ObjectMeta {
		return metav1.ObjectMeta{UID: types.UID(name), Name: name, Namespace: "shop", Generation: 1, OwnerReferences: []metav1.OwnerReference{{
			Kind: kind, APIVersion: "apps/v1", UID: types.UID(owner), Controller: &yes,
		}}, ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{},"f:template":{}}}`)}}}
	}
	see(&appsv1.Deployment{ObjectMeta: owned("web", "Shop", "shop")})
	see(&appsv1.ReplicaSet{ObjectMeta: owned("web-1", "Deployment", "web"), Status: appsv1.ReplicaSetStatus{
		Conditions: []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue}},
	}})
	see(&appsv1.StatefulSet{ObjectMeta: owned("db", "Shop", "")})
	see(&appsv1.DaemonSet{ObjectMeta: owned("agent", "Shop", "")})
	see(&corev1.ReplicationController{ObjectMeta: owned("rc", "Shop", "")})
	see(&appsv1.ControllerRevision{ObjectMeta: owned("db-1", "StatefulSet", "db")})
	see(&batchv1.CronJob{ObjectMeta: owned("nightly", "Shop", "")})
	job := &batchv1.Job{ObjectMeta: owned("nightly-1", kube.KindCronJob, "")}
	see(job)
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
	see(job)
	see(&autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: owned("hpa", "Shop", "")})
	see(&corev1.PersistentVolumeClaim{ObjectMeta: owned("data", "Shop", "")})
	see(&metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: "Shop"}, ObjectMeta: owned("shop", "Mall", "")})
	see(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: "other"}})
	for _, status := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{UID: "node", Name: "node"}}
		for _, typ := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeNetworkUnavailable} {
			node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{Type: typ, Status: status, LastTransitionTime: metav1.NewTime(l.at)})
		}
		node.Spec.Unschedulable = true
		see(node)
	}
	states := []corev1.ContainerState{
		{Waiting: &corev1.ContainerStateWaiting{}},
		{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}},
		{Running: &corev1.ContainerStateRunning{}},
		{Terminated: &corev1.ContainerStateTerminated{Reason: "StartError", ExitCode: 128}},
		{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}},
	}
	for _, mirror := range []bool{false, true} {
		for i, state := range states {
			meta := owned(fmt.Sprint("web-1-", mirror), "ReplicaSet", "web-1")
			if mirror {
				meta.OwnerReferences[0].Kind = "Node"
				meta.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: f.text()}
			}
			if i == len(states)-1 {
				now, none := metav1.NewTime(l.at), int64(0)
				meta.DeletionTimestamp, meta.DeletionGracePeriodSeconds = &now, &none
			}
			p := &corev1.Pod{ObjectMeta: meta}
			p.Spec.Containers = []corev1.Container{{Name: "web"}, {}}
			p.Spec.Volumes = []corev1.Volume{{Name: "data"}, {}}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", State: state, LastTerminationState: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{Reason: "ContainerCannotRun"},
			}}}
			for _, typ := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReady, corev1.DisruptionTarget} {
				for _, status := range []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue} {
					p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: typ, Status: status})
				}
			}
			see(p)
		}
	}
	for _, of := range []corev1.ObjectReference{
		{},
		{Kind: kube.KindPod, Namespace: "shop", Name: "web-1-false", UID: "web-1-false"},
		{Kind: kube.KindPod, Namespace: "shop", Name: "web-1-false", UID: "web-1-false", FieldPath: "spec.containers{" + f.text() + "}"},
	} {
		ev := &corev1.Event{InvolvedObject: of, Related: &corev1.ObjectReference{Kind: kube.KindPod}}
		see(ev)
		ev.Count, ev.Message = 2, ""
		see(ev)
	}

	most := len(spans.Cut(strings.Repeat("x", longText)))
	// The last of the path to what was, but for the parts of an ObjectID; in lower case, as
	// it does not matter who else may read a field.
	cut := map[string]bool{}
	keptTexts(reflect.ValueOf(l.Engine), "engine", map[any]bool{}, func(path, text string) {
		if len(text) > most {
			t.Errorf("%s keeps %d bytes", path, len(text))
		}
		if len(text) >= kube.MaxIdentity {
			path = strings.ToLower(path)
			cut[path[strings.LastIndexByte(path, '.')+1:]] = true
			path = strings.TrimSuffix(path, ".uid")
			cut[path[strings.LastIndexByte(path, '.')+1:]] = true
		}
	})
	for _, field := range []string{
		"message", "reason", "refusal", "eventtype", "component", "related", "image", "imageid", "id", "uid", "name",
		"namespace", "kind", "finalizers[]", "mirrors", "nominatednode", "node", "disruption", "revisionname", "class", "volume",
		"key", "manager", "runner", "imagesafter[]", "bootid", "subresource",
	} {
		if !cut[field] {
			t.Errorf("no %s was long, so the test says nothing of it", field)
		}
	}
}

// An object's own name and the one in an Event about it are cut alike.
func TestALongNameFindsItsObject(t *testing.T) {
	l := newLife()
	p := &corev1.Pod{ObjectMeta: l.meta("pod", strings.Repeat("p", longText), nil)}
	l.see(watch.Added, p)
	l.event(p, "Scheduled")
	if pod := l.pods[kube.ObjectID{Kind: kube.KindPod, Namespace: p.Namespace, UID: kube.UIDOf(string(p.UID))}]; pod == nil || len(pod.Events) != 1 {
		t.Errorf("the Event did not find its pod")
	}
	if len(p.Name) != longText {
		t.Error("the object that was observed was changed")
	}
}

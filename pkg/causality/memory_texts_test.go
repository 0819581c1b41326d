package causality

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
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
	see(&appsv1.ReplicaSet{ObjectMeta: owned("web-1", workloads.KindDeployment, "web"), Status: appsv1.ReplicaSetStatus{
		Conditions: []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue}},
	}})
	see(&appsv1.StatefulSet{ObjectMeta: owned("db", "Shop", "")})
	see(&appsv1.DaemonSet{ObjectMeta: owned("agent", "Shop", "")})
	see(&corev1.ReplicationController{ObjectMeta: owned("rc", "Shop", "")})
	see(&appsv1.ControllerRevision{ObjectMeta: owned("db-1", workloads.KindStatefulSet, "db")})
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
			meta := owned(fmt.Sprint("web-1-", mirror), workloads.KindReplicaSet, "web-1")
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
		"key", "manager", "runner", "imagesafter[]", "bootid", "writers key",
	} {
		if !cut[field] {
			t.Errorf("no %s was long, so the test says nothing of it", field)
		}
	}
}

// What tells things apart still does when it is cut.
func TestIdentitiesStayDistinct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		common := strings.Repeat("n", rapid.IntRange(0, 2*kube.MaxIdentity).Draw(t, "common"))
		tail := rapid.SliceOfNDistinct(rapid.StringN(0, 600, -1), 2, 2, rapid.ID[string])
		two := tail.Draw(t, "tails")
		a, b := kube.Identity(common+two[0]), kube.Identity(common+two[1])
		if a == b {
			t.Fatalf("two are one: %q", a)
		}
		if len(a) > kube.MaxIdentity || len(b) > kube.MaxIdentity {
			t.Fatal("they are not cut")
		}
		if len(common+two[0]) <= kube.MaxIdentity && a != common+two[0] {
			t.Fatal("one was cut that need not be")
		}
	})
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

// words of a history in tests.
type spoken string

func (s spoken) Words() (reason, message string) { return "Spoken", string(s) }

// A history keeps its first and its last entry, and of the others the latest for
// which there is room; words that repeat take room once.
func TestHistoriesAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(2, 100).Draw(t, "most")
		lengths := rapid.SliceOfN(rapid.SampledFrom([]int{10, 300, 4096}), 1, 200).Draw(t, "lengths")
		var history, all []spoken
		for i, n := range lengths {
			text := strings.Repeat("m", n)
			if rapid.Bool().Draw(t, "new") {
				text = fmt.Sprint(i, text)
			}
			entry := spoken(evidence.Shared(history, text))
			all = append(all, entry)
			history = evidence.Trimmed(append(history, entry), most)
			if len(history) > most || evidence.WordsIn(history) > evidence.MaxWords {
				t.Fatalf("%d entries of %d bytes", len(history), evidence.WordsIn(history))
			}
			if history[0] != all[0] || history[len(history)-1] != entry {
				t.Fatal("the first or the last is not there")
			}
			if rest := history[1:]; !slices.Equal(rest, all[len(all)-len(rest):]) {
				t.Fatal("those between are not the latest")
			}
		}
	})
}

// One text that a container waits with, or an Event repeats with, is there once
// however often it comes, as those that were decoded with it are not needed.
func TestRepeatedTextsAreSharedInMemory(t *testing.T) {
	container := &podlife.Container{}
	at := time.Unix(1, 0)
	messages := map[*byte]bool{}
	for i := range 4 * podlife.MaxTransitions {
		container.Wait([]string{"ErrImagePull", "ImagePullBackOff"}[i%2], strings.Clone(strings.Repeat("m", 1000)), at, at)
	}
	for _, w := range container.Waits {
		messages[unsafe.StringData(w.Message)] = true
	}
	if len(container.Waits) != podlife.MaxTransitions || len(messages) != 1 {
		t.Errorf("%d waits have %d copies of one text", len(container.Waits), len(messages))
	}
	clear(messages)
	ev := &podlife.Event{Occurrences: []podlife.Occurrence{{Count: 1, At: at, Message: strings.Repeat("m", 1000)}}}
	for i := range int32(3 * podlife.MaxOccurrences) {
		ev.Add(podlife.Occurrence{Count: 2 + i, At: at, Message: strings.Repeat("m", 1000)})
	}
	for _, o := range ev.Occurrences {
		messages[unsafe.StringData(o.Message)] = true
	}
	if len(ev.Occurrences) != podlife.MaxOccurrences || len(messages) != 1 {
		t.Errorf("%d occurrences have %d copies of one text", len(ev.Occurrences), len(messages))
	}
}

// Containers are found by name however many there are, of a name the first.
func TestContainersAreFoundByName(t *testing.T) {
	for _, n := range []int{1, podlife.FewContainers, podlife.FewContainers + 1, 500} {
		pod := &podlife.Pod{}
		in := &corev1.Pod{}
		for i := range n {
			in.Spec.Containers = append(in.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i/2), Image: fmt.Sprint(i)})
		}
		pod.ObserveContainers(in, time.Time{}, time.Unix(1, 0))
		for i := range n {
			if container := pod.Container(fmt.Sprint("c", i/2)); container == nil || container.Image != fmt.Sprint(i/2*2) {
				t.Errorf("of %d containers, %d is not found: %v", n, i, container)
			}
		}
		if container := pod.Container("other"); container != nil {
			t.Errorf("%v is found", container)
		}
	}
}

// Of a template that is too large to be taken apart it is known whether it has
// changed, and not told how.
func TestHugeTemplatesAreNotTakenApart(t *testing.T) {
	many := typicalTemplate()
	for i := range kube.MaxFields {
		many.Spec.Containers[0].Env = append(many.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprint("V", i)})
	}
	long := typicalTemplate()
	long.Annotations["text"] = strings.Repeat("x", kube.MaxTemplate)
	typical := kube.NewPodTemplate(typicalTemplate())
	for what, template := range map[string]*corev1.PodTemplateSpec{"fields": many, "text": long} {
		huge := kube.NewPodTemplate(template)
		if huge.Hash == typical.Hash || len(huge.Images) == 0 {
			t.Errorf("%s: it is not told apart", what)
		}
		if huge.Fields != nil || huge.ChangedFrom(&typical) != nil || typical.ChangedFrom(&huge) != nil {
			t.Errorf("%s: it was taken apart", what)
		}
	}

	named := typicalTemplate()
	named.Spec.Containers[0].Env = append(named.Spec.Containers[0].Env, corev1.EnvVar{Name: strings.Repeat("N", longText)}, corev1.EnvVar{Name: strings.Repeat("N", longText+1)})
	longName := kube.NewPodTemplate(named)
	changed := longName.ChangedFrom(&typical)
	if len(changed) != 2 || len(changed[0]) != kube.MaxIdentity || len(changed[1]) != kube.MaxIdentity {
		t.Errorf("of two long names that came is told: %q", changed)
	}
}

// A number that others may write into an annotation again and again is kept as often
// as a ControllerRevision's.
func TestRolledBackRevisionsAreBounded(t *testing.T) {
	set := &workloads.PodSet{By: &workloads.DeploymentController, RolledBackTo: map[int64]int64{}}
	for i := range int64(1000) {
		set.ObserveRevision(map[string]string{workloads.RevisionAnnotation: fmt.Sprint(i + 2), workloads.RevisionHistoryAnnotation: fmt.Sprint(i + 1)})
	}
	if len(set.RolledBackTo) != workloads.MaxNumbers || set.RolledBackTo[1001] != 1000 {
		t.Errorf("%d are kept, the latest is %d", len(set.RolledBackTo), set.RolledBackTo[1001])
	}
}

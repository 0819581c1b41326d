package causality_test

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality"
)

// baseSnapshot is a snapshot to be mutated, and when it was taken.
type baseSnapshot struct {
	name    string
	at      time.Time
	objects []runtime.Object
}

// momentsOfBases is how many snapshots are cut from one recording.
const momentsOfBases = 6

// baseSnapshots are snapshots cut from every recording and every scenario, in an
// order that does not change.
var baseSnapshots = sync.OnceValue(func() []baseSnapshot {
	t := &loader{}
	var out []baseSnapshot
	for _, name := range recordings(t) {
		out = append(out, cut(name, load(t, name), momentsOfBases)...)
	}
	for name, obs := range scenarioStreams(t) {
		out = append(out, cut(name, obs, 2)...)
	}
	return out
})

// loader stands in for a test while there is none: snapshots are cut once.
type loader struct{ testing.TB }

func (*loader) Helper()                     {}
func (*loader) Fatal(why ...any)            { panic(fmt.Sprint(why...)) }
func (*loader) Fatalf(how string, a ...any) { panic(fmt.Sprintf(how, a...)) }

// observed is an observation in the language of scenarios.
var observed = regexp.MustCompile(`(?m)^\d+:[\d.]+ (?:ADDED|MODIFIED|DELETED) .*$`)

// cut takes snapshots along a stream, the last at its end.
func cut(name string, obs []causality.Observation, n int) []baseSnapshot {
	var out []baseSnapshot
	for i := 1; i <= n; i++ {
		at := obs[max(len(obs)*i/n, 1)-1].Time
		out = append(out, baseSnapshot{fmt.Sprintf("%s at %s", name, at.Format(time.TimeOnly)), at, snapshotAt(obs, at)})
	}
	return out
}

// maxMutations bounds what is done to one snapshot.
const maxMutations = 48

// mutated is a copy of a snapshot to which was done what the bytes say.
func (b baseSnapshot) mutated(how []byte) []runtime.Object {
	m := &mutator{at: b.at, left: how}
	for _, o := range b.objects {
		m.objects = append(m.objects, o.DeepCopyObject())
	}
	for n := 0; len(m.left) > 0 && len(m.objects) > 0 && n < maxMutations; n++ {
		m.mutate()
	}
	return m.objects
}

// mutator does to a snapshot what bytes say. When there are no more, they are zero.
type mutator struct {
	at      time.Time
	objects []runtime.Object
	left    []byte
	made    int // objects that were made
}

func (m *mutator) byte() int {
	if len(m.left) == 0 {
		return 0
	}
	b := m.left[0]
	m.left = m.left[1:]
	return int(b)
}

func oneOf[T any](m *mutator, from ...T) T { return from[m.byte()%len(from)] }

func (m *mutator) object() metav1.Object { return oneOf(m, m.objects...).(metav1.Object) }

// time is one that objects state, of the past or rubbish.
func (m *mutator) time() metav1.Time {
	return metav1.NewTime(oneOf(m,
		time.Time{}, m.at, m.at.Add(-time.Second), m.at.Add(-time.Minute), m.at.Add(-10*time.Minute), m.at.Add(-48*time.Hour),
		m.at.Add(time.Second), m.at.AddDate(300, 0, 0), m.at.AddDate(-2000, 0, 0), time.Unix(0, 0),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), m.object().GetCreationTimestamp().Time))
}

func (m *mutator) int32() int32 {
	return oneOf[int32](m, 0, 1, 2, 3, 5, -1, -2, 1000, math.MaxInt32, math.MaxInt32-1, math.MinInt32)
}

func (m *mutator) int64() int64 {
	return oneOf[int64](m, 0, 1, 2, 3, 4, 5, -1, 1000, math.MaxInt64, math.MaxInt64-1, math.MinInt64, math.MaxInt32)
}

func (m *mutator) pointer() *int32 {
	if m.byte()%4 == 0 {
		return nil
	}
	return new(m.int32())
}

func (m *mutator) text() string {
	return oneOf(m, "", "x", " ", "-", "web-", "\xff\x1b[31m", strings.Repeat("y", 300), "Deployment", "a: b: c", m.object().GetName(), string(m.object().GetUID()))
}

// mutate does one thing to one object, or to which objects there are.
func (m *mutator) mutate() {
	what := m.byte()
	i := m.byte() % len(m.objects)
	meta := m.objects[i].(metav1.Object)
	switch what % 16 {
	case 0:
		m.objects = slices.Delete(m.objects, i, i+1)
	case 1: // the same again, elsewhere
		at := m.byte() % len(m.objects)
		m.objects = slices.Insert(m.objects, at, m.objects[i].DeepCopyObject())
	case 2:
		m.multiply(m.objects[i])
	case 3:
		meta.SetUID(oneOf(m, "", "new", m.object().GetUID()))
	case 4:
		meta.SetOwnerReferences(m.owners(m.objects[i]))
	case 5:
		gvk := m.objects[i].GetObjectKind().GroupVersionKind()
		gvk.Kind = oneOf(m, "", "Pod", "ReplicaSet", "Deployment", "StatefulSet", "Job", "Node", "Event", "Shop")
		m.objects[i].GetObjectKind().SetGroupVersionKind(gvk)
	case 6:
		meta.SetNamespace(oneOf(m, "", "other", m.object().GetNamespace()))
	case 7:
		meta.SetName(m.text())
	case 8:
		meta.SetCreationTimestamp(m.time())
	case 9:
		m.ask(meta)
	case 10:
		m.annotate(meta)
	case 11:
		meta.SetGeneration(m.int64())
	case 12: // nothing of a kind
		kind := kindOfObject(m.objects[i])
		m.objects = slices.DeleteFunc(m.objects, func(o runtime.Object) bool { return kindOfObject(o) == kind })
	case 13:
		meta.SetManagedFields([]metav1.ManagedFieldsEntry{
			{Manager: m.text(), FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":{},"f:replicas":{}}}`), Time: new(m.time())},
			{Manager: "x", Subresource: "status"}, {FieldsV1: metav1.NewFieldsV1("{")},
		})
		meta.SetResourceVersion(m.text())
	default:
		m.content(m.objects[i])
	}
}

// multiply adds objects that are like one, each with a UID of its own.
func (m *mutator) multiply(o runtime.Object) {
	for n := m.byte() % 8; n > 0; n-- {
		next := o.DeepCopyObject()
		meta := next.(metav1.Object)
		m.made++
		meta.SetUID(types.UID(fmt.Sprintf("made-%d", m.made)))
		if m.byte()%2 == 0 {
			meta.SetName(fmt.Sprintf("%s-%d", meta.GetName(), m.made))
		}
		m.objects = append(m.objects, next)
	}
}

// owners are owner references of an object: others, none, twice, itself.
func (m *mutator) owners(of runtime.Object) []metav1.OwnerReference {
	refs := of.(metav1.Object).GetOwnerReferences()
	owner := oneOf(m, m.objects...)
	if m.byte()%8 == 0 {
		owner = of
	}
	meta := owner.(metav1.Object)
	group := owner.GetObjectKind().GroupVersionKind()
	ref := metav1.OwnerReference{APIVersion: group.GroupVersion().String(), Kind: group.Kind, Name: meta.GetName(), UID: meta.GetUID(), Controller: new(true)}
	switch m.byte() % 6 {
	case 0:
		return nil
	case 1:
		return append(refs, refs...)
	case 2:
		return append(refs, ref)
	case 3:
		ref.Kind, ref.UID = m.text(), types.UID(m.text())
	case 4:
		ref.Controller = nil
	}
	return []metav1.OwnerReference{ref}
}

// ask has an object deleted, or not.
func (m *mutator) ask(meta metav1.Object) {
	meta.SetDeletionTimestamp(nil)
	if m.byte()%4 > 0 {
		meta.SetDeletionTimestamp(new(m.time()))
		meta.SetDeletionGracePeriodSeconds(oneOf(m, nil, new(int64(30)), new(m.int64())))
	}
}

// annotate sets the annotations that number rollouts, and ones of others.
func (m *mutator) annotate(meta metav1.Object) {
	value := func() string {
		return oneOf(m, "", "1", "2", "3", "0", "-1", "007", "9223372036854775807", "99999999999999999999", "rubbish", "1,2,3", "3,2,1", ",,", "2,2", "1,9223372036854775807")
	}
	annotations := map[string]string{}
	maps.Copy(annotations, meta.GetAnnotations())
	switch m.byte() % 4 {
	case 0:
		annotations = nil
	case 1:
		annotations["deployment.kubernetes.io/revision"] = value()
	case 2:
		annotations["deployment.kubernetes.io/revision-history"] = value()
	case 3:
		annotations[corev1.MirrorPodAnnotationKey] = oneOf(m, "hash", string(m.object().GetUID()))
	}
	meta.SetAnnotations(annotations)
}

// content changes what only objects of a kind have.
func (m *mutator) content(o runtime.Object) {
	switch in := o.(type) {
	case *corev1.Event:
		m.event(in)
	case *corev1.Pod:
		m.pod(in)
	case *corev1.Node:
		for i := range in.Status.Conditions {
			in.Status.Conditions[i].LastTransitionTime, in.Status.Conditions[i].LastHeartbeatTime = m.time(), m.time()
		}
	case *appsv1.Deployment:
		m.deployment(in)
	case *appsv1.ReplicaSet:
		m.spec(&in.Spec.Replicas, &in.Spec.Template)
		in.Status = appsv1.ReplicaSetStatus{ObservedGeneration: m.int64(), Replicas: m.int32(), AvailableReplicas: m.int32()}
	case *appsv1.StatefulSet:
		m.spec(&in.Spec.Replicas, &in.Spec.Template)
		in.Status.ObservedGeneration, in.Status.UpdatedReplicas, in.Status.AvailableReplicas = m.int64(), m.int32(), m.int32()
		in.Status.UpdateRevision = m.text()
	case *appsv1.DaemonSet:
		m.spec(new(*int32), &in.Spec.Template)
		in.Status.ObservedGeneration, in.Status.DesiredNumberScheduled, in.Status.NumberAvailable = m.int64(), m.int32(), m.int32()
	case *appsv1.ControllerRevision:
		in.Revision = m.int64()
	case *batchv1.Job:
		in.Spec.Completions, in.Spec.Parallelism, in.Spec.BackoffLimit = m.pointer(), m.pointer(), m.pointer()
		in.Spec.Suspend = oneOf(m, nil, new(true), new(false))
		in.Status.StartTime = oneOf(m, nil, new(m.time()))
		in.Status.Conditions = append(in.Status.Conditions, batchv1.JobCondition{
			Type: oneOf(m, batchv1.JobComplete, batchv1.JobFailed, batchv1.JobSuspended), Status: m.status(), LastTransitionTime: m.time(), Reason: m.text(),
		})
	}
}

func (m *mutator) status() corev1.ConditionStatus {
	return oneOf(m, corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown, "")
}

// spec changes the replicas or the template of a workload.
func (m *mutator) spec(replicas **int32, template *corev1.PodTemplateSpec) {
	*replicas = m.pointer()
	switch m.byte() % 8 {
	case 0:
		template.Spec.Containers = nil
	case 1:
		template.Spec.InitContainers = append(template.Spec.InitContainers, template.Spec.Containers...)
	case 2:
		template.Spec.TerminationGracePeriodSeconds = new(m.int64())
	}
}

func (m *mutator) deployment(in *appsv1.Deployment) {
	m.spec(&in.Spec.Replicas, &in.Spec.Template)
	in.Spec.Paused = m.byte()%4 == 0
	in.Spec.MinReadySeconds, in.Spec.ProgressDeadlineSeconds = m.int32(), m.pointer()
	switch m.byte() % 4 {
	case 0:
		in.Status.Conditions = nil
	case 1:
		in.Status.ObservedGeneration, in.Status.UpdatedReplicas, in.Status.AvailableReplicas, in.Status.Replicas = m.int64(), m.int32(), m.int32(), m.int32()
	default:
		in.Status.Conditions = slices.Insert(in.Status.Conditions, m.byte()%(len(in.Status.Conditions)+1), appsv1.DeploymentCondition{
			Type: appsv1.DeploymentProgressing, Status: m.status(), LastUpdateTime: m.time(), LastTransitionTime: m.time(),
			Reason: oneOf(m, "NewReplicaSetAvailable", "ProgressDeadlineExceeded", "ReplicaSetUpdated", "DeploymentPaused", ""),
		})
	}
}

func (m *mutator) event(in *corev1.Event) {
	switch m.byte() % 6 {
	case 0:
		in.Count = m.int32()
		in.FirstTimestamp, in.LastTimestamp = m.time(), m.time()
	case 1:
		in.EventTime = metav1.MicroTime(m.time())
		in.Series = oneOf(m, nil, &corev1.EventSeries{Count: m.int32(), LastObservedTime: metav1.MicroTime(m.time())})
	case 2:
		in.Reason = oneOf(m, "", "ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete", "Scheduled", "Started", "Killing", "BackOff", "Failed", "Pulled")
	case 3:
		about := m.object()
		in.Message = oneOf(m, "",
			fmt.Sprintf("Scaled up replica set %s to %d", about.GetName(), uint32(m.int32())),   //nolint:gosec // any number will do
			fmt.Sprintf("Scaled up replica set %s from 0 to 3", about.GetName()),                // and without the number of before
			fmt.Sprintf("Scaled down replica set %s from 2147483647 to 0", about.GetName()),     // more than fits
			fmt.Sprintf("Scaled down replica set %s from 99999999999 to -1", about.GetName()),   // as no controller says
			fmt.Sprintf("(combined from similar events): Created pod: %s", about.GetName()),     // of many
			fmt.Sprintf("Successfully assigned shop/%s to n1", about.GetName()), "a to b to c:") // of the scheduler
	case 4:
		about := oneOf(m, m.objects...)
		meta := about.(metav1.Object)
		in.InvolvedObject = corev1.ObjectReference{
			Kind: oneOf(m, kindOfObject(about), "Pod", ""), Namespace: oneOf(m, meta.GetNamespace(), "other", ""), Name: meta.GetName(),
			UID: oneOf(m, meta.GetUID(), "", "gone", types.UID(m.text())), FieldPath: oneOf(m, "", "spec.containers{web}", "spec.containers{", "}{"),
		}
	case 5: // client-go's recorder writes the time into the name
		in.Name = oneOf(m, "web.ffffffffffffffff", "web.", ".0", m.text())
		in.FirstTimestamp, in.LastTimestamp, in.EventTime = metav1.Time{}, metav1.Time{}, metav1.MicroTime{}
	}
}

func (m *mutator) pod(in *corev1.Pod) {
	switch m.byte() % 6 {
	case 0:
		in.Status.Phase = oneOf(m, corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown, "")
		in.Status.StartTime = oneOf(m, nil, new(m.time()))
		in.Spec.NodeName = m.text()
	case 1:
		in.Status.Conditions = slices.Insert(in.Status.Conditions, m.byte()%(len(in.Status.Conditions)+1), corev1.PodCondition{
			Type:   oneOf(m, corev1.PodReady, corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReadyToStartContainers, corev1.DisruptionTarget),
			Status: m.status(), LastTransitionTime: m.time(), Reason: m.text(),
		})
	case 2:
		in.Status.Conditions, in.Status.ContainerStatuses = nil, nil
	case 3:
		in.Spec.Containers = oneOf(m, nil, append(in.Spec.Containers, in.Spec.Containers...))
	case 4:
		in.Status.InitContainerStatuses = append(in.Status.InitContainerStatuses, m.container(in))
	case 5:
		if n := len(in.Status.ContainerStatuses); n > 0 && m.byte()%2 == 0 {
			in.Status.ContainerStatuses[m.byte()%n] = m.container(in)
		} else {
			in.Status.ContainerStatuses = append(in.Status.ContainerStatuses, m.container(in))
		}
	}
}

// container is a container's status, of one that the spec has or of any.
func (m *mutator) container(in *corev1.Pod) corev1.ContainerStatus {
	s := corev1.ContainerStatus{Name: m.text(), RestartCount: m.int32(), ContainerID: m.text()}
	if n := len(in.Spec.Containers); n > 0 {
		s.Name = in.Spec.Containers[m.byte()%n].Name
	}
	for _, state := range []*corev1.ContainerState{&s.State, &s.LastTerminationState} {
		switch m.byte() % 4 {
		case 0:
			state.Running = &corev1.ContainerStateRunning{StartedAt: m.time()}
		case 1:
			state.Terminated = &corev1.ContainerStateTerminated{ExitCode: m.int32(), Reason: m.text(), StartedAt: m.time(), FinishedAt: m.time(), ContainerID: m.text()}
		case 2:
			state.Waiting = &corev1.ContainerStateWaiting{Reason: oneOf(m, "CrashLoopBackOff", "ImagePullBackOff", "ContainerCreating", "")}
		}
	}
	return s
}

// kindOfObject is the kind that an object says it is of, or else that of its type.
func kindOfObject(o runtime.Object) string {
	if kind := o.GetObjectKind().GroupVersionKind().Kind; kind != "" {
		return kind
	}
	return kindOf(causality.Observation{Object: o})
}

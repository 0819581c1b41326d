package causality_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// FuzzStream changes streams as nobody would: references to whatever there is, UIDs,
// kinds and namespaces of others, any times and numbers, repetitions, deletions. The
// engine must not have to contain anything, must end within a bound of work, and must
// put nothing that was written in one namespace into a trace of another.
//
// The input picks a stream, by its first byte, and where of it to begin; each four
// bytes after that are one mutation (see mutate). So the fuzzer's own mutations are
// small changes of these.
func FuzzStream(f *testing.F) {
	streams := baseStreams(f)
	for i := range streams {
		head := []byte{byte(i), byte(i >> 8), 0, 0}
		f.Add(head)
		for seed := range uint64(4) {
			f.Add(slices.Concat(head, drawn(mix(uint64(i), seed), 12)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 4 {
			t.Skip()
		}
		base := streams[int(binary.LittleEndian.Uint16(data))%len(streams)]
		withstand(t, mutated(base, data[2:]))
	})
}

// TestMutatedStreams is a part of FuzzStream for each run of the tests, with the same
// mutations each time.
func TestMutatedStreams(t *testing.T) {
	for i, base := range baseStreams(t) {
		for seed := range uint64(4) {
			withstand(t, mutated(base, drawn(mix(uint64(i), seed^99), 24)))
		}
	}
}

// drawn are the bytes of so many mutations.
func drawn(seed uint64, mutations int) []byte {
	var b bytes.Buffer
	for i := range 1 + mutations*4/8 {
		_ = binary.Write(&b, binary.LittleEndian, mix(seed, uint64(i))) // never fails
	}
	return b.Bytes()
}

// withstand feeds a stream to an engine and checks what comes out.
func withstand(t *testing.T, obs []causality.Observation) {
	t.Helper()
	e := newEngine(causality.Options{InProgressAfter: time.Minute})
	e.SetWorkBudget(200_000) // a thousandth of what it has where it runs
	var out []spans.Trace
	namespaces := map[string]map[string]bool{} // of the Events of one name
	for _, o := range obs {
		if ev, ok := o.Object.(*corev1.Event); ok {
			if namespaces[ev.Name] == nil {
				namespaces[ev.Name] = map[string]bool{}
			}
			namespaces[ev.Name][ev.Namespace] = true
		}
		out = append(out, e.Observe(o)...)
	}
	out = append(out, e.Flush()...)
	all := allSpans(out)
	if most := 200 + 100*len(obs); len(all) > most {
		t.Errorf("%d spans of %d observations", len(all), len(obs))
	}
	for i := range all {
		checkSpan(t, &all[i], namespaces)
	}
	for _, tr := range out {
		for i := range tr.Spans {
			if tr.Spans[i].TraceID != tr.Spans[0].TraceID {
				t.Errorf("%s is not of the trace that it comes with", tr.Spans[i].Name)
			}
		}
	}
}

func checkSpan(t *testing.T, s *spans.Span, namespaces map[string]map[string]bool) {
	t.Helper()
	if s.End.Before(s.Start) {
		t.Errorf("%s ends before it starts", s.Name)
	}
	if s.Status == codes.Error && s.Message == "" {
		t.Errorf("%s failed without a reason", s.Name)
	}
	of := ""
	if v, ok := s.Attribute("k8s.namespace.name"); ok {
		of = v.AsString()
	}
	for _, ev := range s.Events {
		for _, kv := range ev.Attributes {
			if kv.Key != "k8s.event.name" {
				continue
			}
			from := namespaces[kv.Value.AsString()]
			// One without a namespace is damaged: no API server has it.
			global := of == "" && (from["default"] || from["kube-system"])
			if !from[of] && !from[""] && !global {
				t.Errorf("%s of namespace %q has an Event %s of %v", s.Name, of, kv.Value.AsString(), from)
			}
		}
	}
}

// baseStreams are what FuzzStream changes: the scenarios, and parts of recordings. They
// must not be changed themselves.
var baseStreams = func() func(testing.TB) [][]causality.Observation {
	var once sync.Once
	var streams [][]causality.Observation
	return func(t testing.TB) [][]causality.Observation {
		once.Do(func() { streams = readStreams(t) })
		return streams
	}
}()

// partOfStream is how many observations of a recording make a stream.
const partOfStream = 120

func readStreams(t testing.TB) (streams [][]causality.Observation) {
	files, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		var obs []causality.Observation
		observing := false
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			switch {
			case line == "observe" || line == "----":
				observing = line == "observe"
			case observing:
				o, err := w.observation(line)
				if err != nil {
					t.Fatalf("%s: %q: %v", file, line, err)
				}
				obs = append(obs, o)
			}
		}
		streams = append(streams, obs)
	}
	for _, name := range recordings(t) {
		for part := range slices.Chunk(load(t, name), partOfStream) {
			streams = append(streams, slices.Clone(part))
		}
	}
	return streams
}

// mutated is a stream with mutations of four bytes each: what to change, which
// observation, and two bytes more that say how.
func mutated(base []causality.Observation, data []byte) []causality.Observation {
	if len(base) == 0 {
		return nil
	}
	obs := slices.Clone(base)
	copied := map[int]bool{}
	for m := range slices.Chunk(data, 4) {
		if len(m) < 4 || len(obs) > 4*partOfStream {
			break
		}
		i := int(m[1]) % len(obs)
		j := int(m[2]) % len(obs)
		switch m[0] % 8 {
		case 0: // again, later
			obs = slices.Insert(obs, max(i, j), obs[i])
			copied = map[int]bool{}
			continue
		case 1: // not at all
			if len(obs) > 1 {
				obs = slices.Delete(obs, i, i+1)
				copied = map[int]bool{}
			}
			continue
		case 2: // in another order
			obs[i], obs[j] = obs[j], obs[i]
			copied = map[int]bool{}
			continue
		case 3:
			obs[i].Type = []watch.EventType{watch.Deleted, watch.Added, watch.Modified, "RUBBISH"}[m[3]%4]
			continue
		case 4:
			obs[i].Initial = m[3]%2 == 0
			obs[i].Time = shifted(obs[i].Time, m[2], m[3])
			continue
		}
		if obs[i].Object == nil {
			continue
		}
		if !copied[i] {
			obs[i].Object = obs[i].Object.DeepCopyObject()
			copied[i] = true
		}
		if meta, ok := obs[i].Object.(metav1.Object); ok {
			mutateObject(meta, obs, m)
		}
	}
	return obs
}

// shifted is a time moved by seconds, days or to where there is none.
func shifted(t time.Time, a, b byte) time.Time {
	switch b % 8 {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(0, 0)
	case 2:
		return t.AddDate(int(a)-128, 0, 0)
	case 3:
		return time.Unix(1<<40, 0)
	default:
		return t.Add(time.Duration(int(a)-128) * time.Duration(b) * 50 * time.Millisecond)
	}
}

var (
	anyNamespace = []string{"shop", "evil", "", "default", "kube-system"}
	anyKind      = []string{"Pod", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicationController", "Node", "Shop", "", "PersistentVolumeClaim", "Rollout"}
	anyVersion   = []string{"v1", "apps/v1", "batch/v1", "", "example.com/v1", "extensions/v1beta1", "a/b/c", "argoproj.io/v1alpha1"}
	anyReason    = []string{"Pulling", "Pulled", "Created", "Started", "Killing", "BackOff", "Unhealthy", "FailedScheduling", "Scheduled", "SuccessfulCreate", "SuccessfulDelete", "ScalingReplicaSet", "Preempted", "Evicted", "TaintManagerEviction", "Failed", "NodeNotReady", "Rebooted", "Starting", "SuccessfulRescale", "FailedCreate", "ProvisioningSucceeded", ""}
	anyNumber    = []int32{0, 1, -1, 2, 3, 1 << 30, -1 << 31, 1<<31 - 1, 255, 5}
	anyRevision  = []string{"1", "2", "0", "-1", "9223372036854775807", "rubbish", ""}
)

func pick[T any](from []T, by byte) T { return from[int(by)%len(from)] }

// mutateObject changes one object; others is where it finds UIDs and names.
func mutateObject(meta metav1.Object, others []causality.Observation, m []byte) {
	how, by := m[2], m[3]
	other, _ := others[int(by)%len(others)].Object.(metav1.Object)
	if other == nil {
		other = meta
	}
	at := metav1.NewTime(shifted(meta.GetCreationTimestamp().Time, by, how))
	if m[0]%8 == 5 {
		mutateMeta(meta, other, how, by, at)
	} else {
		mutateState(meta, other, how, by, at)
	}
}

func mutateMeta(meta, other metav1.Object, how, by byte, at metav1.Time) {
	yes := how%2 == 0
	switch how % 16 {
	case 0:
		meta.SetUID(other.GetUID())
	case 1:
		meta.SetNamespace(pick(anyNamespace, by))
	case 2:
		meta.SetName(other.GetName())
	case 3, 4, 5:
		meta.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: pick(anyVersion, by), Kind: pick(anyKind, by/2), Name: other.GetName(), UID: other.GetUID(), Controller: &yes}})
	case 6:
		meta.SetOwnerReferences(other.GetOwnerReferences())
	case 7:
		meta.SetCreationTimestamp(at)
	case 8:
		grace := int64(pick(anyNumber, by))
		meta.SetDeletionTimestamp(&at)
		meta.SetDeletionGracePeriodSeconds(&grace)
	case 9:
		meta.SetResourceVersion(pick([]string{"", "0", "1", "rubbish", "18446744073709551615", other.GetResourceVersion()}, by))
	case 10:
		meta.SetGeneration(int64(pick(anyNumber, by)))
	case 11:
		meta.SetAnnotations(map[string]string{
			"deployment.kubernetes.io/revision": pick(anyRevision, by), "deployment.kubernetes.io/revision-history": pick(anyRevision, by/2),
			"traceparent": pick([]string{"", "00-" + strings.Repeat("a", 32) + "-1111111111111111-01", "rubbish"}, by), corev1.MirrorPodAnnotationKey: string(other.GetUID()),
		})
	case 12:
		meta.SetLabels(other.GetLabels())
	case 13:
		meta.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: pick(anyKind, by), Name: meta.GetName(), UID: meta.GetUID(), Controller: &yes}})
	case 14:
		meta.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: other.GetName(), UID: ownerOrSelf(other), Controller: &yes}})
	case 15:
		meta.SetAnnotations(map[string]string{
			"rollout.argoproj.io/revision": pick(anyRevision, by), "rollout.argoproj.io/revision-history": pick(anyRevision, by/2),
			"rollout.argoproj.io/desired-replicas": pick(anyRevision, by/3), "scale-down-deadline": pick([]string{"", "rubbish"}, by/4),
		})
	}
}

// ownerOrSelf is the UID of whom an object belongs to, or its own.
func ownerOrSelf(meta metav1.Object) types.UID {
	if ref := metav1.GetControllerOf(meta); ref != nil {
		return ref.UID
	}
	return meta.GetUID()
}

func mutateState(meta, other metav1.Object, how, by byte, at metav1.Time) {
	n := pick(anyNumber, by)
	switch in := meta.(type) {
	case *corev1.Event:
		mutateEvent(in, other, how, by, at)
	case *corev1.Pod:
		mutatePod(in, how, by, at)
	case *appsv1.ReplicaSet:
		in.Spec.Replicas, in.Status.AvailableReplicas, in.Status.Replicas = &n, pick(anyNumber, how), n
	case *appsv1.Deployment:
		in.Spec.Replicas, in.Spec.Paused, in.Spec.MinReadySeconds = &n, how%2 == 0, pick(anyNumber, how)
		in.Status.ObservedGeneration, in.Status.UpdatedReplicas = int64(pick(anyNumber, how)), pick(anyNumber, how/2)
		in.Spec.Template.Labels = map[string]string{"n": fmt.Sprint(how)}
		in.Status.Conditions = append(in.Status.Conditions, appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", LastTransitionTime: at})
	case *appsv1.StatefulSet:
		in.Spec.Replicas, in.Status.UpdateRevision = &n, fmt.Sprint(how)
		in.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &n}
		in.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: pick(anyNumber, how)}
	case *appsv1.DaemonSet:
		in.Status.DesiredNumberScheduled, in.Status.UpdatedNumberScheduled = n, pick(anyNumber, how)
		in.Spec.Template.Labels = map[string]string{"n": fmt.Sprint(how)}
	case *batchv1.Job:
		suspend := how%2 == 0
		in.Spec.Suspend, in.Spec.Parallelism, in.Spec.Completions, in.Spec.BackoffLimit = &suspend, &n, &n, &n
		in.Status.Conditions = append(in.Status.Conditions, batchv1.JobCondition{Type: pick([]batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobSuspended}, by), Status: pick([]corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse}, how), LastTransitionTime: at})
	case *appsv1.ControllerRevision:
		in.Revision = int64(n)
	case *corev1.Node:
		in.Status.NodeInfo.BootID = fmt.Sprint(how)
		in.Spec.Unschedulable = how%2 == 0
		in.Status.Conditions = append(in.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeReady, Status: pick([]corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown, ""}, by), LastTransitionTime: at})
	}
}

func mutateEvent(in *corev1.Event, other metav1.Object, how, by byte, at metav1.Time) {
	switch how % 9 {
	case 0:
		in.InvolvedObject.UID = other.GetUID()
	case 1:
		in.InvolvedObject.Kind, in.InvolvedObject.APIVersion = pick(anyKind, by), pick(anyVersion, by/2)
	case 2:
		in.InvolvedObject.Namespace, in.InvolvedObject.Name = other.GetNamespace(), other.GetName()
	case 3:
		in.Reason, in.Message = pick(anyReason, by), pick([]string{"", "Preempted by pod " + string(other.GetUID()) + " on node x", "Created pod: " + other.GetName(), "Scaled up replica set " + other.GetName() + " from 0 to 1", `Successfully pulled image "x" in 99h (1ns including waiting). Image size: -1 bytes.`}, by/2)
	case 4:
		in.FirstTimestamp, in.LastTimestamp = at, metav1.NewTime(shifted(at.Time, by, how/2))
	case 5:
		in.Count, in.Series = pick(anyNumber, by), &corev1.EventSeries{Count: pick(anyNumber, by/2), LastObservedTime: metav1.NewMicroTime(at.Time)}
	case 6:
		in.InvolvedObject.FieldPath = pick([]string{"spec.containers{web}", "spec.initContainers{", "}{", "spec.containers{}"}, by)
	case 7:
		in.Related = &corev1.ObjectReference{Kind: "Pod", Namespace: other.GetNamespace(), Name: other.GetName(), UID: other.GetUID()}
	case 8:
		in.EventTime = metav1.NewMicroTime(at.Time)
	}
}

func mutatePod(in *corev1.Pod, how, by byte, at metav1.Time) {
	n := pick(anyNumber, by)
	var status corev1.ContainerStatus
	if len(in.Status.ContainerStatuses) > 0 {
		status = in.Status.ContainerStatuses[0]
	}
	switch how % 10 {
	case 0:
		in.Status.Phase = pick([]corev1.PodPhase{corev1.PodFailed, corev1.PodSucceeded, corev1.PodRunning, corev1.PodPending, "Rubbish"}, by)
		in.Status.Reason, in.Status.Message = pick(anyReason, by), pick(anyReason, by/2)
	case 1:
		in.Status.Conditions = append(in.Status.Conditions, corev1.PodCondition{
			Type:   pick([]corev1.PodConditionType{corev1.PodReady, corev1.PodScheduled, corev1.ContainersReady, corev1.PodReadyToStartContainers, corev1.DisruptionTarget}, by),
			Status: pick([]corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown}, by/2), Reason: "PreemptionByScheduler", LastTransitionTime: at,
		})
	case 2:
		in.Status.Conditions = nil
	case 3:
		status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: n, Reason: pick(anyReason, by), StartedAt: at, FinishedAt: metav1.NewTime(shifted(at.Time, by, how))}}
		in.Status.ContainerStatuses = append(in.Status.ContainerStatuses, status)
	case 4:
		status.RestartCount, status.ContainerID = n, fmt.Sprint(by)
		in.Status.ContainerStatuses = []corev1.ContainerStatus{status, status}
	case 5:
		status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: pick([]string{"CrashLoopBackOff", "ImagePullBackOff", "ContainerCreating", ""}, by)}}
		status.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: at, ExitCode: n}}
		in.Status.InitContainerStatuses = append(in.Status.InitContainerStatuses, status)
	case 6:
		status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}
		in.Status.ContainerStatuses = []corev1.ContainerStatus{status}
	case 7:
		in.Spec.NodeName, in.Status.NominatedNodeName = fmt.Sprint("node-", by%3), fmt.Sprint("node-", how%3)
	case 8:
		in.Spec.InitContainers, in.Spec.Containers = in.Spec.Containers, in.Spec.InitContainers
	case 9:
		in.Spec.RestartPolicy = pick([]corev1.RestartPolicy{corev1.RestartPolicyNever, corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, ""}, by)
		in.Spec.Volumes = append(in.Spec.Volumes, corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: string(types.UID(fmt.Sprint(by)))}}})
	}
}

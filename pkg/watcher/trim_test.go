package watcher

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

func recordingFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(recordings, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

// A live run trims, a replay does not, and both tell the same.
func TestTrimIsNotMissed(t *testing.T) {
	for _, file := range recordingFiles(t) {
		t.Run(file, func(t *testing.T) {
			traces := func(trimmed bool) (out []spans.Trace) {
				engine := causality.New(causality.Options{
					WorkloadLabels: []string{"app"}, WorkloadAnnotations: []string{"deployment.kubernetes.io/revision"},
				})
				for _, o := range recorded(t, file) {
					if trimmed {
						trim(o.Object)
					}
					out = append(out, engine.Observe(o)...)
				}
				return append(out, engine.Flush()...)
			}
			if want, got := traces(false), traces(true); !reflect.DeepEqual(got, want) {
				t.Errorf("%d traces, and others than the %d without trimming", len(got), len(want))
			}
		})
	}
}

// bulky is metadata with all that a server adds to it.
func bulky(owners ...metav1.OwnerReference) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: "web", Namespace: "shop", UID: "u", ResourceVersion: "1", OwnerReferences: owners,
		Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "kapp.k14s.io/original": "{}", "deployment.kubernetes.io/revision": "3", "example.com/trace": "00-1-1-01"},
		ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)},
			{Manager: "controller", Subresource: "status", FieldsV1: metav1.NewFieldsV1(`{"f:status":{}}`)},
		},
	}
}

func managers(m metav1.Object) (names []string) {
	for _, f := range m.GetManagedFields() {
		names = append(names, f.Manager)
	}
	return names
}

func TestTrimMetadata(t *testing.T) {
	isController := true
	controller := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "d", Controller: &isController}
	custom := metav1.OwnerReference{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "web", UID: "r", Controller: &isController}
	all := []string{"kubectl", "controller"}
	for _, test := range []struct {
		kind     kind
		owners   []metav1.OwnerReference
		managers []string
	}{
		{deploymentKind, nil, all},
		{statefulSetKind, nil, all},
		{daemonSetKind, nil, all},
		{replicationControllerKind, nil, all},
		{jobKind, nil, all},
		{replicaSetKind, nil, all},
		{replicaSetKind, []metav1.OwnerReference{controller}, nil},
		{replicaSetKind, []metav1.OwnerReference{custom}, all},
		{autoscalerKind, nil, []string{"kubectl"}},
		{nodeKind, nil, []string{"kubectl"}},
		{cronJobKind, nil, nil},
		{controllerRevisionKind, nil, nil},
		{podKind, nil, []string{"controller"}},
		{eventKind, nil, nil},
		{claimKind, nil, nil},
		{newKind("example.com", "v1", "Shop", "shops", ""), nil, nil},
	} {
		object := newObject(test.kind.GroupVersion().String(), test.kind.Kind)
		m := reflect.ValueOf(object).Elem().FieldByName("ObjectMeta")
		m.Set(reflect.ValueOf(bulky(test.owners...)))
		trim(object)
		got, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := got.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; ok || !slices.Equal(managers(got), test.managers) {
			t.Errorf("%s: managers %v, annotations %v", test.kind.Kind, managers(got), got.GetAnnotations())
		}
		if test.kind != nodeKind && len(got.GetAnnotations()) != 2 || got.GetUID() != "u" || got.GetName() != "web" {
			t.Errorf("%s: too much is gone: %+v", test.kind.Kind, got)
		}
	}
}

func TestTrimContent(t *testing.T) {
	revision := &appsv1.ControllerRevision{Revision: 3, Data: kruntime.RawExtension{Raw: []byte("{}")}}
	trim(revision)
	if revision.Revision != 3 || revision.Data.Raw != nil {
		t.Errorf("%+v", revision)
	}

	env := []corev1.EnvVar{{Name: "PASSWORD", Value: "s3cret"}}
	always := corev1.ContainerRestartPolicyAlways
	grace := int64(5)
	exec := &corev1.ExecAction{Command: []string{"s3cret"}}
	get := &corev1.HTTPGetAction{HTTPHeaders: []corev1.HTTPHeader{{Name: "Authorization", Value: "s3cret"}}}
	cpu := corev1.ResourceList{"cpu": resource.MustParse("1")}
	whole := func(name string) corev1.Container {
		return corev1.Container{
			Name: name, Image: "x", Env: env, EnvFrom: []corev1.EnvFromSource{{Prefix: "p"}}, Command: []string{"c"}, Args: []string{"a"},
			Resources: corev1.ResourceRequirements{Requests: cpu}, Ports: []corev1.ContainerPort{{ContainerPort: 1}},
			VolumeMounts: []corev1.VolumeMount{{Name: "v"}}, VolumeDevices: []corev1.VolumeDevice{{Name: "v"}}, SecurityContext: &corev1.SecurityContext{},
			StartupProbe:   &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: exec}, PeriodSeconds: 3, TerminationGracePeriodSeconds: &grace},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}, InitialDelaySeconds: 7},
			RestartPolicy:  &always, Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: exec, HTTPGet: get, Sleep: &corev1.SleepAction{Seconds: 1}}},
		}
	}
	left := func(name string) corev1.Container {
		return corev1.Container{
			Name: name, Image: "x",
			StartupProbe:   &corev1.Probe{PeriodSeconds: 3, TerminationGracePeriodSeconds: &grace},
			ReadinessProbe: &corev1.Probe{InitialDelaySeconds: 7},
			RestartPolicy:  &always, Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{}},
		}
	}
	debugger := func(c corev1.Container) []corev1.EphemeralContainer {
		return []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon(c), TargetContainerName: "c"}}
	}
	claim := corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-0"}}}
	ephemeral := corev1.Volume{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}
	image := corev1.Volume{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "registry/model:1"}}}
	p := &corev1.Pod{
		Spec: corev1.PodSpec{
			NodeName: "n", RestartPolicy: corev1.RestartPolicyNever, ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "g"}},
			InitContainers: []corev1.Container{whole("i")}, Containers: []corev1.Container{whole("c"), whole("d")},
			EphemeralContainers: debugger(whole("e")),
			Volumes:             []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}, claim, ephemeral, image},
			Affinity:            &corev1.Affinity{}, Tolerations: []corev1.Toleration{{Key: "k"}}, TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 1}},
		},
		Status: corev1.PodStatus{
			Phase:                 corev1.PodRunning,
			InitContainerStatuses: []corev1.ContainerStatus{{Name: "i", ContainerID: "1", AllocatedResources: cpu, Resources: &corev1.ResourceRequirements{Requests: cpu}}},
			ContainerStatuses:     []corev1.ContainerStatus{{Name: "c", ContainerID: "2", VolumeMounts: []corev1.VolumeMountStatus{{Name: "v"}}}},
		},
	}
	template := corev1.PodTemplateSpec{Spec: *p.Spec.DeepCopy()}
	trim(p)
	if want := (&corev1.Pod{
		Spec: corev1.PodSpec{
			NodeName: "n", RestartPolicy: corev1.RestartPolicyNever, ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "g"}},
			InitContainers: []corev1.Container{left("i")}, Containers: []corev1.Container{left("c"), left("d")},
			EphemeralContainers: debugger(left("e")),
			Volumes:             []corev1.Volume{claim, ephemeral, image},
		},
		Status: corev1.PodStatus{
			Phase:                 corev1.PodRunning,
			InitContainerStatuses: []corev1.ContainerStatus{{Name: "i", ContainerID: "1"}},
			ContainerStatuses:     []corev1.ContainerStatus{{Name: "c", ContainerID: "2"}},
		},
	}); !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}

	// A template must stay: that is what a rollout is told by.
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: *template.DeepCopy()}}
	trim(d)
	if !reflect.DeepEqual(d.Spec.Template, template) {
		t.Errorf("the template lost something: %+v", d.Spec.Template)
	}
}

// node is one as a kubelet keeps it.
func node(version string, beat time.Time) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: bulky(),
		Spec:       corev1.NodeSpec{PodCIDR: "10.0.0.0/24", Taints: []corev1.Taint{{Key: "node.kubernetes.io/unschedulable"}}},
		Status: corev1.NodeStatus{
			NodeInfo: corev1.NodeSystemInfo{BootID: "b", KubeletVersion: "v1.36.3"},
			Capacity: corev1.ResourceList{"cpu": resource.MustParse("8")}, Allocatable: corev1.ResourceList{"cpu": resource.MustParse("8")},
		},
	}
	n.Namespace, n.ResourceVersion = "", version
	for _, c := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeReady} {
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: c, Status: corev1.ConditionTrue, Reason: "KubeletHasSome", Message: "kubelet is posting ready status",
			LastHeartbeatTime: metav1.NewTime(beat), LastTransitionTime: metav1.NewTime(time.Unix(0, 0)),
		})
	}
	for i := range 50 {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{SizeBytes: int64(i), Names: []string{
			fmt.Sprintf("registry.example.com/team/app-%d@sha256:%064d", i, i), fmt.Sprintf("registry.example.com/team/app-%d:1.2.%d", i, i)}})
	}
	return n
}

// Of a node that is well nothing passes, and everything else does.
func TestHeartbeatsArePassedOver(t *testing.T) {
	var s script
	o := newObjectStore(s.store(nodeKind))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := time.Unix(1000, 0)
	must(o.Replace([]any{node("1", at)}, "1"))
	s.expect(t, "ADDED web u@1 initial")
	for i := range 3 {
		at = at.Add(10 * time.Second)
		beat := node(fmt.Sprint(i+2), at)
		beat.Status.Images = beat.Status.Images[i:]
		beat.Annotations = map[string]string{"csi": fmt.Sprint(i)}
		beat.ManagedFields[1].Time = &metav1.Time{Time: at}
		must(o.Update(beat))
	}
	must(o.Replace([]any{node("5", at.Add(time.Minute))}, "5")) // a relist
	s.expect(t)

	cordoned := node("6", at)
	cordoned.Spec.Unschedulable = true
	must(o.Update(cordoned))
	s.expect(t, "MODIFIED web u@6")
	must(o.Update(node("7", at)))
	s.expect(t, "MODIFIED web u@7")

	lost := node("8", at)
	lost.Status.Conditions[3].Status = corev1.ConditionUnknown
	must(o.Update(lost))
	s.expect(t, "MODIFIED web u@8")
	if got := lost.Status.Conditions; !got[3].LastHeartbeatTime.Time.Equal(at) || !got[0].LastHeartbeatTime.IsZero() {
		t.Errorf("the last heartbeat of what became Unknown is %v, of another condition %v", got[3].LastHeartbeatTime, got[0].LastHeartbeatTime)
	}
	rebooted := node("9", at)
	rebooted.Status.NodeInfo.BootID = "c"
	must(o.Update(rebooted))
	s.expect(t, "MODIFIED web u@9")
	again := node("10", at)
	again.UID = "u2"
	must(o.Add(again))
	s.expect(t, "DELETED web u@ gone", "ADDED web u2@10")
	must(o.Delete(node("11", at)))
	s.expect(t, "DELETED web u@11")
}

// Of an autoscaler that only measures nothing passes.
func TestMeasurementsArePassedOver(t *testing.T) {
	autoscaler := func(version string, utilization int32) *autoscalingv2.HorizontalPodAutoscaler {
		a := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: bulky()}
		a.ResourceVersion = version
		a.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{Resource: &autoscalingv2.ResourceMetricStatus{
			Name: "cpu", Current: autoscalingv2.MetricValueStatus{AverageUtilization: &utilization}}}}
		return a
	}
	var s script
	o := newObjectStore(s.store(autoscalerKind))
	scaled := autoscaler("4", 20)
	scaled.Status.DesiredReplicas = 3
	for _, err := range []error{
		o.Add(autoscaler("1", 10)), o.Update(autoscaler("2", 11)), o.Update(autoscaler("3", 12)), o.Update(scaled),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.expect(t, "ADDED web u@1", "MODIFIED web u@4")
}

// BenchmarkTrim measures what an object takes up before and after, by kind, of
// what a real cluster sends; the node is made up.
func BenchmarkTrim(b *testing.B) {
	byKind := map[string][][]byte{}
	add := func(o kruntime.Object) {
		raw, err := json.Marshal(o)
		if err != nil {
			b.Fatal(err)
		}
		kind := o.GetObjectKind().GroupVersionKind().Kind
		byKind[kind] = append(byKind[kind], raw)
	}
	for _, file := range recordingFiles(b) {
		for _, o := range recorded(b, file) {
			add(o.Object)
		}
	}
	n := node("1", time.Unix(0, 0))
	n.SetGroupVersionKind(nodeKind.GroupVersionKind)
	for range 100 {
		add(n)
	}
	for kind, raws := range byKind {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				objects := make([]kruntime.Object, len(raws))
				empty := heap()
				for i, raw := range raws {
					objects[i], _ = decodeObject(raw)
				}
				whole := heap()
				for _, o := range objects {
					trim(o)
				}
				trimmed := heap()
				n := float64(len(raws))
				b.ReportMetric(float64(whole-empty)/n, "B/before")
				b.ReportMetric(float64(trimmed-empty)/n, "B/after")
				runtime.KeepAlive(objects)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

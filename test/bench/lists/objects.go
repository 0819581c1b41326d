package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A cluster of n pods has a Deployment for every ten, whose ReplicaSet has two
// predecessors; a Node for every thirty; and two Events a pod of the last hour.
const (
	podsPerDeployment = 10
	setsPerDeployment = 3
	podsPerNode       = 30
	eventsPerPod      = 2
	namespaces        = 50
)

// began is when all of it was made; what is over is not told.
var began = metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))

// kinds are what the list server has, by resource; what is not there is empty.
var kinds = map[string]struct {
	of   func(pods int) int
	make func(i int) runtime.Object
	list func(metav1.ListMeta, []runtime.Object) runtime.Object
}{
	"pods": {func(n int) int { return n }, pod, listOf(func(m metav1.ListMeta, items []corev1.Pod) runtime.Object {
		return &corev1.PodList{ListMeta: m, Items: items}
	})},
	"events": {func(n int) int { return n * eventsPerPod }, event, listOf(func(m metav1.ListMeta, items []corev1.Event) runtime.Object {
		return &corev1.EventList{ListMeta: m, Items: items}
	})},
	"nodes": {func(n int) int { return n/podsPerNode + 1 }, node, listOf(func(m metav1.ListMeta, items []corev1.Node) runtime.Object {
		return &corev1.NodeList{ListMeta: m, Items: items}
	})},
	"replicasets": {func(n int) int { return n / podsPerDeployment * setsPerDeployment }, replicaSet, listOf(func(m metav1.ListMeta, items []appsv1.ReplicaSet) runtime.Object {
		return &appsv1.ReplicaSetList{ListMeta: m, Items: items}
	})},
	"deployments": {func(n int) int { return n / podsPerDeployment }, deployment, listOf(func(m metav1.ListMeta, items []appsv1.Deployment) runtime.Object {
		return &appsv1.DeploymentList{ListMeta: m, Items: items}
	})},
}

func listOf[T any](list func(metav1.ListMeta, []T) runtime.Object) func(metav1.ListMeta, []runtime.Object) runtime.Object {
	return func(m metav1.ListMeta, objects []runtime.Object) runtime.Object {
		items := make([]T, len(objects))
		for i, o := range objects {
			items[i] = *any(o).(*T)
		}
		return list(m, items)
	}
}

// about is the metadata of the i-th object of a kind, which is the d-th Deployment's.
func about(kind, name string, i, d int) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: fmt.Sprintf("team-%02d", d%namespaces), Name: name, UID: uid(kind, i),
		ResourceVersion: strconv.Itoa(1000 + i), Generation: 1, CreationTimestamp: began,
		Labels: map[string]string{
			"app.kubernetes.io/name": workload(d), "app.kubernetes.io/instance": workload(d),
			"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/version": "1.27.3", "pod-template-hash": hash(d, 2),
		},
		Annotations: map[string]string{
			"prometheus.io/scrape": "true", "prometheus.io/port": "9102",
			"checksum/config": strings.Repeat("8f14e45f", 8),
		},
		ManagedFields: []metav1.ManagedFieldsEntry{fields("kube-controller-manager", ""), fields("kubelet", "status")},
	}
}

// fields are managed fields, which are a third of most objects.
func fields(manager, subresource string) metav1.ManagedFieldsEntry {
	raw := `{"f:metadata":{"f:labels":{".":{},"f:app.kubernetes.io/name":{}}},"f:spec":{` +
		strings.TrimSuffix(strings.Repeat(`"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:name":{}}},`, 14), ",") + `}}`
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &began, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(raw), Subresource: subresource,
	}
}

func uid(kind string, i int) types.UID {
	return types.UID(fmt.Sprintf("%08x-%04x-4000-8000-%012x", i, len(kind), i))
}

func workload(d int) string { return fmt.Sprintf("checkout-service-%05d", d) }

// hash tells the r-th ReplicaSet of a Deployment; the last one is current.
func hash(d, r int) string { return fmt.Sprintf("%07x%d", d, r) }

func setName(d, r int) string { return workload(d) + "-" + hash(d, r) }

func podName(i int) string {
	return fmt.Sprintf("%s-%05x", setName(i/podsPerDeployment, setsPerDeployment-1), i)
}

func nodeName(i int) string { return fmt.Sprintf("node-%05d.internal.example.com", i/podsPerNode) }

func ownedBy(kind, name string, id types.UID) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: id, Controller: &yes, BlockOwnerDeletion: &yes}}
}

func template(d int) corev1.PodTemplateSpec {
	var env []corev1.EnvVar
	for i := range 20 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("CHECKOUT_SETTING_%02d", i), Value: "a value of middling length " + strconv.Itoa(i)})
	}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080)}}, PeriodSeconds: 10, TimeoutSeconds: 1}
	amounts := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("512Mi")}
	var containers []corev1.Container
	for i, name := range []string{"web", "proxy"} {
		containers = append(containers, corev1.Container{
			Name: name, Image: "registry.example.com/shop/" + name + ":1.27.3", Args: []string{"--listen=:8080", "--log-format=json"}, Env: env,
			Ports: []corev1.ContainerPort{{Name: name, ContainerPort: 8080 + int32(i), Protocol: corev1.ProtocolTCP}}, ReadinessProbe: probe, LivenessProbe: probe,
			Resources:    corev1.ResourceRequirements{Requests: amounts, Limits: amounts},
			VolumeMounts: []corev1.VolumeMount{{Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
		})
	}
	labels := about("", "", 0, d).Labels
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{
			Containers: containers, ServiceAccountName: "checkout", SchedulerName: corev1.DefaultSchedulerName,
			Volumes: []corev1.Volume{{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			Tolerations: []corev1.Toleration{
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
				{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
			},
		},
	}
}

func selector(d int) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": workload(d)}}
}

func deployment(i int) runtime.Object {
	replicas := int32(podsPerDeployment)
	out := &appsv1.Deployment{ObjectMeta: about("Deployment", workload(i), i, i)}
	delete(out.Labels, "pod-template-hash")
	out.Annotations["deployment.kubernetes.io/revision"] = strconv.Itoa(setsPerDeployment)
	out.Spec = appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector(i), Template: template(i)}
	out.Status = appsv1.DeploymentStatus{
		ObservedGeneration: 1, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, LastTransitionTime: began, LastUpdateTime: began, Reason: "MinimumReplicasAvailable"},
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, LastTransitionTime: began, LastUpdateTime: began, Reason: "NewReplicaSetAvailable"},
		},
	}
	return out
}

func replicaSet(i int) runtime.Object {
	d, r := i/setsPerDeployment, i%setsPerDeployment
	var replicas int32
	if r == setsPerDeployment-1 {
		replicas = podsPerDeployment
	}
	out := &appsv1.ReplicaSet{ObjectMeta: about("ReplicaSet", setName(d, r), i, d)}
	out.Labels["pod-template-hash"] = hash(d, r)
	out.Annotations["deployment.kubernetes.io/revision"] = strconv.Itoa(r + 1)
	out.OwnerReferences = ownedBy("Deployment", workload(d), uid("Deployment", d))
	out.Spec = appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: selector(d), Template: template(d)}
	out.Spec.Template.Labels["pod-template-hash"] = hash(d, r)
	out.Status = appsv1.ReplicaSetStatus{Replicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas, ObservedGeneration: 1}
	return out
}

func pod(i int) runtime.Object {
	d := i / podsPerDeployment
	out := &corev1.Pod{ObjectMeta: about("Pod", podName(i), i, d), Spec: template(d).Spec}
	out.OwnerReferences = ownedBy("ReplicaSet", setName(d, setsPerDeployment-1), uid("ReplicaSet", d*setsPerDeployment+setsPerDeployment-1))
	out.Spec.NodeName = nodeName(i)
	out.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &began, HostIP: "10.0.0.1", PodIP: "10.1.2.3", PodIPs: []corev1.PodIP{{IP: "10.1.2.3"}}, QOSClass: corev1.PodQOSGuaranteed}
	for _, t := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		out.Status.Conditions = append(out.Status.Conditions, corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: began})
	}
	for _, c := range out.Spec.Containers {
		yes := true
		out.Status.ContainerStatuses = append(out.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.Image + "@sha256:" + strings.Repeat("8f14e45f", 8), ContainerID: "containerd://" + strings.Repeat("8f14e45f", 8),
			Ready: true, Started: &yes, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}},
		})
	}
	return out
}

func node(i int) runtime.Object {
	out := &corev1.Node{ObjectMeta: about("Node", nodeName(i*podsPerNode), i, i)}
	out.Namespace = ""
	for _, t := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		out.Status.Conditions = append(out.Status.Conditions, corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse, LastHeartbeatTime: began, LastTransitionTime: began})
	}
	out.Status.Conditions = append(out.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: began, LastTransitionTime: began})
	for j := range 50 {
		out.Status.Images = append(out.Status.Images, corev1.ContainerImage{Names: []string{fmt.Sprintf("registry.example.com/shop/image-%d:1.27.3", j)}, SizeBytes: 1 << 28})
	}
	return out
}

func event(i int) runtime.Object {
	p := i / eventsPerPod
	d := p / podsPerDeployment
	said := []struct{ reason, message string }{
		{"Pulled", `Container image "registry.example.com/shop/web:1.27.3" already present on machine`},
		{"Started", "Container started"},
	}[i%eventsPerPod]
	at := began.Add(time.Duration(i) * time.Microsecond)
	m := about("Event", fmt.Sprintf("%s.%x", podName(p), at.UnixNano()), i, d)
	m.Labels, m.Annotations, m.ManagedFields = nil, nil, m.ManagedFields[:1]
	m.ManagedFields[0].FieldsV1.SetRawString(m.ManagedFields[0].FieldsV1.GetRawString()[:400])
	return &corev1.Event{
		ObjectMeta: m, Reason: said.reason, Message: said.message, Type: corev1.EventTypeNormal, Count: 1, FirstTimestamp: began, LastTimestamp: began,
		InvolvedObject:      corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: m.Namespace, Name: podName(p), UID: uid("Pod", p), FieldPath: "spec.containers{web}"},
		Source:              corev1.EventSource{Component: "kubelet", Host: nodeName(p)},
		ReportingController: "kubelet", ReportingInstance: nodeName(p),
	}
}

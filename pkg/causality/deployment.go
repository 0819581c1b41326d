package causality

import (
	"strconv"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindDeployment = "Deployment"

// Annotations that the deployment controller keeps
// (k8s.io/kubernetes/pkg/controller/deployment/util).
const (
	revisionAnnotation        = "deployment.kubernetes.io/revision"
	revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"
)

var deploymentController = controller{
	GroupVersionKind:   appsv1.SchemeGroupVersion.WithKind(kindDeployment),
	service:            attr.ServiceDeployment,
	nameKey:            semconv.K8SDeploymentNameKey,
	uidKey:             semconv.K8SDeploymentUIDKey,
	pods:               podsMadeBySets,
	numbers:            numberedByAnnotation,
	revisionAnnotation: revisionAnnotation,
	historyAnnotation:  revisionHistoryAnnotation,
	rolls:              true,
	freedBy:            freedWhenEnded,
	states:             statesOf[*appsv1.Deployment](readDeployment),
	template: func(object metav1.Object) *corev1.PodTemplateSpec {
		if in, ok := object.(*appsv1.Deployment); ok {
			return &in.Spec.Template
		}
		return nil
	},
}

// Reasons of the condition Progressing
// (k8s.io/kubernetes/pkg/controller/deployment/util).
const (
	progressDeadlineExceeded = "ProgressDeadlineExceeded"
	newReplicaSetAvailable   = "NewReplicaSetAvailable"
)

func readDeployment(in *appsv1.Deployment, _ Observation, d *workload) workloadState {
	st := workloadState{
		generation: in.Generation,
		observed:   in.Status.ObservedGeneration,
		replicas:   wantedReplicas(in.Spec.Replicas),
		total:      in.Status.Replicas,
		available:  in.Status.AvailableReplicas,
		minReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
		paused:     in.Spec.Paused,
		recreate:   in.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType,
	}
	st.revision, _ = strconv.ParseInt(in.Annotations[revisionAnnotation], 10, 64)
	st.isNew = st.revision == 0 || st.observed == 0
	st.unnumbered, st.first = st.revision == 0, st.revision <= 1
	st.readTemplate(&in.Spec.Template, d)
	st.complete = deploymentComplete(in, st.replicas)
	// While it is paused, its pods may be without the template that waits.
	waiting := st.paused && st.observed >= st.generation && st.available >= st.replicas
	st.scaled = (st.complete || waiting) && st.total == st.replicas
	if in.Spec.ProgressDeadlineSeconds != nil {
		st.deadline = time.Duration(*in.Spec.ProgressDeadlineSeconds) * time.Second
	}
	c := progressing(in)
	if c == nil {
		return st
	}
	switch c.Reason {
	case progressDeadlineExceeded:
		if c.Status == corev1.ConditionFalse {
			st.failedAt = c.LastTransitionTime.Time
			if st.failedAt.IsZero() {
				st.failedAt = c.LastUpdateTime.Time
			}
		}
	case newReplicaSetAvailable:
		// It keeps saying so when pods become unavailable afterwards.
		st.rolledOut, st.availableAt = true, c.LastUpdateTime.Time
	case "DeploymentPaused", "DeploymentResumed":
		st.rolledOut = true
	}
	return st
}

// readTemplate reads the pod template, if it can have changed:
// metadata.generation moves with every change of the spec.
func (st *workloadState) readTemplate(t *corev1.PodTemplateSpec, last *workload) {
	if last.seen && last.generation == st.generation && st.generation != 0 {
		st.template = last.template
		return
	}
	st.template = last.template.next(t)
}

// wantedReplicas is spec.replicas with the API's default.
func wantedReplicas(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

func progressing(in *appsv1.Deployment) *appsv1.DeploymentCondition {
	for i := range in.Status.Conditions {
		if c := &in.Status.Conditions[i]; c.Type == appsv1.DeploymentProgressing {
			return c
		}
	}
	return nil
}

func deploymentComplete(in *appsv1.Deployment, want int32) bool {
	st := &in.Status
	return st.ObservedGeneration >= in.Generation && st.UpdatedReplicas >= want &&
		st.Replicas <= st.UpdatedReplicas && st.AvailableReplicas >= st.UpdatedReplicas
}

package workloads

import (
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// kindDeployment is the kind of Deployments.
const kindDeployment = "Deployment"

// Annotations that the deployment controller keeps
// (k8s.io/kubernetes/pkg/controller/deployment/util).
const (
	RevisionAnnotation        = "deployment.kubernetes.io/revision"
	RevisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"
)

// deploymentController is the deployment controller.
var deploymentController = Controller{
	GroupVersionKind:   appsv1.SchemeGroupVersion.WithKind(kindDeployment),
	service:            attr.ServiceDeployment,
	nameKey:            semconv.K8SDeploymentNameKey,
	uidKey:             semconv.K8SDeploymentUIDKey,
	labelKey:           semconv.K8SDeploymentLabel,
	annotationKey:      semconv.K8SDeploymentAnnotation,
	named:              namedForGood,
	Pods:               PodsMadeBySets,
	Numbers:            numberedByAnnotation,
	revisionAnnotation: RevisionAnnotation,
	historyAnnotation:  RevisionHistoryAnnotation,
	rolls:              true,
	FreedBy:            FreedWhenEnded,
	States:             statesOf[*appsv1.Deployment](ReadDeployment),
	Template:           templateIn(func(in *appsv1.Deployment) *corev1.PodTemplateSpec { return &in.Spec.Template }),
}

// Reasons of the condition Progressing
// (k8s.io/kubernetes/pkg/controller/deployment/util).
const (
	ProgressDeadlineExceeded = "ProgressDeadlineExceeded"
	NewReplicaSetAvailable   = "NewReplicaSetAvailable"
)

// ReadDeployment reads the state of a Deployment.
func ReadDeployment(in *appsv1.Deployment, o stream.Observation, w *Workload) State {
	st := State{
		generation: in.Generation,
		observed:   in.Status.ObservedGeneration,
		replicas:   WantedReplicas(in.Spec.Replicas),
		total:      in.Status.Replicas,
		Available:  in.Status.AvailableReplicas,
		MinReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
		paused:     in.Spec.Paused,
		Recreate:   in.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType,
	}
	st.readTemplate(&in.Spec.Template, w)
	st.begun = in.Status.UpdatedReplicas > 0
	st.underWay = st.total > in.Status.UpdatedReplicas // pods of another template are there
	st.Complete = DeploymentIsComplete(in, st.replicas)
	st.readNumber(in, o, w)
	st.IsNew = st.Revision == 0 || st.observed == 0
	st.unnumbered, st.First = st.Revision == 0, st.Revision <= 1
	// While it is paused, its pods may be without the template that waits.
	waiting := st.paused && st.observed >= st.generation && st.Available >= st.replicas
	st.Scaled = (st.Complete || waiting) && st.total == st.replicas
	if in.Spec.ProgressDeadlineSeconds != nil {
		st.deadline = time.Duration(*in.Spec.ProgressDeadlineSeconds) * time.Second
	}
	c := DeploymentCondition(in, appsv1.DeploymentProgressing)
	if c == nil {
		return st
	}
	st.readProgressing(c)
	if !w.Seen {
		st.failedUntil = FailedUntil(in)
	}
	return st
}

// FailedUntil is the last moment before a Deployment went on whose deadline had been exceeded: what was made
// in the second in which it did is of the recovery. It is zero if nothing tells. The condition
// Progressing is true from when the ReplicaSet is made, until the deadline is exceeded or
// somebody pauses the Deployment, and becomes true again with the next progress. Nobody has paused one
// whose spec was never changed. Before its ReplicaSet could be made it is not Available, nor not: that
// condition comes with the first status of its pods (pkg/controller/deployment, calculateStatus).
func FailedUntil(in *appsv1.Deployment) time.Time {
	if in.Generation != 1 || in.Spec.ProgressDeadlineSeconds == nil || in.Spec.Paused {
		return time.Time{}
	}
	progressing, available := DeploymentCondition(in, appsv1.DeploymentProgressing), DeploymentCondition(in, appsv1.DeploymentAvailable)
	if progressing == nil || progressing.Status != corev1.ConditionTrue || available == nil || available.LastTransitionTime.IsZero() {
		return time.Time{}
	}
	// Both are whole seconds.
	exceeded := available.LastTransitionTime.Add(time.Duration(*in.Spec.ProgressDeadlineSeconds)*time.Second + 2*time.Second)
	if since := progressing.LastTransitionTime.Time; !since.Before(exceeded) {
		return since.Add(-time.Nanosecond)
	}
	return time.Time{}
}

// readProgressing reads the condition Progressing.
func (st *State) readProgressing(c *appsv1.DeploymentCondition) {
	othersLeft := st.underWay
	st.underWay = c.Reason != NewReplicaSetAvailable
	switch c.Reason {
	case ProgressDeadlineExceeded:
		if c.Status == corev1.ConditionFalse {
			st.failedAt = c.LastTransitionTime.Time
			if st.failedAt.IsZero() {
				st.failedAt = c.LastUpdateTime.Time
			}
		}
	case NewReplicaSetAvailable:
		// It keeps saying so when pods become unavailable afterwards.
		st.RolledOut, st.availableAt = true, c.LastUpdateTime.Time
	case "DeploymentPaused", "DeploymentResumed":
		// One that is resumed and has no pod of its template yet waits for that one's number.
		st.RolledOut = !othersLeft || !st.paused && !st.begun
		if c.Reason == "DeploymentPaused" {
			st.pausedAt = c.LastUpdateTime.Time
		}
	}
}

// readTemplate reads the pod template, if it can have changed:
// metadata.generation moves with every change of the spec.
func (st *State) readTemplate(t *corev1.PodTemplateSpec, last *Workload) {
	if last.Seen && last.generation == st.generation && st.generation != 0 {
		st.template = last.template
		return
	}
	st.template = last.template.Next(t)
}

// WantedReplicas is spec.replicas with the API's default.
func WantedReplicas(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// DeploymentCondition is the condition of a type, nil if there is none.
func DeploymentCondition(in *appsv1.Deployment, of appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range in.Status.Conditions {
		if c := &in.Status.Conditions[i]; c.Type == of {
			return c
		}
	}
	return nil
}

// DeploymentIsComplete reports whether a status shows that the newest template alone has pods,
// and has as many as are wanted.
func DeploymentIsComplete(in *appsv1.Deployment, want int32) bool {
	st := &in.Status
	return st.ObservedGeneration >= in.Generation && st.UpdatedReplicas >= want &&
		st.Replicas <= st.UpdatedReplicas && st.AvailableReplicas >= st.UpdatedReplicas
}

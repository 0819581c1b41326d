package progress

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// verdict is what a workload's own status says of its rollout.
type verdict struct {
	complete bool
	// reason and message say why it has failed; empty if it has not.
	reason, message string
	// waits says what it waits for, as a sentence. The engine has words that name pods, which are
	// taken instead, unless sure says that only the workload itself can know.
	waits string
	sure  bool
	// where is how far it has come, beside what it waits for: "step 2 of 4".
	where string
}

func (v verdict) surely() verdict {
	v.sure = true
	return v
}

func waitsFor(format string, args ...any) verdict {
	return verdict{waits: fmt.Sprintf(format, args...)}
}

// judge decides as kubectl rollout status does (k8s.io/kubectl/pkg/polymorphichelpers,
// rollout_status.go), which knows no Jobs, and of a Rollout as its own plugin does. The error says that the workload's rollouts have no end.
func judge(o runtime.Object) (verdict, error) {
	switch in := o.(type) {
	case *appsv1.Deployment:
		return judgeDeployment(in), nil
	case *appsv1.StatefulSet:
		if t := in.Spec.UpdateStrategy.Type; t == appsv1.OnDeleteStatefulSetStrategyType {
			return verdict{}, errOnDelete
		}
		return judgeStatefulSet(in), nil
	case *appsv1.DaemonSet:
		if t := in.Spec.UpdateStrategy.Type; t == appsv1.OnDeleteDaemonSetStrategyType {
			return verdict{}, errOnDelete
		}
		return judgeDaemonSet(in), nil
	case *batchv1.Job:
		return judgeJob(in), nil
	case *argoRollout:
		return judgeArgoRollout(in), nil
	}
	return verdict{}, fmt.Errorf("a %T has no rollouts", o)
}

// deadlineExceeded is the deployment controller's reason (pkg/controller/deployment/util).
const deadlineExceeded = "ProgressDeadlineExceeded"

// notObserved is what a rollout waits for whose controller has not seen the template yet.
const notObserved = "the controller to take up the new spec"

func judgeDeployment(in *appsv1.Deployment) verdict {
	st := &in.Status
	if in.Generation > st.ObservedGeneration {
		return waitsFor(notObserved)
	}
	for i := range st.Conditions {
		c := &st.Conditions[i]
		if c.Type == appsv1.DeploymentProgressing && c.Reason == deadlineExceeded {
			return verdict{reason: c.Reason, message: c.Message}
		}
	}
	want := wanted(in.Spec.Replicas)
	switch {
	case in.Spec.Paused && st.UpdatedReplicas < want:
		return waitsFor("it to be resumed: it is paused")
	case st.UpdatedReplicas < want:
		return waitsFor("new pods: %d of %d are there", st.UpdatedReplicas, want)
	case st.Replicas > st.UpdatedReplicas:
		return waitsFor("old pods to go: %d are left", st.Replicas-st.UpdatedReplicas)
	case st.AvailableReplicas < st.UpdatedReplicas:
		return waitsFor("new pods to be available: %d of %d are", st.AvailableReplicas, st.UpdatedReplicas)
	}
	return verdict{complete: true}
}

func judgeStatefulSet(in *appsv1.StatefulSet) verdict {
	st := &in.Status
	if st.ObservedGeneration == 0 || in.Generation > st.ObservedGeneration {
		return waitsFor(notObserved)
	}
	want := wanted(in.Spec.Replicas)
	if st.ReadyReplicas < want {
		return waitsFor("pods to be ready: %d of %d are", st.ReadyReplicas, want)
	}
	// The API server sets a partition of 0. The revisions alone say too little: when a rollout is
	// undone that was on its way, they are the same at once.
	if ru := in.Spec.UpdateStrategy.RollingUpdate; ru != nil && ru.Partition != nil {
		switch unprotected := want - *ru.Partition; {
		case st.UpdatedReplicas >= unprotected:
			return verdict{complete: true}
		case *ru.Partition > 0:
			return waitsFor("new pods: %d of %d are there, as the partition has it", st.UpdatedReplicas, unprotected)
		default:
			return waitsFor("pods to be of revision %s: %d of %d are", st.UpdateRevision, st.UpdatedReplicas, want)
		}
	}
	if st.UpdateRevision != st.CurrentRevision {
		return waitsFor("pods to be of revision %s: %d of %d are", st.UpdateRevision, st.UpdatedReplicas, want)
	}
	return verdict{complete: true}
}

func judgeDaemonSet(in *appsv1.DaemonSet) verdict {
	st := &in.Status
	if in.Generation > st.ObservedGeneration {
		return waitsFor(notObserved)
	}
	switch want := st.DesiredNumberScheduled; {
	case st.UpdatedNumberScheduled < want:
		return waitsFor("new pods: %d of %d are there", st.UpdatedNumberScheduled, want)
	case st.NumberAvailable < want:
		return waitsFor("new pods to be available: %d of %d are", st.NumberAvailable, want)
	}
	return verdict{complete: true}
}

func judgeJob(in *batchv1.Job) verdict {
	for i := range in.Status.Conditions {
		c := &in.Status.Conditions[i]
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			return verdict{complete: true}
		case c.Type == batchv1.JobFailed:
			return verdict{reason: c.Reason, message: c.Message}
		}
	}
	if in.Spec.Suspend != nil && *in.Spec.Suspend {
		return waitsFor("it to be resumed: it is suspended")
	}
	if in.Spec.Completions == nil {
		return waitsFor("its pods to succeed: %d run", in.Status.Active)
	}
	return waitsFor("its pods to succeed: %d of %d have, %d run", in.Status.Succeeded, *in.Spec.Completions, in.Status.Active)
}

// wanted is spec.replicas with the API's default.
func wanted(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// templateOf is the pod template of a workload; nil of what has none, or one that never changes.
func templateOf(o runtime.Object) *corev1.PodTemplateSpec {
	switch in := o.(type) {
	case *appsv1.Deployment:
		return &in.Spec.Template
	case *appsv1.StatefulSet:
		return &in.Spec.Template
	case *appsv1.DaemonSet:
		return &in.Spec.Template
	case *argoRollout:
		return in.template
	}
	return nil
}

// generations are what a workload's spec counts, and up to where its controller has seen that.
func generations(o runtime.Object) (generation, observed int64) {
	switch in := o.(type) {
	case *appsv1.Deployment:
		return in.Generation, in.Status.ObservedGeneration
	case *appsv1.StatefulSet:
		return in.Generation, in.Status.ObservedGeneration
	case *appsv1.DaemonSet:
		return in.Generation, in.Status.ObservedGeneration
	}
	return 0, 0
}

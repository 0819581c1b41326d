package causality

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// newPod makes the record of a pod that is seen for the first time.
func (e *Engine) newPod(id kube.ObjectID, o Observation, in *corev1.Pod) *podlife.Pod {
	before := e.names[kube.NameKey{Kind: kube.KindPod, Namespace: in.Namespace, Name: in.Name}]
	pod := &podlife.Pod{
		Object:      e.track(id, in.Name),
		Predecessor: before.UID,
		Owner:       id,
		FirstSeen:   evidence.NewWrite(in.ResourceVersion, o),
		Initial:     o.Initial,
		Inferred:    o.Inferred,
	}
	if maker := workloads.MakerOf(in); maker.UID != "" {
		pod.Owner = maker
	}
	pod.Finite = kube.IsFinite(in) && (pod.Unowned() || in.Spec.RestartPolicy != corev1.RestartPolicyAlways)
	arrival := o.Time
	if o.Initial || in.Status.Phase == corev1.PodRunning || in.Spec.NodeName != "" && in.DeletionTimestamp != nil {
		arrival = time.Time{} // we did not see it being created
	}
	pod.Created = evidence.InSecond(in.CreationTimestamp.Time, arrival)
	if in.CreationTimestamp.IsZero() {
		pod.Created = evidence.Arrived(o.Time)
	}
	if o.Initial {
		pod.FirstSeen = evidence.Write{Arrival: pod.Created.At()}
	}
	pod.ObserveDoubts(o.Doubts)
	e.pods[id] = pod
	e.filePod(pod)
	e.claims.Use(pod, in)
	e.observeMirror(pod, in)
	e.observeStaticChange(pod)
	e.observeAnnounced(pod)
	return pod
}

func (e *Engine) observePod(o Observation, in *corev1.Pod) *podlife.Pod {
	id := kube.BuiltIn(kube.KindPod, in)
	pod := e.pods[id]
	isNew := pod == nil
	if isNew {
		if o.Type == watch.Deleted {
			return nil // nothing is known that could have ended
		}
		pod = e.newPod(id, o, in)
	} else if maker := workloads.MakerOf(in); maker.UID != "" && !pod.Unowned() {
		e.adoptPod(pod, maker, evidence.NewWrite(in.ResourceVersion, o))
	}
	pod.Touched = o.Time
	pod.Owned = kube.OwnerRefOf(in)
	pod.Runs = kube.ServiceOf(in.Labels, in.Annotations)
	pod.RevisionName = in.Labels[appsv1.StatefulSetRevisionLabel]
	arrival := o.Arrival()
	in = e.datedPod(o, pod, in)
	pod.ObserveNode(in, isNew, o.Time)
	if in.Status.NominatedNodeName != "" {
		e.nominate(pod, in.Status.NominatedNodeName)
	}
	if len(in.Spec.ReadinessGates) > 0 {
		pod.HasReadinessGates = true
	}
	if in.Status.Phase != "" {
		pod.Phase = in.Status.Phase
	}
	if in.Status.Reason != "" {
		pod.Reason, pod.Message = in.Status.Reason, in.Status.Message
	}
	wasLeaving := pod.Leaving()
	// A deletion rewrites conditions and container states as the kubelet
	// tears the pod down; what is news then is in the stop, not the start.
	pod.ObserveConditions(in.Status.Conditions, arrival, o.Time)
	pod.ObserveDeletion(o, in, arrival)
	pod.ObserveContainers(in, arrival, o.Time)
	if isNew {
		pod.ForgetPastRuns()
	}
	if isNew && o.Initial {
		if !o.Inferred {
			pod.ObserveListed(in, o.Time)
		}
		_, pod.ReadyFirst = pod.FirstReady()
		pod.LostFirst = pod.LostAtFirst()
	}
	pod.ObserveEnd(o, in)
	pod.ObserveTriggers(o, in)
	pod.ObserveJobPod(o, in, wasLeaving)
	if pod.Unowned() {
		w := e.runOf(pod)
		w.Show(in, e.shown)
		e.observeContexts(w, in, evidence.NewWrite(in.ResourceVersion, o), o.Initial)
		e.observeUnowned(pod, isNew)
	}
	e.lost.note(pod)
	return pod
}

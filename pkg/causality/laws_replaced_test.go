package causality_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// nothingHoldsUp checks of a piece of a replacement's path that is the controller's that the API
// did not refuse the next pod in it, and that a lost pod whose name or node the next one needs was
// gone before its end.
func nothingHoldsUp(t interface{ Errorf(string, ...any) }, obs []causality.Observation, root spans.Span, text string, from, until time.Time) {
	var owner *metav1.OwnerReference
	var there, gone bool
	for _, o := range obs {
		in, ok := o.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		if string(in.UID) != value(root, "k8s.pod.uid").AsString() {
			// There are no two of one name, even where the deletion of one was not seen.
			namesake := in.Namespace+"/"+in.Name == value(root, "k8s.namespace.name").AsString()+"/"+value(root, "k8s.pod.name").AsString()
			gone = gone || namesake && there && !in.CreationTimestamp.After(until)
			continue
		}
		if ref := metav1.GetControllerOf(in); ref != nil {
			owner = ref
		}
		there = there || !o.Time.After(from)
		// A DaemonSet's pod makes way when it has ended.
		ended := owner != nil && owner.Kind == "DaemonSet" && (in.Status.Phase == corev1.PodFailed || in.Status.Phase == corev1.PodSucceeded)
		gone = gone || (o.Type == watch.Deleted || ended) && o.Time.Before(until)
	}
	if owner == nil {
		return
	}
	if (owner.Kind == "StatefulSet" || owner.Kind == "DaemonSet") && there && !gone && value(root, "rollspan.outcome").AsString() == "complete" {
		t.Errorf("%s %s: the lost pod was in the way in all of %q", root.Name, root.Subject, text)
	}
	for _, o := range obs {
		ev, ok := o.Object.(*corev1.Event)
		if !ok || ev.Reason != "FailedCreate" || ev.InvolvedObject.UID != owner.UID {
			continue
		}
		// What an Event states is the second, rounded down, and may be corrected by its source's clock.
		for _, at := range []time.Time{ev.FirstTimestamp.Time, ev.LastTimestamp.Time} {
			if at.After(from) && at.Add(time.Second).Before(until) && !o.Time.After(until) {
				t.Errorf("%s %s: the API refused the pod at %s, in %q", root.Name, root.Subject, at, text)
			}
		}
	}
}

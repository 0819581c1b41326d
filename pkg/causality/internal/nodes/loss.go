package nodes

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// TookPod reports whether the disruption was on when the pod was lost.
func (d *Disruption) TookPod(pod *podlife.Pod) bool {
	at := pod.LostAt().At()
	if d.Kind == Deleted {
		// The garbage collector of pods comes when it comes.
		return !at.Before(d.Start.At().Add(-evidence.ArrivalSlack))
	}
	lead := d.Lead()
	if shutDown(pod) {
		lead = KubeletPeriod // the kubelet may post it after it has begun to
	}
	return d.covers(at, lead, evidence.ArrivalSlack)
}

// shutDown reports whether the kubelet ended the pod, or did not admit it, as
// its machine was being shut down.
func shutDown(pod *podlife.Pod) bool {
	return pod.Failed.Known() && (pod.Reason == "Terminated" || pod.Reason == "NodeShutdown" || pod.Reason == "Shutdown")
}

// KindsBehindLoss are the disruptions that may be behind the loss of a pod, by what
// the pod says of it.
func KindsBehindLoss(pod *podlife.Pod) []disruptionKind {
	switch {
	case pod.Disruption == podlife.DeletedForTaint:
		return []disruptionKind{NotReady, Unreachable}
	case pod.Disruption == "EvictionByEvictionAPI":
		return []disruptionKind{Cordoned}
	case pod.Disruption == "DeletionByPodGC":
		return []disruptionKind{Deleted, NotReady, Unreachable}
	case pod.Failed.Known() && pod.Reason == "Evicted":
		if kind := evictedFor(pod.Message); kind != "" {
			return []disruptionKind{kind}
		}
		return nil
	case pod.Reason == "NodeLost":
		return []disruptionKind{Deleted, NotReady, Unreachable}
	case shutDown(pod):
		return []disruptionKind{NotReady, Unreachable}
	case pod.Disruption == "" && pod.Leaving() && !pod.Failed.Known():
		// Somebody, or the garbage collector of Kubernetes before 1.26, gave
		// it up.
		return []disruptionKind{Deleted, NotReady, Unreachable}
	default:
		return nil
	}
}

// LossAttributes say more of why a pod was lost at a time, by the disruption of its node that led
// to it, which may be nil: what the kubelet wrote into the pod's status, and how long the pod
// tolerated the taint that the node controller gives a node that is not ready or unreachable.
func LossAttributes(pod *podlife.Pod, d *Disruption, at time.Time) (attrs []attribute.KeyValue) {
	if pod.Failed.Known() && !pod.Released() && pod.Message != "" {
		attrs = append(attrs, attr.PodMessageKey.String(pod.Message))
	}
	if d == nil || pod.Disruption != podlife.DeletedForTaint {
		return attrs
	}
	if tolerated := at.Sub(evidence.Latest(d.Start.At(), pod.Scheduled.At())); tolerated > 0 {
		attrs = append(attrs, evidence.Seconds(attr.ToleratedDurationKey, tolerated))
	}
	return attrs
}

// evictedFor reads the kubelet's message of an eviction, or of its refusal to
// admit a pod; "" if the pod was evicted for what it used itself.
func evictedFor(message string) disruptionKind {
	if _, rest, ok := strings.Cut(message, "low on resource: "); ok {
		resource, _, _ := strings.Cut(rest, ".")
		return pressureOn(resource)
	}
	if _, rest, ok := strings.Cut(message, "had condition: ["); ok {
		for _, kind := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
			if strings.HasPrefix(rest, string(kind)) {
				return disruptionKind(kind)
			}
		}
	}
	return ""
}

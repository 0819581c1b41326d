package causality

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// claimed is a pod that waits for a claim of its own.
func (l *life) claimed(name string) (*corev1.PersistentVolumeClaim, *corev1.Pod) {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: l.meta("claim", name, nil)}
	c.Status.Phase = corev1.ClaimPending
	l.see(watch.Added, c)
	p := &corev1.Pod{ObjectMeta: l.meta("pod", name, nil)}
	p.Spec.Containers = []corev1.Container{{Name: "db", Image: "db:1"}}
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
	}}}
	l.see(watch.Added, p)
	return c, p
}

func (l *life) claimEvent(c *corev1.PersistentVolumeClaim, reason string) {
	now := metav1.NewTime(l.at.Truncate(time.Second))
	l.see(watch.Added, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("%s.%x", c.Name, l.at.UnixNano())},
		InvolvedObject: corev1.ObjectReference{Kind: kube.KindClaim, Namespace: "shop", Name: c.Name, UID: c.UID},
		Reason:         reason, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	})
}

// A claim is forgotten with its deletion, and so is that a pod used it.
func TestNothingIsKeptOfClaimsThatAreGone(t *testing.T) {
	l := newLife()
	none := int64(0)
	for i := range 100 {
		c, p := l.claimed(fmt.Sprint("db", i%3))
		l.claimEvent(c, "Provisioning")
		l.pass(time.Minute)
		now := metav1.NewTime(l.at)
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &now, &none
		l.see(watch.Deleted, p)
		if i%2 == 0 {
			l.see(watch.Deleted, c)
		} else { // only seen to be gone
			l.see(watch.Deleted, &metav1.PartialObjectMetadata{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kube.KindClaim}, ObjectMeta: c.ObjectMeta,
			})
		}
		l.claimEvent(c, "VolumeDelete") // comes after it
	}
	for range 20 {
		l.pass(10 * time.Minute)
	}
	for what, n := range map[string]int{
		"claims": len(l.claims.ByID), "names of claims": len(l.claims.ByName), "users of claims": len(l.claims.Users), "nominated": len(l.nominated), "current trace IDs": len(l.issued.Current),
		"objects": len(l.objects), "names": len(l.names), "Events": len(l.events), "pods": len(l.pods),
	} {
		if n != 0 {
			t.Errorf("%d %s are left", n, what)
		}
	}
	l.nothingIsNoted(t)
	if l.spans < 100 {
		t.Errorf("only %d spans came out", l.spans)
	}
}

// A pod that waits for days, and of which something else is said every minute,
// takes no more room than one that waits for an hour.
func TestALongWaitIsBounded(t *testing.T) {
	l := newLife()
	c, p := l.claimed("db")
	for i := range 5000 {
		p.Status.Conditions = []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: fmt.Sprint("no room, ", i), LastTransitionTime: p.CreationTimestamp},
			{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady", Message: fmt.Sprint("not ready, ", i), LastTransitionTime: p.CreationTimestamp},
		}
		l.see(watch.Modified, p)
		l.event(p, "FailedScheduling")
		l.claimEvent(c, "ProvisioningFailed")
		l.pass(time.Minute)
	}
	pod := l.pods[kube.BuiltIn(kube.KindPod, p)]
	for what, got := range map[string]struct{ n, most int }{
		"refusals":         {len(pod.Unscheduled), evidence.MaxReasons},
		"reasons":          {len(pod.Unready), evidence.MaxReasons},
		"pod Events":       {len(pod.Events), podlife.MaxEvents},
		"claim Events":     {len(l.claims.ByID[kube.BuiltIn(kube.KindClaim, c)].Events), podlife.MaxEvents},
		"Events":           {len(l.events), 2 * podlife.MaxEvents},
		"users of a claim": {len(l.claims.Users[podlife.ClaimKey("shop", "db")]), 1},
	} {
		if got.n > got.most || got.n == 0 {
			t.Errorf("%d %s are kept, at most %d should be", got.n, what, got.most)
		}
	}
}

// A pod that crashes for days before it is Ready, as one of a StatefulSet may, has a
// start of a bounded number of spans, which says how many crashes it leaves out.
func TestACrashLoopBeforeReadyIsBounded(t *testing.T) {
	const crashes = 100
	l := newLife()
	p := &corev1.Pod{ObjectMeta: l.meta("pod", "db-0", nil)}
	p.Spec.Containers = []corev1.Container{{Name: "web", Image: "db:1"}}
	l.see(watch.Added, p)
	a := app{pod: p}
	start := l.at.Truncate(time.Second)
	for i := range int32(crashes) {
		a.run(l, i)
		a.ready(corev1.ConditionFalse, metav1.NewTime(start))
		l.see(watch.Modified, p)
		a.crash(l)
		l.see(watch.Modified, p)
		l.pass(5 * time.Minute)
	}
	a.run(l, crashes)
	l.see(watch.Modified, p)
	l.last = spans.Trace{}
	l.pass(time.Minute)

	var runs []spans.Span
	leftOut := int64(0)
	for _, s := range l.last.Spans {
		switch s.Name {
		case "run container":
			runs = append(runs, s)
		case "container":
			n, _ := s.Attribute(attr.RestartsLeftOutKey)
			leftOut = n.AsInt64()
		}
	}
	if len(runs) != podlife.MaxRuns-1 || leftOut != crashes-(podlife.MaxRuns-1) {
		t.Fatalf("%d crashes: %d are told, %d are left out", crashes, len(runs), leftOut)
	}
	if first := runs[0].Start; first.Sub(start) > time.Second {
		t.Errorf("the first that is told is %s after the pod's creation", first.Sub(start))
	}
}

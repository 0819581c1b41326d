package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// followed is a rollout of deployment/web that begins to be followed at noon, at a terminal or not.
func followed(t *testing.T, out *bytes.Buffer, atTerminal bool) (*followedRollout, *appsv1.Deployment, time.Time) {
	t.Helper()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "d", Generation: 1, ResourceVersion: "100000", CreationTimestamp: metav1.NewTime(noon), Annotations: firstRevision},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 1},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(3)), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1"}}}}},
	}
	format := formatTable
	f := &following{app: &app{Streams: Streams{Out: out}, screen: out, atTerminal: atTerminal}, format: &format}
	target := progress.Target{Kind: "Deployment", Namespace: "shop", Name: "web"}
	w := &followedRollout{tracker: progress.New(target, causality.New(causality.Options{}), false), view: f.newView(), last: progress.State{Target: target, Outcome: progress.Open}}
	if err := w.Begin([]runtime.Object{d.DeepCopy(), setOf(d)}, noon); err != nil {
		t.Fatal(err)
	}
	return w, d, noon
}

var firstRevision = map[string]string{"deployment.kubernetes.io/revision": "1"}

// setOf is the ReplicaSet of a Deployment's first revision.
func setOf(d *appsv1.Deployment) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-1", UID: "s", ResourceVersion: "99999", CreationTimestamp: d.CreationTimestamp, Annotations: firstRevision,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID, Controller: new(true)}},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Template: d.Spec.Template},
	}
}

// While the API server is away the picture goes on, says since when nothing is seen, and what it
// shows is what there was. When all is seen again that goes.
func TestStatusWhileTheAPIServerIsAway(t *testing.T) {
	var out bytes.Buffer
	w, d, noon := followed(t, &out, true)
	shows := func(want, not string) {
		t.Helper()
		picture := strings.Join(shown(out.String()), "\n")
		if !strings.Contains(picture, want) || not != "" && strings.Contains(picture, not) {
			t.Errorf("it shows\n%s\nwant %q, and not %q", picture, want, not)
		}
	}
	w.Tick(noon.Add(time.Second), nil)
	shows("open for 1s", "Nothing new")
	away := &watcher.Behind{Why: "the API server does not answer", Since: noon.Add(5 * time.Second)}
	w.Tick(noon.Add(9*time.Second), away)
	shows("open for 9s", "")
	shows("Nothing new is seen since 2026-03-01T12:00:05Z, for 4s: the API server does not answer.", "")
	w.Tick(noon.Add(10*time.Second), away)
	shows("for 5s: the API server does not answer.", "for 4s:")
	shows("It waits for: ", "")
	w.Tick(noon.Add(11*time.Second), &watcher.Behind{}) // it answers, and not all is taken in yet
	shows("open for 11s", "Nothing new")
	d.ResourceVersion = "100001"
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3}
	if !w.Observe(causality.Observation{Time: noon.Add(12 * time.Second), Type: watch.Modified, Object: d}) || w.last.Outcome != progress.Complete || w.last.Unseen != "" {
		t.Errorf("after that it is %+v", w.last)
	}
}

// Where there is no terminal a line says that nothing is seen, and one that it is again.
func TestStatusSaysOnceThatTheAPIServerIsAway(t *testing.T) {
	var out bytes.Buffer
	w, _, noon := followed(t, &out, false)
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	away := &watcher.Behind{Why: "the API server does not answer", Since: at(2)}
	w.Tick(at(1), nil)
	before := out.Len()
	w.Tick(at(3), away)
	w.Tick(at(4), away)
	end := w.last
	end.Outcome = progress.TimedOut
	w.Tick(at(5), nil)
	w.Tick(at(6), nil)
	want := "2026-03-01T12:00:03Z  nothing new is seen: the API server does not answer\n2026-03-01T12:00:05Z  what happens is seen again\n"
	if got := out.String()[before:]; got != want {
		t.Errorf("it says\n%swant\n%s", got, want)
	}
	// Who waits no longer is told that what is known is old.
	if s := w.view.result(&end); !strings.Contains(s, "; nothing new is seen since 2026-03-01T12:00:02Z: the API server does not answer") {
		t.Errorf("it ends with %q", s)
	}
	if j := followedJSON(&end, 3); j.Unseen == "" || j.UnseenSince == nil || !j.UnseenSince.Equal(at(2)) {
		t.Errorf("it ends with %+v", j)
	}
}

package progress

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

var (
	begin  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	target = Target{Kind: kindDeployment, Namespace: "shop", Name: "web"}
)

func owned(kind, name string, uid types.UID) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: uid, Controller: new(true)}}
}

func template(image string, labels ...string) corev1.PodTemplateSpec {
	t := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
	}
	for i := 0; i < len(labels); i += 2 {
		t.Labels[labels[i]] = labels[i+1]
	}
	return t
}

func deployment(image string) *appsv1.Deployment {
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "d", Generation: 2, ResourceVersion: "100000"},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(1)), Template: template(image)},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1},
	}
}

func replicaSet(uid types.UID, image string) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-" + string(uid), UID: uid, OwnerReferences: owned("Deployment", "web", "d")},
		Spec:       appsv1.ReplicaSetSpec{Template: template(image, appsv1.DefaultDeploymentUniqueLabelKey, string(uid))},
	}
}

// pod is one of the ReplicaSet, with its one container as it is.
func pod(set types.UID, status corev1.ContainerStatus) *corev1.Pod {
	status.Name = "web"
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-" + string(set) + "-x", UID: "p" + set, OwnerReferences: owned("ReplicaSet", "web-"+string(set), set)},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{status}},
	}
}

func waiting(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

// crashed is a container whose run number n has ended with a code.
func crashed(n int, code int32) corev1.ContainerStatus {
	s := waiting(DoomCrashLoop, "back-off restarting failed container")
	s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.NewTime(begin.Add(time.Duration(n) * time.Minute))}
	return s
}

// ended is a container whose last two runs have ended in the same second, by their IDs.
func ended(before, now string) corev1.ContainerStatus {
	s := crashed(1, 3)
	last, current := *s.LastTerminationState.Terminated, *s.LastTerminationState.Terminated
	last.ContainerID, current.ContainerID = before, now
	s.LastTerminationState.Terminated, s.State = &last, corev1.ContainerState{Terminated: &current}
	return s
}

// pulled is the Event of so many failed pulls for a pod of the ReplicaSet.
func pulled(set types.UID, times int32, said string) *corev1.Event {
	return &corev1.Event{
		TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: "e." + string(set), UID: types.UID("e" + said)},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "web-" + string(set) + "-x", UID: "p" + set, FieldPath: "spec.containers{web}"},
		Reason:         eventFailed, Message: failedToPull + `"web:nope": ` + said, Count: times,
	}
}

// What containerd, CRI-O and Docker say.
const (
	notFound     = `rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/web:nope": failed to resolve image: docker.io/library/web:nope: not found`
	unknown      = `reading manifest nope in registry.example.com/web: manifest unknown`
	notLetIn     = `failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.example/token: 401 Unauthorized`
	denied       = `pull access denied for web, repository does not exist or may require 'docker login'`
	limited      = `failed to copy: httpReadSeeker: failed open: unexpected status code: 429 Too Many Requests - Server message: toomanyrequests: unauthorized users have reached their limit`
	unresolvable = `dial tcp: lookup registry.example.com on 10.96.0.10:53: no such host`
)

// What the table says is doomed, and at which of several observations.
func TestDoomed(t *testing.T) {
	backOff := pod("2", waiting(waitsImagePullBackOff, "Back-off pulling image"))
	crashes := func(codes ...int32) (seen []runtime.Object) {
		for i, code := range codes {
			seen = append(seen, pod("2", crashed(i, code)))
		}
		return seen
	}
	for name, test := range map[string]struct {
		seen []runtime.Object
		// at is the number of the observation at which it is doomed, from 1; 0 for never.
		at     int
		reason string
	}{
		"an image name that is none":        {[]runtime.Object{pod("2", waiting("InvalidImageName", "couldn't parse image name"))}, 1, DoomInvalidImageName},
		"the same of the template before":   {[]runtime.Object{pod("1", waiting("InvalidImageName", "couldn't parse image name"))}, 0, ""},
		"three pulls of what is not there":  {[]runtime.Object{backOff, pulled("2", 1, notFound), pulled("2", 2, notFound), pulled("2", 3, notFound)}, 4, DoomImagePull},
		"the Event came first":              {[]runtime.Object{pulled("2", 3, unknown), backOff}, 2, DoomImagePull},
		"three pulls that were not let in":  {[]runtime.Object{backOff, pulled("2", 3, notLetIn)}, 2, DoomImagePull},
		"pulls that say it in turn":         {[]runtime.Object{backOff, pulled("2", 1, denied), pulled("2", 2, unknown)}, 3, DoomImagePull},
		"of another pod":                    {[]runtime.Object{backOff, pulled("1", 9, notFound)}, 0, ""},
		"the image was found":               {[]runtime.Object{backOff, pod("2", corev1.ContainerStatus{Ready: true}), pulled("2", 3, notFound)}, 0, ""},
		"the registry is asked too often":   {[]runtime.Object{backOff, pulled("2", 9, limited)}, 0, ""},
		"the registry cannot be found":      {[]runtime.Object{backOff, pulled("2", 9, unresolvable)}, 0, ""},
		"the fifth crash with one code":     {crashes(3, 3, 3, 3, 3), 5, DoomCrashLoop},
		"another code in between":           {crashes(3, 3, 3, 1, 3, 3, 3, 3, 3), 9, DoomCrashLoop},
		"a crash that is seen again":        {[]runtime.Object{pod("2", crashed(1, 3)), pod("2", crashed(1, 3)), pod("2", crashed(1, 3)), pod("2", crashed(1, 3)), pod("2", crashed(1, 3))}, 0, ""},
		"two crashes in one second":         {[]runtime.Object{pod("2", ended("a", "b")), pod("2", ended("a", "b")), pod("2", ended("b", "c")), pod("2", ended("c", "d")), pod("2", ended("d", "e"))}, 5, DoomCrashLoop},
		"containers that end well":          {crashes(0, 0, 0, 0, 0, 0), 0, ""},
		"a ConfigMap that is missing":       {[]runtime.Object{pod("2", waiting("CreateContainerConfigError", `configmap "web" not found`))}, 0, ""},
		"a Secret that does not let in yet": {[]runtime.Object{pod("2", waiting("ErrImageNeverPull", "image is not present"))}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoom(target)
			for i, o := range append([]runtime.Object{deployment("web:nope"), replicaSet("1", "web:1"), replicaSet("2", "web:nope")}, test.seen...) {
				d.observe(causality.Observation{Type: watch.Added, Object: o})
				found := d.found()
				doomed := test.at > 0 && i-2 >= test.at
				if (found != nil) != doomed {
					t.Fatalf("at %d it is %v", i-2, found)
				}
				if found != nil && found.Reason != test.reason {
					t.Errorf("it is %s: %s", found.Reason, found.Message)
				}
			}
		})
	}
}

// Which pods are of the template that is rolled out is told by what each controller writes.
func TestDoomedByKind(t *testing.T) {
	bad := waiting("InvalidImageName", "couldn't parse image name")
	of := func(kind string, labels map[string]string) *corev1.Pod {
		p := pod("2", bad)
		p.OwnerReferences, p.Labels = owned(kind, "web", "w"), labels
		return p
	}
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "w", Generation: 2}
	revision := func(name string, number int64) *appsv1.ControllerRevision {
		return &appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-" + name, UID: types.UID(name), OwnerReferences: owned("DaemonSet", "web", "w"), Labels: map[string]string{revisionHash: name}},
			Revision:   number,
		}
	}
	sts := &appsv1.StatefulSet{TypeMeta: metav1.TypeMeta{Kind: "StatefulSet"}, ObjectMeta: meta, Status: appsv1.StatefulSetStatus{ObservedGeneration: 2, UpdateRevision: "web-new"}}
	ds := &appsv1.DaemonSet{TypeMeta: metav1.TypeMeta{Kind: "DaemonSet"}, ObjectMeta: meta, Status: appsv1.DaemonSetStatus{ObservedGeneration: 2}}
	job := &batchv1.Job{TypeMeta: metav1.TypeMeta{Kind: "Job"}, ObjectMeta: meta}
	ahead := sts.DeepCopy()
	ahead.Generation = 3
	for name, test := range map[string]struct {
		seen   []runtime.Object
		doomed bool
	}{
		"StatefulSet":                         {[]runtime.Object{sts, of("StatefulSet", map[string]string{revisionHash: "web-new"})}, true},
		"StatefulSet, an old pod":             {[]runtime.Object{sts, of("StatefulSet", map[string]string{revisionHash: "web-old"})}, false},
		"StatefulSet, a spec not taken up":    {[]runtime.Object{ahead, of("StatefulSet", map[string]string{revisionHash: "web-new"})}, false},
		"DaemonSet":                           {[]runtime.Object{ds, revision("old", 1), revision("new", 2), of("DaemonSet", map[string]string{revisionHash: "new"})}, true},
		"DaemonSet, an old pod":               {[]runtime.Object{ds, revision("old", 1), revision("new", 2), of("DaemonSet", map[string]string{revisionHash: "old"})}, false},
		"DaemonSet, revisions not to be read": {[]runtime.Object{ds, of("DaemonSet", map[string]string{revisionHash: "new"})}, false},
		"Job":                                 {[]runtime.Object{job, of("Job", nil)}, true},
		"another one's pod":                   {[]runtime.Object{job, pod("2", bad)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoom(Target{Kind: test.seen[0].GetObjectKind().GroupVersionKind().Kind, Namespace: "shop", Name: "web"})
			for _, o := range test.seen {
				d.observe(causality.Observation{Type: watch.Added, Object: o})
			}
			if found := d.found(); (found != nil) != test.doomed {
				t.Errorf("it is %v", found)
			}
		})
	}
	// How often the pods of a Job may fail it says itself.
	d := newDoom(Target{Kind: kindJob, Namespace: "shop", Name: "web"})
	d.observe(causality.Observation{Type: watch.Added, Object: job})
	for i := range 9 {
		p := pod("2", crashed(i, 3))
		p.OwnerReferences = owned("Job", "web", "w")
		d.observe(causality.Observation{Type: watch.Modified, Object: p})
	}
	if found := d.found(); found != nil {
		t.Errorf("a Job whose pods crash is %v", found)
	}
}

// What is kept is bounded, and goes when its object does.
func TestDoomIsBounded(t *testing.T) {
	d := newDoom(target)
	for i := range mostWatched + 10 {
		id := types.UID(fmt.Sprint(i))
		d.observe(causality.Observation{Type: watch.Added, Object: pod(id, waiting(waitsErrImagePull, ""))})
		d.observe(causality.Observation{Type: watch.Added, Object: pulled(id, 1, fmt.Sprint(notFound, i, ": not found"))})
		d.observe(causality.Observation{Type: watch.Added, Object: replicaSet(id, "web:1")})
	}
	if len(d.pods) != mostWatched || len(d.pulls) != mostWatched || len(d.sets) != mostWatched {
		t.Errorf("%d pods, %d pulls and %d ReplicaSets are kept", len(d.pods), len(d.pulls), len(d.sets))
	}
	for i := range mostWatched {
		id := types.UID(fmt.Sprint(i))
		d.observe(causality.Observation{Type: watch.Deleted, Object: pod(id, waiting(waitsErrImagePull, ""))})
		d.observe(causality.Observation{Type: watch.Deleted, Object: replicaSet(id, "web:1")})
	}
	if len(d.pods)+len(d.sets) != 0 {
		t.Errorf("%d pods and %d ReplicaSets are kept that are gone", len(d.pods), len(d.sets))
	}
}

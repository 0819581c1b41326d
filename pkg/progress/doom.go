package progress

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// The thresholds of the table of what a rollout does not recover from by itself.
// docs/guide.md has it for people.
const (
	// hopelessPulls is after how many pulls that found no such image, or were not let in, no pull
	// is expected to find it.
	hopelessPulls = 3
	// sameCrashes is after how many crashes in a row with one exit code no other end is expected.
	sameCrashes = 5
)

// The reasons of the table.
const (
	DoomInvalidImageName = "InvalidImageName"
	DoomImagePull        = "ErrImagePull"
	DoomCrashLoop        = "CrashLoopBackOff"
)

// The kubelet's reasons, for which a container waits (pkg/kubelet/images, types.go), and that of
// its Event about a pull (pkg/kubelet/events).
const (
	waitsInvalidImageName = "InvalidImageName"
	waitsErrImagePull     = "ErrImagePull"
	waitsImagePullBackOff = "ImagePullBackOff"
	eventFailed           = "Failed"
	failedToPull          = "Failed to pull image "
)

// revisionHash is the label by which the pods of a StatefulSet or DaemonSet, and their
// ControllerRevisions, say of which template they are.
const revisionHash = appsv1.ControllerRevisionHashLabelKey

// mostWatched bounds how many ReplicaSets, ControllerRevisions, pods in trouble and Events about
// pulls are kept, of each. Beyond that a rollout is not called doomed by what is new.
const mostWatched = 5000

// Doom is what a rollout does not recover from by itself.
type Doom struct {
	// Reason is one of the reasons of the table.
	Reason string
	// Message is a sentence: "pod web-1: container web crashed 5 times with exit code 3".
	Message string
}

// doom notes what the table asks for. What others may still mend, such as a ConfigMap that is
// missing, is not in the table, and is not noted.
type doom struct {
	target Target
	object runtime.Object
	uid    types.UID
	// sets are the ReplicaSets of a Deployment, revisions the ControllerRevisions of a DaemonSet.
	sets      map[types.UID]*appsv1.ReplicaSet
	revisions map[types.UID]*appsv1.ControllerRevision
	pods      map[types.UID]*suspect
	// pulls are the Events that say that a pull was hopeless, by their UID, and pullsFor those UIDs
	// by the pod's: there may be thousands of both.
	pulls    map[types.UID]pull
	pullsFor map[types.UID]map[types.UID]struct{}
	// lost is what the pods do not recover from, whether they are of the template or not.
	lost map[types.UID]*Doom
}

// suspect is a pod of the target in which something has gone wrong.
type suspect struct {
	*corev1.Pod
	crashes map[string]*crashes // by container
}

// crashes are how often a container has ended in a row with an exit code. known identify the
// last two ends, which are as many as a status has.
type crashes struct {
	code, times int32
	known       [2]string
}

// pull is how often a pull for a pod's container has failed, as an Event counts it.
type pull struct {
	pod       types.UID
	fieldPath string
	times     int32
}

func newDoom(t Target) *doom {
	return &doom{
		target: t, sets: map[types.UID]*appsv1.ReplicaSet{}, revisions: map[types.UID]*appsv1.ControllerRevision{},
		pods: map[types.UID]*suspect{}, pulls: map[types.UID]pull{}, pullsFor: map[types.UID]map[types.UID]struct{}{}, lost: map[types.UID]*Doom{},
	}
}

func (d *doom) observe(o causality.Observation) {
	gone := o.Type == watch.Deleted
	switch in := o.Object.(type) {
	case *appsv1.ReplicaSet:
		note(d.sets, in.UID, in, gone || !d.owns(in))
	case *appsv1.ControllerRevision:
		note(d.revisions, in.UID, in, gone || !d.owns(in))
	case *corev1.Pod:
		d.observePod(in, gone)
	case *corev1.Event:
		d.observeEvent(in, gone)
	case *metav1.PartialObjectMetadata: // a deletion that was missed
		if gone {
			delete(d.sets, in.UID)
			delete(d.revisions, in.UID)
			delete(d.pods, in.UID)
			delete(d.lost, in.UID)
		}
	}
	if m, ok := o.Object.(metav1.Object); ok && d.target.is(o.Object) && !gone {
		d.object, d.uid = o.Object, m.GetUID()
	}
}

// note keeps a value, or forgets it.
func note[K comparable, V any](in map[K]V, key K, value V, forget bool) {
	if _, known := in[key]; forget {
		delete(in, key)
	} else if known || len(in) < mostWatched {
		in[key] = value
	}
}

// owns reports whether an object may be the target's: which of several objects of one name had it
// is known when the target is.
func (d *doom) owns(m metav1.Object) bool {
	ref := metav1.GetControllerOfNoCopy(m)
	return ref != nil && ref.Kind == d.target.Kind && ref.Name == d.target.Name && m.GetNamespace() == d.target.Namespace
}

func (d *doom) observePod(in *corev1.Pod, gone bool) {
	s := d.pods[in.UID]
	if s == nil {
		s = &suspect{crashes: map[string]*crashes{}}
	}
	s.Pod = in
	for _, c := range containerStatuses(in) {
		for _, ended := range []*corev1.ContainerStateTerminated{c.LastTerminationState.Terminated, c.State.Terminated} {
			s.observeEnd(c.Name, ended)
		}
	}
	note(d.pods, in.UID, s, gone || in.Namespace != d.target.Namespace || !s.inTrouble())
	d.look(in.UID)
}

// look notes whether a pod does not recover, of which there is news.
func (d *doom) look(pod types.UID) {
	delete(d.lost, pod)
	if s := d.pods[pod]; s != nil {
		if f := d.foundIn(pod, s); f != nil {
			d.lost[pod] = f
		}
	}
}

// observeEnd takes in how a container has ended.
func (s *suspect) observeEnd(container string, ended *corev1.ContainerStateTerminated) {
	if ended == nil {
		return
	}
	c := s.crashes[container]
	if c == nil {
		c = &crashes{}
		s.crashes[container] = c
	}
	end := ended.ContainerID
	if end == "" {
		end = ended.FinishedAt.String() // it is known to the second only
	}
	if c.known[0] == end || c.known[1] == end {
		return
	}
	c.known = [2]string{c.known[1], end}
	if ended.ExitCode != c.code || c.times == 0 {
		c.code, c.times = ended.ExitCode, 0
	}
	c.times++
	if ended.ExitCode == 0 {
		c.times = 0 // it did not crash
	}
}

func (s *suspect) inTrouble() bool {
	if len(s.crashes) > 0 {
		return true
	}
	for _, c := range containerStatuses(s.Pod) {
		if w := c.State.Waiting; w != nil && (w.Reason == waitsInvalidImageName || pullFailed(w.Reason)) {
			return true
		}
	}
	return false
}

func pullFailed(reason string) bool {
	return reason == waitsErrImagePull || reason == waitsImagePullBackOff
}

func (d *doom) observeEvent(in *corev1.Event, gone bool) {
	if in.Reason != eventFailed || !strings.HasPrefix(in.Message, failedToPull) || !hopeless(in.Message) ||
		in.Namespace != d.target.Namespace || !strings.HasPrefix(in.InvolvedObject.Name, d.target.Name) {
		return
	}
	times := max(in.Count, 1)
	if in.Series != nil {
		times = max(times, in.Series.Count)
	}
	d.forgetPull(in.UID)
	pod := in.InvolvedObject.UID
	note(d.pulls, in.UID, pull{pod, in.InvolvedObject.FieldPath, times}, gone)
	if _, kept := d.pulls[in.UID]; kept {
		if d.pullsFor[pod] == nil {
			d.pullsFor[pod] = map[types.UID]struct{}{}
		}
		d.pullsFor[pod][in.UID] = struct{}{}
	}
	d.look(pod)
}

func (d *doom) forgetPull(event types.UID) {
	was, known := d.pulls[event]
	if !known {
		return
	}
	delete(d.pulls, event)
	of := d.pullsFor[was.pod]
	if delete(of, event); len(of) == 0 {
		delete(d.pullsFor, was.pod)
	}
}

// hopeless reports whether what a registry said, as containerd, CRI-O and Docker pass it on, means
// that there is no such image or that who asks may not have it. Anything else, such as a registry
// that does not answer or is asked too often, is over some time.
func hopeless(message string) bool {
	message = strings.ToLower(message)
	for _, passing := range []string{"toomanyrequests", "too many requests", "no such host", "timeout", "connection refused"} {
		if strings.Contains(message, passing) {
			return false
		}
	}
	message = strings.TrimRight(message, " .\"")
	if strings.HasSuffix(message, ": not found") {
		return true
	}
	for _, words := range []string{
		"manifest unknown", "name unknown", "code = notfound", "404 not found",
		"unauthorized", "authorization failed", "pull access denied", "access to the resource is denied", "no basic auth credentials",
	} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}

func containerStatuses(in *corev1.Pod) []corev1.ContainerStatus {
	all := make([]corev1.ContainerStatus, 0, len(in.Status.InitContainerStatuses)+len(in.Status.ContainerStatuses))
	return append(append(all, in.Status.InitContainerStatuses...), in.Status.ContainerStatuses...)
}

// found is what the rollout of the target does not recover from; nil if there is nothing. Of
// several pods it is that of the first one by name.
func (d *doom) found() (found *Doom) {
	// Pods of one owner and revision are alike, and to compare templates takes time.
	type like struct {
		owner types.UID
		hash  string
	}
	first, known := "", map[like]bool{}
	for uid, f := range d.lost {
		s := d.pods[uid]
		ref := metav1.GetControllerOfNoCopy(s.Pod)
		if ref == nil || s.DeletionTimestamp != nil || first != "" && s.Name >= first {
			continue
		}
		of := like{ref.UID, s.Labels[revisionHash]}
		isNew, ok := known[of]
		if !ok {
			isNew = d.isNew(s.Pod)
			known[of] = isNew
		}
		if isNew {
			found, first = f, s.Name
		}
	}
	return found
}

func (d *doom) foundIn(uid types.UID, s *suspect) *Doom {
	for _, c := range containerStatuses(s.Pod) {
		w := c.State.Waiting
		switch {
		case w != nil && w.Reason == waitsInvalidImageName:
			return &Doom{DoomInvalidImageName, fmt.Sprintf("pod %s: container %s: %s", s.Name, c.Name, w.Message)}
		case w != nil && pullFailed(w.Reason):
			if n := d.pullsOf(uid, c.Name); n >= hopelessPulls {
				return &Doom{DoomImagePull, fmt.Sprintf("pod %s: container %s: %d pulls found no such image, or were not let in: %s", s.Name, c.Name, n, w.Message)}
			}
		}
		// A Job counts by itself how often its pods may fail: backoffLimit.
		if ends := s.crashes[c.Name]; ends != nil && ends.times >= sameCrashes && d.target.Kind != kindJob {
			return &Doom{DoomCrashLoop, fmt.Sprintf("pod %s: container %s crashed %d times with exit code %d", s.Name, c.Name, ends.times, ends.code)}
		}
	}
	return nil
}

// pullsOf counts the pulls for a container that were hopeless.
func (d *doom) pullsOf(pod types.UID, container string) (n int64) {
	for event := range d.pullsFor[pod] {
		if p := d.pulls[event]; strings.HasSuffix(p.fieldPath, "{"+container+"}") {
			n += int64(p.times)
		}
	}
	return n
}

// isNew reports whether a pod is of the template that is rolled out. Of one of which that is not
// known it is not.
func (d *doom) isNew(pod *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || d.object == nil {
		return false
	}
	if generation, observed := generations(d.object); observed < generation {
		return false
	}
	if in, ok := d.object.(*argoRollout); ok {
		set := d.sets[ref.UID]
		return set != nil && ownedBy(set, d.uid) && in.isObserved() && in.hash != "" && set.Labels[rolloutHashLabel] == in.hash
	}
	switch in := d.object.(type) {
	case *appsv1.Deployment:
		set := d.sets[ref.UID]
		return set != nil && set.UID == ref.UID && ownedBy(set, d.uid) && sameTemplate(&set.Spec.Template, &in.Spec.Template)
	case *appsv1.StatefulSet:
		return ref.UID == d.uid && in.Status.UpdateRevision != "" && pod.Labels[revisionHash] == in.Status.UpdateRevision
	case *appsv1.DaemonSet:
		newest := d.newestRevision()
		return ref.UID == d.uid && newest != nil && pod.Labels[revisionHash] == newest.Labels[revisionHash]
	}
	return ref.UID == d.uid // a Job has one template
}

func ownedBy(m metav1.Object, uid types.UID) bool {
	ref := metav1.GetControllerOfNoCopy(m)
	return ref != nil && ref.UID == uid
}

func (d *doom) newestRevision() (newest *appsv1.ControllerRevision) {
	for _, r := range d.revisions {
		if ownedBy(r, d.uid) && (newest == nil || r.Revision > newest.Revision) {
			newest = r
		}
	}
	return newest
}

// sameTemplate compares templates as the deployment controller does (EqualIgnoreHash in
// pkg/controller/deployment/util).
func sameTemplate(ofSet, ofDeployment *corev1.PodTemplateSpec) bool {
	a, b := ofSet.DeepCopy(), ofDeployment.DeepCopy()
	delete(a.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	delete(b.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return equality.Semantic.DeepEqual(a, b)
}

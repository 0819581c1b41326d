package recent

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// Activity finds in a snapshot what snapshots.Reconstruct can tell of that happened since a time: the
// workloads of which something states such a time, and which are at rest, or of which a Deployment
// states what is on its way. All else that is on its way is for who watches on. Of a workload whose
// pods another controller makes than Kubernetes' own it knows nothing. It keeps some 200 bytes an
// object.
type Activity struct {
	since, now time.Time
	ids        map[types.UID]int
	parent     []int
	groups     []group
	// there has what was noted itself, and not in an Event or as an owner; owners are what
	// may make pods, by namespace and name.
	there  map[types.UID]bool
	owners map[types.NamespacedName]int
	// made is how many pods there are of what makes pods, and wanted how many it says.
	made, wanted map[types.UID]int32
}

// group is what belongs together by its owners.
type group struct {
	active, restless bool
	// moving says that pods, or what makes them, are on their way, and isStated that a Deployment
	// says to where.
	moving, isStated bool
}

// add takes in what is known of a part.
func (g *group) add(part group) {
	g.active = g.active || part.active
	g.restless = g.restless || part.restless
	g.moving = g.moving || part.moving
	g.isStated = g.isStated || part.isStated
}

// isTold reports whether what led to what there is can be told: all of it is at rest, or a
// Deployment states what it is about.
func (g *group) isTold() bool {
	return !g.restless && (!g.moving || g.isStated)
}

// NewActivity returns an Activity of what happened since a time, by now.
func NewActivity(since, now time.Time) *Activity {
	return &Activity{
		since: since, now: now, ids: map[types.UID]int{}, there: map[types.UID]bool{}, owners: map[types.NamespacedName]int{},
		made: map[types.UID]int32{}, wanted: map[types.UID]int32{},
	}
}

// Note takes in an object. All are to be noted before Active is asked.
func (a *Activity) Note(o runtime.Object) {
	meta, ok := o.(metav1.Object)
	if !ok {
		return
	}
	own := a.of(subject(o, meta))
	ref := kube.ControllerRef(meta)
	if makesPods(o, ref) {
		a.join(own, a.of(ref.UID))
	}
	isDeleted := meta.GetDeletionTimestamp() != nil
	part := group{active: !kube.NewestTime(o, a.now).Before(a.since), restless: isDeleted || !atRest(o, a.now)}
	switch in := o.(type) {
	case *corev1.Pod:
		a.there[in.UID] = true
		a.made[ref.UID]++
		if of := kube.MirrorOf(in); of != "" {
			a.join(own, a.of(of))
		}
		part.moving, part.restless = part.restless, kube.CustomGroup(ref.APIVersion) != ""
	case *corev1.Event:
		part.restless = false
	case *appsv1.Deployment, *appsv1.ReplicaSet, *appsv1.StatefulSet, *appsv1.DaemonSet, *appsv1.ControllerRevision, *corev1.ReplicationController, *batchv1.Job:
		a.there[meta.GetUID()] = true
		a.owners[types.NamespacedName{Namespace: meta.GetNamespace(), Name: meta.GetName()}] = own
		if n, counts := kube.StatedPods(o); counts {
			a.wanted[meta.GetUID()] = n
			part.restless = part.restless || kube.CustomGroup(ref.APIVersion) != "" && isReplicaSet(o)
		}
	default:
		part.restless = true // it is told as it is
	}
	switch in := o.(type) {
	case *appsv1.Deployment:
		part.isStated = isStated(in)
		part.moving = part.restless
		part.restless = isDeleted || part.restless && !part.isStated
	case *appsv1.ReplicaSet:
		if kube.CustomGroup(ref.APIVersion) == "" && !isDeleted {
			part.moving, part.restless = part.restless, false
		}
	}
	a.groups[a.root(own)].add(part)
}

// isStated reports whether a Deployment says what its ReplicaSets and pods are on their way for: a
// rollout that its controller has begun, or is done with.
func isStated(in *appsv1.Deployment) bool {
	c := workloads.DeploymentCondition(in, appsv1.DeploymentProgressing)
	if in.Spec.Paused || in.Status.ObservedGeneration < in.Generation || c == nil || c.Status != corev1.ConditionTrue {
		return false
	}
	n := workloads.WantedReplicas(in.Spec.Replicas)
	switch c.Reason {
	case "NewReplicaSetCreated", "ReplicaSetUpdated":
		return true
	case workloads.NewReplicaSetAvailable:
		return in.Status.UpdatedReplicas == n && in.Status.Replicas == n // though some may not be Ready
	}
	return false
}

// makesPods reports whether an object is one of a workload's that refers to the rest of it.
func makesPods(o runtime.Object, owner metav1.OwnerReference) bool {
	switch o.(type) {
	case *corev1.Pod, *appsv1.ReplicaSet, *appsv1.ControllerRevision:
		return owner.UID != "" && kube.CustomGroup(owner.APIVersion) == "" && owner.Kind != "Node"
	}
	return false
}

func isReplicaSet(o runtime.Object) bool {
	_, ok := o.(*appsv1.ReplicaSet)
	return ok
}

// atRest reports whether nothing of an object is on its way.
func atRest(o runtime.Object, now time.Time) bool {
	switch in := o.(type) {
	case *appsv1.Deployment:
		n := workloads.WantedReplicas(in.Spec.Replicas)
		return !in.Spec.Paused && workloads.DeploymentIsComplete(in, n) && in.Status.UpdatedReplicas == n // it has none too many
	case *batchv1.Job:
		return workloads.FinishedJobCondition(in) != nil
	case *corev1.Pod:
		return in.Status.Phase == corev1.PodSucceeded || in.Status.Phase == corev1.PodFailed ||
			slices.ContainsFunc(in.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
	}
	return workloads.DirectIsComplete(o, now)
}

// Close ends the noting. It returns how many workloads something has happened to that are on their
// way, so that only who watches on tells of them.
func (a *Activity) Close() (restless int) {
	for uid, n := range a.wanted {
		if a.made[uid] < n {
			a.groups[a.of(uid)].moving = true // a pod went just now
		}
	}
	seen := map[int]bool{}
	for _, id := range a.owners {
		if root := a.root(id); !seen[root] {
			seen[root] = true
			if g := &a.groups[root]; g.active && !g.isTold() {
				restless++
			}
		}
	}
	return restless
}

// Doubt takes in the Deployments of which snapshots.Reconstruct could not prove each step (its History.Unproven):
// those that are on their way are left to who watches on. It returns how many these are.
func (a *Activity) Doubt(unproven []types.UID) (restless int) {
	for _, uid := range unproven {
		if g := &a.groups[a.of(uid)]; g.moving && !g.restless {
			g.restless = true
			restless++
		}
	}
	return restless
}

// Active reports whether an object, or one that it belongs to or that belongs to it, states
// something that happened since then, and what led to all of these can be told. Nodes and CronJobs always
// count, as pods and Jobs depend on them.
func (a *Activity) Active(o runtime.Object) bool {
	meta, ok := o.(metav1.Object)
	if !ok {
		return false
	}
	switch o.(type) {
	case *corev1.Node, *batchv1.CronJob:
		return true
	}
	if id, known := a.ids[subject(o, meta)]; known && a.tells(id) {
		return true
	}
	ev, ok := o.(*corev1.Event)
	if !ok || ev.InvolvedObject.Kind != kube.KindPod || a.there[ev.InvolvedObject.UID] {
		return false
	}
	// The pod is gone, and nothing but its name tells whose it was.
	i := strings.LastIndexByte(ev.InvolvedObject.Name, '-')
	owner, known := a.owners[types.NamespacedName{Namespace: ev.Namespace, Name: ev.InvolvedObject.Name[:max(i, 0)]}]
	return known && a.tells(owner)
}

func (a *Activity) tells(id int) bool {
	g := &a.groups[a.root(id)]
	return g.active && g.isTold()
}

// subject is the UID of what an object tells of: of an Event what it is about.
func subject(o runtime.Object, meta metav1.Object) types.UID {
	if ev, ok := o.(*corev1.Event); ok {
		return ev.InvolvedObject.UID
	}
	return meta.GetUID()
}

func (a *Activity) of(uid types.UID) int {
	id, ok := a.ids[uid]
	if !ok {
		id = len(a.parent)
		a.ids[uid] = id
		a.parent, a.groups = append(a.parent, id), append(a.groups, group{})
	}
	return a.root(id)
}

func (a *Activity) root(id int) int {
	for a.parent[id] != id {
		a.parent[id] = a.parent[a.parent[id]]
		id = a.parent[id]
	}
	return id
}

func (a *Activity) join(b, c int) {
	b, c = a.root(b), a.root(c)
	if b == c {
		return
	}
	a.parent[b] = c
	a.groups[c].add(a.groups[b])
}

package causality_test

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestScenarios runs the files in testdata/scenarios: what no recording has.
// A file is a list of
//
//	observe
//	<minute:second> <ADDED|MODIFIED|DELETED> <kind>/<name> [key=value …]
//	----
//	<the traces this finished>
//
// with the commands `advance to=<minute:second>` and `flush` beside it,
// `in-progress after=<duration> every=<duration>` ahead of it, and more below. An
// object keeps its state from line to line, so a line says what changed. The
// keys are those of the functions set… below; values with spaces are quoted.
func TestScenarios(t *testing.T) {
	runScenarios(t, func([]spans.Trace) {})
}

// runScenarios shows what each of them hands out to seen as well.
func runScenarios(t *testing.T, seen func([]spans.Trace)) {
	datadriven.Walk(t, filepath.Join("testdata", "scenarios"), func(t *testing.T, path string) {
		tree := func(t *testing.T, traces []spans.Trace) string {
			seen(traces)
			return tree(t, traces)
		}
		w := newWorld()
		var options causality.Options
		engine := causality.New(options)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "observe":
				var b strings.Builder
				for line := range strings.Lines(d.Input) {
					o, err := w.observation(strings.TrimSpace(line))
					if err != nil {
						d.Fatalf(t, "%q: %v", line, err)
					}
					b.WriteString(tree(t, engine.Observe(o)))
				}
				return b.String()
			case "advance":
				var to string
				d.ScanArgs(t, "to", &to)
				return tree(t, engine.Advance(clock(to)))
			case "flush":
				return tree(t, engine.Flush())
			case "restart": // rollspan starts anew and lists what is there
				engine = causality.New(options)
				var at string
				d.ScanArgs(t, "at", &at)
				var b strings.Builder
				for _, o := range w.list(clock(at)) {
					b.WriteString(tree(t, engine.Observe(o)))
				}
				return b.String()
			case "options": // of the rollspan that begins now
				options = contextOptions(t, d)
				engine = causality.New(options)
				return ""
			case "malformed":
				return fmt.Sprintf("%d contexts\n", engine.Stats().MalformedContexts)
			case "in-progress":
				options.InProgressAfter, options.InProgressEvery = duration(t, d, "after"), duration(t, d, "every")
				engine = causality.New(options)
				return ""
			case "stats":
				s := engine.Stats()
				return fmt.Sprintf("incomplete %d, incomplete events %d, open %d\n", s.Incomplete, s.IncompleteEvents, s.Open)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

func duration(t *testing.T, d *datadriven.TestData, arg string) time.Duration {
	var s string
	d.ScanArgs(t, arg, &s)
	v, err := time.ParseDuration(s)
	if err != nil {
		d.Fatalf(t, "%s: %v", arg, err)
	}
	return v
}

var day = time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)

// clock reads minute:second[.fraction].
func clock(s string) time.Time {
	m, sec, ok := strings.Cut(s, ":")
	d, err := time.ParseDuration(m + "m" + sec + "s")
	if !ok || err != nil {
		panic(fmt.Sprintf("%q is not minute:second", s))
	}
	return day.Add(d)
}

// world is the cluster of a scenario.
type world struct {
	objects map[string]runtime.Object
	version int
	born    int
}

func newWorld() *world { return &world{objects: map[string]runtime.Object{}} }

func (w *world) list(at time.Time) []causality.Observation {
	var obs []causality.Observation
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		obs = append(obs, causality.Observation{Time: at, Type: watch.Added, Object: w.objects[key].DeepCopyObject(), Initial: true})
	}
	return obs
}

func (w *world) observation(line string) (o causality.Observation, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	f := fields(line)
	o.Time, o.Type = clock(f[0]), watch.EventType(f[1])
	kind, name, _ := strings.Cut(f[2], "/")
	obj := w.objects[f[2]]
	if obj == nil {
		obj = w.create(kind, name, o.Time)
		w.objects[f[2]] = obj
	}
	meta := obj.(metav1.Object)
	w.version++
	meta.SetResourceVersion(strconv.Itoa(w.version))
	for _, kv := range f[3:] {
		key, val, _ := strings.Cut(kv, "=")
		if key == "initial" {
			o.Initial = true
			continue
		}
		if !w.setMeta(meta, key, val, o.Time) && !setTemplate(obj, key, val) {
			scenarioKinds()[kind].set(w, obj, key, val, o.Time)
		}
	}
	o.Object = obj.DeepCopyObject()
	if o.Type == watch.Deleted {
		delete(w.objects, f[2])
	}
	return o, nil
}

// fields splits at spaces outside quotes; \" is a quote that is meant.
func fields(line string) []string {
	var out []string
	var cur strings.Builder
	quoted, escaped := false, false
	for _, r := range line + " " {
		switch {
		case escaped || r == '\\':
			escaped = !escaped
			if !escaped {
				cur.WriteRune(r)
			}
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			if cur.Len() > 0 {
				out = append(out, cur.String())
			}
			cur.Reset()
		default:
			cur.WriteRune(r)
		}
	}
	return out
}

func (w *world) create(kind, name string, now time.Time) runtime.Object {
	w.born++
	meta := metav1.ObjectMeta{
		Namespace: "shop", Name: name,
		UID:               types.UID(fmt.Sprintf("%s-%s-%d", kind, name, w.born)),
		CreationTimestamp: metav1.NewTime(now.Truncate(time.Second)),
		Generation:        1,
		Annotations:       map[string]string{},
	}
	k, ok := scenarioKinds()[kind]
	if !ok {
		panic("no such kind: " + kind)
	}
	obj := k.create(meta)
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Kind: k.kind})
	return obj
}

// scenarioKind is a kind of object that a scenario can have.
type scenarioKind struct {
	kind   string // as the API spells it
	create func(metav1.ObjectMeta) runtime.Object
	// set does what key=val says; it panics where the kind has no such key.
	set func(w *world, obj runtime.Object, key, val string, now time.Time)
}

func scenarioKinds() map[string]scenarioKind {
	return map[string]scenarioKind{
		"deployment": {"Deployment", newDeployment, setDeployment},
		"replicaset": {"ReplicaSet", newReplicaSet, setReplicaSet},
		"pod":        {"Pod", newPod, setPod},

		"statefulset":           {"StatefulSet", newStatefulSet, setStatefulSet},
		"daemonset":             {"DaemonSet", newDaemonSet, setDaemonSet},
		"controllerrevision":    {"ControllerRevision", newControllerRevision, setControllerRevision},
		"replicationcontroller": {"ReplicationController", newReplicationController, setReplicationController},
		"job":                   {"Job", newJob, setJob},
		"cronjob":               {"CronJob", newCustom, setCustom},

		"shop":        {"Shop", newCustom, setCustom},
		"certificate": {"Certificate", newCustom, setCustom},
		"hpa":         {"HorizontalPodAutoscaler", newAutoscaler, setAutoscaler},

		"event": {"Event", newEvent, setEvent},
		"node":  {"Node", newNode, setNode},
		"claim": {"PersistentVolumeClaim", newClaim, setClaim},
	}
}

func newDeployment(meta metav1.ObjectMeta) runtime.Object {
	d := &appsv1.Deployment{ObjectMeta: meta}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: "app:1"}}
	return d
}

func newReplicaSet(meta metav1.ObjectMeta) runtime.Object {
	return &appsv1.ReplicaSet{ObjectMeta: meta}
}

func newPod(meta metav1.ObjectMeta) runtime.Object {
	p := &corev1.Pod{ObjectMeta: meta}
	p.Status.Phase = corev1.PodPending
	return p
}

func newEvent(meta metav1.ObjectMeta) runtime.Object {
	return &corev1.Event{ObjectMeta: meta, Type: corev1.EventTypeNormal}
}

func (w *world) setMeta(meta metav1.Object, key, val string, now time.Time) bool {
	switch key {
	case "owner":
		if val == "none" {
			meta.SetOwnerReferences(nil)
			return true
		}
		isController := true
		owner := w.objects[val].(metav1.Object)
		kind, name, _ := strings.Cut(val, "/")
		meta.SetOwnerReferences([]metav1.OwnerReference{{Kind: scenarioKinds()[kind].kind, Name: name, UID: owner.GetUID(), Controller: &isController}})
	case "created":
		meta.SetCreationTimestamp(metav1.NewTime(clock(val)))
	case "deleting": // the grace period in seconds
		grace := int64(atoi(val))
		at := metav1.NewTime(now.Truncate(time.Second).Add(time.Duration(grace) * time.Second))
		meta.SetDeletionTimestamp(&at)
		meta.SetDeletionGracePeriodSeconds(&grace)
	case "version":
		meta.SetResourceVersion(val)
	case "no-uid":
		meta.SetUID("")
	default:
		return annotate(meta, key, val)
	}
	return true
}

func setDeployment(_ *world, obj runtime.Object, key, val string, now time.Time) {
	d := obj.(*appsv1.Deployment)
	spec := &d.Spec
	switch key {
	case "image", "env", "restarted", "replicas", "paused", "minready":
		if d.ResourceVersion != "1" && d.Status.ObservedGeneration > 0 {
			d.Generation++
		}
	}
	second := metav1.NewTime(now.Truncate(time.Second))
	switch key {
	case "image":
		spec.Template.Spec.Containers[0].Image = val
	case "env":
		spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "KEY", Value: val}}
	case "restarted":
		spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": val}
	case "replicas":
		n := int32(atoi(val))
		spec.Replicas = &n
	case "paused":
		spec.Paused = val == "true"
	case "minready":
		spec.MinReadySeconds = int32(atoi(val))
	case "deadline":
		n := int32(atoi(val))
		spec.ProgressDeadlineSeconds = &n
	case "recreate":
		spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	case "revision":
		d.Annotations["deployment.kubernetes.io/revision"] = val
	case "manager": // name or name/subresource
		name, sub, _ := strings.Cut(val, "/")
		d.ManagedFields = append(d.ManagedFields, metav1.ManagedFieldsEntry{
			Manager: name, Subresource: sub, Time: &second,
			FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":{},"f:replicas":{}}}`),
		})
	case "status": // updated/total/available of the current generation
		part := strings.Split(val, "/")
		d.Status.ObservedGeneration = d.Generation
		d.Status.UpdatedReplicas = int32(atoi(part[0]))
		d.Status.Replicas = int32(atoi(part[1]))
		d.Status.AvailableReplicas = int32(atoi(part[2]))
	case "failed":
		d.Status.Conditions = []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded",
			LastTransitionTime: metav1.NewTime(clock(val)), LastUpdateTime: metav1.NewTime(clock(val)),
		}}
	case "progressing":
		d.Status.Conditions = []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: val,
			LastTransitionTime: second, LastUpdateTime: second,
		}}
	default:
		panic("a deployment has no " + key)
	}
}

func setReplicaSet(_ *world, obj runtime.Object, key, val string, now time.Time) {
	rs := obj.(*appsv1.ReplicaSet)
	switch key {
	case "replicas":
		if rs.Spec.Replicas != nil {
			rs.Generation++
		}
		n := int32(atoi(val))
		rs.Spec.Replicas = &n
	case "revision":
		rs.Annotations["deployment.kubernetes.io/revision"] = val
	case "history":
		rs.Annotations["deployment.kubernetes.io/revision-history"] = val
	case "available":
		rs.Status.AvailableReplicas = int32(atoi(val))
	case "status": // total/available of the current generation
		total, available, _ := strings.Cut(val, "/")
		rs.Status.ObservedGeneration = rs.Generation
		rs.Status.Replicas, rs.Status.AvailableReplicas = int32(atoi(total)), int32(atoi(available))
	case "forbidden": // the message, or nothing: pods can be created again
		rs.Status.Conditions = nil
		if val != "" {
			rs.Status.Conditions = []appsv1.ReplicaSetCondition{{
				Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: val,
				LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
			}}
		}
	default:
		panic("a replicaset has no " + key)
	}
}

func setPod(_ *world, obj runtime.Object, key, val string, _ time.Time) {
	p := obj.(*corev1.Pod)
	if name, state, ok := strings.Cut(key, ":"); ok {
		setContainer(p, name, state, val)
		return
	}
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus, at string) {
		p.Status.Conditions = slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: metav1.NewTime(clock(at).Truncate(time.Second))})
	}
	switch key {
	case "containers", "init", "sidecar":
		for name := range strings.SplitSeq(val, ",") {
			c := corev1.Container{Name: name, Image: name + ":1"}
			if key == "sidecar" {
				always := corev1.ContainerRestartPolicyAlways
				c.RestartPolicy = &always
			}
			if key == "containers" {
				p.Spec.Containers = append(p.Spec.Containers, c)
			} else {
				p.Spec.InitContainers = append(p.Spec.InitContainers, c)
			}
		}
	case "startup": // gives the first container a startup probe
		p.Spec.Containers[0].StartupProbe = &corev1.Probe{}
	case "readiness":
		p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{}
	case "restart": // restartPolicy
		p.Spec.RestartPolicy = corev1.RestartPolicy(val)
	case "gate":
		p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: corev1.PodConditionType(val)}}
	case "started": // the first container passed its startup probe
		yes := true
		p.Status.ContainerStatuses[0].Started = &yes
	case "containersready":
		condition(corev1.ContainersReady, corev1.ConditionTrue, val)
	case "hash": // the ControllerRevision of a StatefulSet's pod
		p.Labels = map[string]string{appsv1.StatefulSetRevisionLabel: val}
	case "node": // before scheduled, if it is another than node-a
		p.Spec.NodeName = val
	case "nominated":
		p.Status.NominatedNodeName = val
	case "scheduled":
		p.Spec.NodeName = cmp.Or(p.Spec.NodeName, "node-a")
		condition(corev1.PodScheduled, corev1.ConditionTrue, val)
	case "unschedulable":
		condition(corev1.PodScheduled, corev1.ConditionFalse, "0:0")
		p.Status.Conditions[len(p.Status.Conditions)-1].Reason = corev1.PodReasonUnschedulable
		p.Status.Conditions[len(p.Status.Conditions)-1].Message = val
	case "sandbox":
		condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, val)
	case "ready":
		condition(corev1.PodReady, corev1.ConditionTrue, val)
	case "unready":
		condition(corev1.PodReady, corev1.ConditionFalse, val)
	case "disruption":
		condition(corev1.DisruptionTarget, corev1.ConditionTrue, "0:0")
		p.Status.Conditions[len(p.Status.Conditions)-1].Reason = val
	case "phase":
		p.Status.Phase = corev1.PodPhase(val)
	case "reason":
		p.Status.Reason = val
	case "message":
		p.Status.Message = val
	default:
		setPodDetail(p, key, val)
	}
}

// setContainer sets a container's state: running=<when>, waiting=<reason>,
// message=<of waiting>, exit=<code>@<when>[@reason].
func setContainer(p *corev1.Pod, name, state, val string) {
	statuses := &p.Status.ContainerStatuses
	if slices.ContainsFunc(p.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name }) {
		statuses = &p.Status.InitContainerStatuses
	}
	if slices.ContainsFunc(p.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name }) {
		statuses = &p.Status.EphemeralContainerStatuses
	}
	i := slices.IndexFunc(*statuses, func(s corev1.ContainerStatus) bool { return s.Name == name })
	if i < 0 {
		*statuses = append(*statuses, corev1.ContainerStatus{Name: name})
		i = len(*statuses) - 1
	}
	s := &(*statuses)[i]
	old := s.State
	switch state {
	case "running":
		if old.Terminated != nil {
			s.LastTerminationState = old
		}
		if s.LastTerminationState.Terminated != nil {
			s.RestartCount++
		}
		s.ContainerID = fmt.Sprintf("run://%s/%d", name, s.RestartCount)
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(clock(val).Truncate(time.Second))}}
	case "waiting":
		if old.Terminated != nil {
			s.LastTerminationState = old
		}
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: val}}
	case "message":
		s.State.Waiting.Message = val
	case "exit":
		part := strings.Split(val+"@", "@")
		started := metav1.Time{}
		if old.Running != nil {
			started = old.Running.StartedAt
		}
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ContainerID: s.ContainerID, ExitCode: int32(atoi(part[0])), Reason: part[2],
			StartedAt: started, FinishedAt: metav1.NewTime(clock(part[1]).Truncate(time.Second)),
		}}
	default:
		setContainerDetail(p, s, state, val)
	}
}

func setEvent(w *world, obj runtime.Object, key, val string, _ time.Time) {
	ev := obj.(*corev1.Event)
	io := &ev.InvolvedObject
	switch key {
	case "on":
		kind, name, _ := strings.Cut(val, "/")
		*io = corev1.ObjectReference{Namespace: "shop", Name: name, Kind: scenarioKinds()[kind].kind}
		if obj, ok := w.objects[val]; ok {
			io.UID = obj.(metav1.Object).GetUID()
		}
		if kind == "node" {
			io.Namespace = ""
		}
	case "from": // the component that says so
		ev.Source.Component = val
	case "related":
		kind, name, _ := strings.Cut(val, "/")
		ev.Related = &corev1.ObjectReference{Namespace: "shop", Name: name, Kind: scenarioKinds()[kind].kind, UID: w.objects[val].(metav1.Object).GetUID()}
	case "container":
		io.FieldPath = "spec.containers{" + val + "}"
	case "ephemeral":
		io.FieldPath = "spec.ephemeralContainers{" + val + "}"
	case "reason":
		ev.Reason = val
	case "message":
		ev.Message = val
	case "type":
		ev.Type = val
	case "at": // to the nanosecond, in the name
		at := clock(val)
		ev.Name = fmt.Sprintf("%s.%x", ev.Name, at.UnixNano())
		ev.FirstTimestamp = metav1.NewTime(at.Truncate(time.Second))
		ev.LastTimestamp = ev.FirstTimestamp
		ev.Count = 1
	case "second":
		ev.FirstTimestamp = metav1.NewTime(clock(val))
		ev.LastTimestamp = ev.FirstTimestamp
	case "count":
		ev.Count = int32(atoi(val))
	case "last":
		ev.LastTimestamp = metav1.NewTime(clock(val).Truncate(time.Second))
	case "object-uid":
		io.UID = types.UID(val)
	case "no-object-uid":
		io.UID = ""
	case "no-kind":
		io.Kind = ""
	case "no-name":
		ev.Name = ""
	case "no-time":
		ev.FirstTimestamp, ev.LastTimestamp, ev.CreationTimestamp = metav1.Time{}, metav1.Time{}, metav1.Time{}
	default:
		panic("an event has no " + key)
	}
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

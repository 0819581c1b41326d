package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/test/controlplane"
)

// place says of a kind of span who does that work, and below what it hangs.
type place struct {
	services []string // none: anybody
	parents  []string // none: anything
}

const root = "(root)"

// inProgress spans come while a change goes on, so how many there are depends on
// how busy the machine is that the tests run on.
const inProgress = "in progress"

// lateEvents spans have what is said of something when it has been sent: of a rollout that has
// failed, for as long as it is not repaired.
const lateEvents = "late events"

// removePod spans are there if it takes a second, for which the machine may be the
// reason, too.
const removePod = "remove pod"

// statusLatency spans are there if it takes the kubelet a second to say that a pod is Ready.
const statusLatency = "status latency"

// slow spans are there only where a machine was slow.
var slow = []string{removePod, statusLatency}

// momentary spans are there or not by when somebody looked, or by how fast the machine was.
var momentary = append([]string{inProgress, lateEvents}, slow...)

// The components that do the work.
const (
	deploymentCtl  = "deployment-controller"
	replicaSetCtl  = "replicaset-controller"
	statefulSetCtl = "statefulset-controller"
	daemonSetCtl   = "daemonset-controller"
	jobCtl         = "job-controller"
	cronJobCtl     = "cronjob-controller"
	replicationCtl = "replication-controller"
	schedulerName  = "default-scheduler"
	kubeletName    = "kubelet"

	volumeBinder    = "persistentvolume-controller"
	attachDetachCtl = "attachdetach-controller"
)

// places is the contract's tree.
var places = contract()

// placeOf also knows what Events alone tell of, which may be anybody's about
// anything.
func placeOf(name string) (place, bool) {
	if name == lateEvents || strings.HasSuffix(name, " activity") {
		return place{}, true
	}
	p, ok := places[name]
	return p, ok
}

func contract() map[string]place {
	changes := []string{} // of what makes pods itself
	out := map[string]place{}
	roots := func(service, kind string, verbs ...string) {
		for _, verb := range verbs {
			name := kind + " " + verb
			out[name] = place{[]string{service}, []string{root}}
			if kind != "Deployment" && kind != "CronJob" {
				changes = append(changes, name)
			}
		}
	}
	roots(deploymentCtl, "Deployment", "rollout", "scale", "delete")
	roots(statefulSetCtl, "StatefulSet", "rollout", "scale", "delete")
	roots(daemonSetCtl, "DaemonSet", "rollout", "scale", "delete")
	roots(replicaSetCtl, "ReplicaSet", "rollout", "scale", "delete")
	roots(replicationCtl, "ReplicationController", "rollout", "scale", "delete")
	roots(jobCtl, "Job", "run", "delete")
	roots(cronJobCtl, "CronJob", "schedule")
	roots(kubeletName, "Pod", "delete")
	makers := []string{replicaSetCtl, statefulSetCtl, daemonSetCtl, jobCtl, replicationCtl}
	out["Pod replacement"] = place{makers, []string{root}}
	waits := []string{"Deployment rollout", "Deployment scale", "Pod replacement", "Pod run"}
	for _, name := range changes {
		if !strings.HasSuffix(name, " delete") {
			waits = append(waits, name)
		}
	}
	out[inProgress] = place{nil, waits}
	out[statusLatency] = place{[]string{kubeletName}, waits}
	out["old pod wait"] = place{nil, waits}
	out["delete wait"] = place{nil, waits}
	out["Node disruption"] = place{nil, []string{root}}

	of := func(service string, names []string, parents ...string) {
		for _, name := range names {
			out[name] = place{[]string{service}, parents}
		}
	}
	steps := []string{"ReplicaSet scale up", "ReplicaSet scale down"}
	pods := append([]string{"Pod replacement", "Deployment delete"}, changes...)
	of(replicaSetCtl, steps, "Deployment rollout", "Deployment scale")
	of(deploymentCtl, []string{"min ready wait", "paused"}, "Deployment rollout")
	of(kubeletName, []string{"Pod start"}, slices.Concat(pods, steps[:1])...)
	of(kubeletName, []string{"Pod stop"}, slices.Concat(pods, steps[1:])...)
	of(kubeletName, []string{"Pod run"}, root, "Job run")
	of(schedulerName, []string{"schedule"}, "Pod start", "Pod run")
	of(kubeletName, []string{"prepare sandbox", "init container", "container", "become ready"}, "Pod start", "Pod run")
	of(kubeletName, []string{"startup probe"}, "become ready", "init container")
	of(kubeletName, []string{"readiness probe", "readiness gates"}, "become ready")
	of(schedulerName, []string{"unschedulable", "scheduling gates"}, "schedule")
	out["bind volume claim"] = place{[]string{volumeBinder}, []string{"schedule", "prepare sandbox"}}
	out["provision volume"] = place{nil, []string{"bind volume claim"}} // by any provisioner
	of(attachDetachCtl, []string{"attach volume"}, "prepare sandbox")
	of(kubeletName, []string{"mount volumes"}, "prepare sandbox")
	of(kubeletName, []string{"pull image", "start container", "run container", "back off"}, "container", "init container")
	of(kubeletName, []string{"stop container", removePod}, "Pod stop")
	return out
}

// law checks what holds for every trace.
func (s *space) law(t *trace) {
	s.t.Helper()
	wrong := func(sp *controlplane.Span, format string, args ...any) {
		s.t.Helper()
		s.t.Errorf("trace %s, %s %s: %s", t.ID, sp.Name, sp.ID, fmt.Sprintf(format, args...))
	}
	ids := map[string]bool{}
	roots := 0
	for i := range t.Spans {
		sp := &t.Spans[i]
		if ids[sp.ID] {
			wrong(sp, "its ID is there twice")
		}
		ids[sp.ID] = true
		if sp.End.Before(sp.Start) {
			wrong(sp, "it ends %s before it starts", sp.Start.Sub(sp.End))
		}
		parent := t.Span(sp.ParentID)
		under := root
		switch {
		case sp.ParentID == "":
			roots++
		case parent == nil:
			wrong(sp, "its parent %s is not there", sp.ParentID)
		default:
			under = parent.Name
			if sp.Start.Before(parent.Start) {
				wrong(sp, "it starts %s before its cause", parent.Start.Sub(sp.Start))
			}
		}
		switch want, known := placeOf(sp.Name); {
		case !known:
			wrong(sp, "the contract has no span of that name")
		case len(want.services) > 0 && !slices.Contains(want.services, sp.Service):
			wrong(sp, "its service is %s, want %s", sp.Service, strings.Join(want.services, " or "))
		case len(want.parents) > 0 && !slices.Contains(want.parents, under):
			wrong(sp, "it is below %s, want %s", under, strings.Join(want.parents, " or "))
		}
		s.attributes(t, sp, wrong)
		if (sp.Status.Code == statusError) != (sp.Attributes["error.type"] != nil) {
			wrong(sp, "status %+v, error.type %v", sp.Status, sp.Attributes["error.type"])
		}
		if sp.Name == "Pod start" || sp.Name == "Pod run" {
			tiles(t, sp, wrong)
		}
	}
	if roots != 1 {
		s.t.Errorf("trace %s has %d roots", t.ID, roots)
	}
}

// OTLP's code of a status, and of a span's kind.
const (
	statusError  = 2
	kindInternal = 1
	kindServer   = 2
)

// attributes checks that a span says which objects it is about.
func (s *space) attributes(t *trace, sp *controlplane.Span, wrong func(*controlplane.Span, string, ...any)) {
	s.t.Helper()
	keys := []string{"k8s.pod.name", "k8s.pod.uid"}
	switch sp.Name {
	case "ReplicaSet scale up", "ReplicaSet scale down":
		keys = []string{"k8s.replicaset.name", "k8s.replicaset.uid", "rollspan.scale.from", "rollspan.scale.to"}
	case "Pod start", "Pod stop", "Pod run", "schedule", "prepare sandbox", removePod,
		"become ready", "startup probe", "readiness probe", "readiness gates",
		"unschedulable", "scheduling gates", "attach volume", "mount volumes":
	case "bind volume claim", "provision volume":
		keys = append(keys, "k8s.persistentvolumeclaim.name", "k8s.persistentvolumeclaim.uid")
	case "container", "init container", "pull image", "start container", "run container", "stop container", "back off":
		keys = append(keys, "k8s.node.name", "k8s.container.name", "container.image.name", "container.image.tags")
	default:
		keys = nil
	}
	if r := t.Root(); r != nil && r.Resource["k8s.deployment.name"] != nil && len(keys) > 0 {
		keys = append(keys, "k8s.replicaset.name")
	}
	keys = append(keys, s.workloadKeys(t, sp, wrong)...)
	for _, k := range keys {
		if v := sp.Value(k); v == nil || v == "" {
			wrong(sp, "it lacks %s", k)
		}
	}
	if ns := sp.Resource["k8s.namespace.name"]; ns != s.name && t.Root().Name != "Node disruption" {
		wrong(sp, "its namespace is %v, want %s", ns, s.name)
	}
	if uid := sp.Resource["k8s.cluster.uid"]; uid != s.clusterUID {
		wrong(sp, "its cluster is %v, want %s", uid, s.clusterUID)
	}
	if name := sp.Resource["k8s.cluster.name"]; name != clusterName {
		wrong(sp, "its cluster's name is %v, want %s", name, clusterName)
	}
	if sp.Scope.Name != "github.com/rollspan/rollspan" || sp.Scope.Version == "" {
		wrong(sp, "its scope is %+v", sp.Scope)
	}
	kind := kindInternal
	if parent := t.Span(sp.ParentID); parent == nil || parent.Service != sp.Service {
		kind = kindServer
	}
	if sp.Kind != kind {
		wrong(sp, "its kind is %d, want %d", sp.Kind, kind)
	}
}

// workloadKeys are the keys of what the trace is about, which all its spans have
// in common.
func (s *space) workloadKeys(t *trace, sp *controlplane.Span, wrong func(*controlplane.Span, string, ...any)) []string {
	s.t.Helper()
	r := t.Root()
	if r == nil {
		return nil
	}
	for _, object := range []string{
		"k8s.deployment", "k8s.statefulset", "k8s.daemonset", "k8s.job", "k8s.replicaset", "k8s.replicationcontroller",
		"k8s.cronjob", "k8s.pod", "k8s.node", "rollspan.object",
	} {
		name, uid := object+".name", object+".uid"
		if r.Resource[name] == nil {
			continue
		}
		if sp.Resource[name] != r.Resource[name] || sp.Resource[uid] != r.Resource[uid] {
			wrong(sp, "its %s is %v, its trace's %v", name, sp.Resource[name], r.Resource[name])
		}
		return []string{name, uid}
	}
	wrong(r, "it does not say what it is about")
	return nil
}

// grain is how far times may be off: a span that ends as a sibling begins is sent
// with an end a microsecond earlier, which is also the resolution of Jaeger's
// times.
const grain = time.Microsecond

// children are the spans right below one, in the order in which they went on;
// one of no length comes before one that begins with it. What was said of the one
// while it was in progress, and after it, is left out.
func children(t *trace, id string) []*controlplane.Span {
	spans := slices.DeleteFunc(t.Children(id), func(sp *controlplane.Span) bool { return sp.Name == inProgress || sp.Name == lateEvents })
	slices.SortStableFunc(spans, func(a, b *controlplane.Span) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End))
	})
	return spans
}

// tiles checks that the phases of a Pod start leave no time unexplained, and
// explain none twice but where containers start side by side.
func tiles(t *trace, start *controlplane.Span, wrong func(*controlplane.Span, string, ...any)) {
	at := start.Start
	for _, phase := range children(t, start.ID) {
		if phase.Start.After(at.Add(grain)) {
			wrong(phase, "nothing explains the %s before it", phase.Start.Sub(at))
		}
		if phase.Start.Add(grain).Before(at) && phase.Name != "container" {
			wrong(phase, "it begins %s before the phase before it is over", at.Sub(phase.Start))
		}
		if phase.End.After(start.End.Add(grain)) {
			wrong(phase, "it ends %s after the start that it is part of", phase.End.Sub(start.End))
		}
		if phase.End.After(at) {
			at = phase.End
		}
	}
	if at.Add(grain).Before(start.End) {
		wrong(start, "nothing explains its last %s", start.End.Sub(at))
	}
}

// outline writes the names of a trace's spans as a tree, so many levels of it. What is
// there only where the machine was slow is left out.
func outline(t *trace, levels int) string {
	var b strings.Builder
	var walk func(sp *controlplane.Span, depth int)
	walk = func(sp *controlplane.Span, depth int) {
		if depth == levels {
			return
		}
		line := strings.Repeat("  ", depth) + sp.Name
		if from, ok := sp.Attributes["rollspan.scale.from"]; ok && depth > 0 {
			line += fmt.Sprintf(" %v-%v", from, sp.Attributes["rollspan.scale.to"])
		}
		if sp.Status.Code == statusError {
			line += " ERROR"
		}
		fmt.Fprintln(&b, line)
		for _, child := range children(t, sp.ID) {
			if !slices.Contains(slow, child.Name) {
				walk(child, depth+1)
			}
		}
	}
	if r := t.Root(); r != nil {
		walk(r, 0)
	}
	return b.String()
}

// outlined checks a trace's tree against the one that is drawn.
func (s *space) outlined(t *trace, want string) {
	s.t.Helper()
	s.drawn(t, -1, want)
}

// under checks what is right below a trace's root.
func (s *space) under(t *trace, want ...string) {
	s.t.Helper()
	line, _, _ := strings.Cut(outline(t, 1), "\n")
	s.drawn(t, 2, line+"\n  "+strings.Join(want, "\n  "))
}

func (s *space) drawn(t *trace, levels int, want string) {
	s.t.Helper()
	lines := strings.Split(strings.Trim(want, "\n"), "\n")
	margin := len(lines[0]) - len(strings.TrimLeft(lines[0], "\t"))
	for i, l := range lines {
		lines[i] = strings.TrimRight(l[min(margin, len(l)):], "\t")
	}
	want = strings.Trim(strings.Join(lines, "\n"), "\n") + "\n"
	if got := outline(t, levels); got != want {
		s.t.Errorf("trace %s is\n%swant\n%s", t.ID, got, want)
	}
}

// has checks some of a span's attributes.
func (s *space) has(sp *controlplane.Span, want map[string]any) {
	s.t.Helper()
	for k, v := range want {
		if got := sp.Value(k); fmt.Sprint(got) != fmt.Sprint(v) {
			s.t.Errorf("%s: %s is %v, want %v", sp.Name, k, got, v)
		}
	}
}

// named are the spans of that name, by their start.
func named(t *trace, name string) []*controlplane.Span {
	var out []*controlplane.Span
	for i := range t.Spans {
		if t.Spans[i].Name == name {
			out = append(out, &t.Spans[i])
		}
	}
	return out
}

// only is the one span of that name.
func (s *space) only(t *trace, name string) *controlplane.Span {
	s.t.Helper()
	spans := named(t, name)
	if len(spans) != 1 {
		s.t.Fatalf("trace %s has %d spans %q, want one", t.ID, len(spans), name)
	}
	return spans[0]
}

// links checks that a trace's root has one link of that kind, to the root of the
// other trace.
func (s *space) links(from *trace, kind string, to *trace) {
	s.t.Helper()
	s.linked(from.Root(), kind, to.Root())
}

// linked checks that a span has one link of that kind, to the other span.
func (s *space) linked(from *controlplane.Span, kind string, to *controlplane.Span) {
	s.t.Helper()
	found := 0
	for _, l := range from.Links {
		if l.Attributes["rollspan.link.type"] != kind {
			continue
		}
		found++
		if l.TraceID != to.TraceID || l.SpanID != to.ID {
			s.t.Errorf("%s %s: link %s leads to %s %s, want %s %s", from.Name, from.ID, kind, l.TraceID, l.SpanID, to.TraceID, to.ID)
		}
	}
	if found != 1 {
		s.t.Errorf("%s %s has %d links %q, want one", from.Name, from.ID, found, kind)
	}
}

// eventsOnce waits until each Event that was there when events was read is on one
// span of the traces: those that came late are sent after the others.
func (s *space) eventsOnce(events []corev1.Event, traces ...*trace) {
	s.t.Helper()
	if len(events) == 0 {
		s.t.Error("there are no Events to look for")
	}
	s.eventually("each Event is told once", func() error {
		spans := map[string][]string{}
		for _, t := range traces {
			now, err := s.whole(s.t.Context(), t.ID)
			if err != nil {
				return err
			}
			for _, sp := range now.Spans {
				for _, e := range sp.Events {
					uid, _ := e.Attributes["k8s.event.uid"].(string)
					spans[uid] = append(spans[uid], sp.Name)
					if e.Name != e.Attributes["k8s.event.reason"] {
						return final{fmt.Errorf("%s: the span event %q has the reason %v", sp.Name, e.Name, e.Attributes["k8s.event.reason"])}
					}
				}
			}
		}
		var wrong []error
		for _, ev := range events {
			if on := spans[string(ev.UID)]; len(on) != 1 {
				wrong = append(wrong, fmt.Errorf("%s %s, %q, is on %d spans %v", ev.Reason, ev.InvolvedObject.Name, ev.Message, len(on), on))
			}
		}
		return errors.Join(wrong...)
	})
}

// lasts checks that a span took what the test told the kubelets to take, or what
// the Deployment has to wait for. On a busy machine it takes longer. It may seem to
// take a second less, as the API states whole seconds: what begins in one second and
// ends in another is dated to the end of the first and to the beginning of the other
// if the news is late. So what is staged takes at least three, of which half is left.
func (s *space) lasts(sp *controlplane.Span, staged time.Duration) {
	s.t.Helper()
	if staged < 3*time.Second || staged != staged.Truncate(time.Second) {
		s.t.Fatalf("%s is too short to be told by the API's seconds", staged)
	}
	if took := sp.End.Sub(sp.Start); took < staged/2 {
		s.t.Errorf("%s %s took %s, and was made to take %s", sp.Name, sp.ID, took, staged)
	}
}

// within checks a time against bounds, with room for how coarse times are.
func (s *space) within(what string, at, from, until time.Time, slack time.Duration) {
	s.t.Helper()
	if at.Before(from.Add(-slack)) || at.After(until.Add(slack)) {
		s.t.Errorf("%s is at %s, want %s to %s", what,
			at.Format(time.StampMilli), from.Format(time.StampMilli), until.Format(time.StampMilli))
	}
}

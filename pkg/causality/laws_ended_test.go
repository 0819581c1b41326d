package causality_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// keepers are, for each kind of workload that keeps its pods there, what a scenario says of
// one with a pod, up to 00:03, and the names of that pod and of the one in its place.
var keepers = map[string]struct{ lines, pod, next string }{
	"Deployment": {`
		00:01.000 ADDED deployment/web image=app:1 replicas=1
		00:01.020 ADDED replicaset/web-1 owner=deployment/web revision=1 replicas=1
		00:01.030 MODIFIED deployment/web revision=1
		00:01.040 ADDED pod/web-1-a owner=replicaset/web-1`, "web-1-a", "web-1-b owner=replicaset/web-1"},
	"ReplicaSet": {`
		00:01.000 ADDED replicaset/web replicas=1
		00:01.040 ADDED pod/web-a owner=replicaset/web`, "web-a", "web-b owner=replicaset/web"},
	"ReplicationController": {`
		00:01.000 ADDED replicationcontroller/web replicas=1
		00:01.040 ADDED pod/web-a owner=replicationcontroller/web`, "web-a", "web-b owner=replicationcontroller/web"},
	"StatefulSet": {`
		00:01.000 ADDED statefulset/db image=db:1 replicas=1
		00:01.010 ADDED controllerrevision/db-one owner=statefulset/db
		00:01.020 MODIFIED statefulset/db current=db-one update=db-one status=0/0/0
		00:01.040 ADDED pod/db-0 owner=statefulset/db`, "db-0", "db-0 owner=statefulset/db"},
	"DaemonSet": {`
		00:01.000 ADDED daemonset/agent
		00:01.010 ADDED controllerrevision/agent-one owner=daemonset/agent
		00:01.040 ADDED pod/agent-a owner=daemonset/agent`, "agent-a", "agent-b owner=daemonset/agent"},
}

// readyLines are what the workloads say when their pod is ready.
var readyLines = map[string]string{
	"Deployment": "deployment/web status=1/1/1", "ReplicaSet": "replicaset/web status=1/1", "ReplicationController": "replicationcontroller/web status=1/1",
	"StatefulSet": "statefulset/db status=1/1/1", "DaemonSet": "daemonset/agent status=1/1/1/1",
}

// ending is how a kubelet ends a pod that was to stay.
type ending struct {
	kind, phase, said string
	condition         bool
	stops             []int // when each container ended, in seconds since ten minutes past
	removed           int   // when it was deleted, in seconds after that; 0 if it is left
	came              int   // when rollspan came, likewise; 0 if it was there
}

func drawEnding(t *rapid.T) ending {
	e := ending{
		kind:      rapid.SampledFrom([]string{"Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet"}).Draw(t, "kind"),
		phase:     rapid.SampledFrom([]string{"Succeeded", "Failed"}).Draw(t, "phase"),
		said:      rapid.SampledFrom([]string{"", "Evicted", "Preempting"}).Draw(t, "the kubelet says"),
		condition: rapid.Bool().Draw(t, "the condition says so"),
		stops:     rapid.SliceOfN(rapid.IntRange(1, 28), 1, 3).Draw(t, "the containers stop at"),
		removed:   rapid.IntRange(0, 1).Draw(t, "it is removed") * rapid.IntRange(1, 400).Draw(t, "after"),
	}
	if e.inTheWay() && e.removed == 0 {
		e.removed = 1
	}
	if !e.inTheWay() && e.removed > 0 {
		e.removed += 10 // the next one is there by then
	}
	if last := e.outOfTheWay() - 1; last > 0 && rapid.Bool().Draw(t, "rollspan comes late") {
		e.came = rapid.IntRange(1, last).Draw(t, "at")
	}
	return e
}

// ended is the second in which the last container ended.
func (e ending) ended() int { return slices.Max(e.stops) }

// inTheWay reports whether no other pod comes before it is gone.
func (e ending) inTheWay() bool { return e.kind == "StatefulSet" || e.kind == "DaemonSet" }

// outOfTheWay is the second from which on another pod may come.
func (e ending) outOfTheWay() int {
	if e.inTheWay() {
		return e.ended() + e.removed
	}
	return e.ended()
}

// first is the second of the first thing that says that the pod ends.
func (e ending) first() int {
	if e.said != "" || e.condition {
		return 0
	}
	return slices.Min(e.stops)
}

// story is what a watch sees of it.
func (e ending) story(t *rapid.T) []causality.Observation {
	k := keepers[e.kind]
	var names, running []string
	for i := range e.stops {
		names = append(names, fmt.Sprintf("c%d", i))
		running = append(running, fmt.Sprintf("c%d:running=~", i))
	}
	up := func(second int) string {
		return strings.ReplaceAll(fmt.Sprintf("node=node-a scheduled=~ sandbox=~ %s ready=~ phase=Running", strings.Join(running, " ")), "~", minute(second))
	}
	lines := []string{k.lines + " containers=" + strings.Join(names, ",")}
	add := func(at int, millis int, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%s.%03d %s", minute(at), millis, fmt.Sprintf(format, args...)))
	}
	add(2, 100, "MODIFIED pod/%s %s", k.pod, up(2))
	add(2, 200, "MODIFIED %s", readyLines[e.kind])
	const ten = 600
	if e.said != "" {
		add(ten, 100, `ADDED event/said on=pod/%s reason=%s from=kubelet at=10:00.050 message="for a reason"`, k.pod, e.said)
		for _, name := range names {
			add(ten, 110, `ADDED event/kill-%s on=pod/%s container=%s reason=Killing from=kubelet at=10:00.060 message="Stopping container %s"`, name, k.pod, name, name)
		}
	}
	ends := slices.Clone(e.stops)
	for second := 1; second < e.ended(); second++ {
		for i, stop := range ends {
			if stop == second {
				add(ten+second, 500, "MODIFIED pod/%s c%d:exit=0@%s@Completed unready=%s", k.pod, i, minute(ten+second), minute(ten+second))
			}
		}
	}
	var last []string
	for i, stop := range ends {
		if stop == e.ended() {
			last = append(last, fmt.Sprintf("c%d:exit=0@%s@Completed", i, minute(ten+stop)))
		}
	}
	condition := ""
	if e.condition {
		condition = " disrupted=TerminationByKubelet@10:00"
	}
	end := ten + e.ended()
	add(end, 600, "MODIFIED pod/%s %s phase=%s unready=%s%s", k.pod, strings.Join(last, " "), e.phase, minute(end), condition)
	made := end
	if e.inTheWay() {
		made = end + e.removed
		add(made, 700, "MODIFIED pod/%s deleting=0", k.pod)
		add(made, 710, "DELETED pod/%s", k.pod)
	}
	add(made, 800, "ADDED pod/%s containers=%s", k.next, strings.Join(names, ","))
	next, _, _ := strings.Cut(k.next, " ")
	add(made+2, 100, "MODIFIED pod/%s %s", next, up(made+2))
	if made == end && e.removed > 0 {
		add(end+e.removed, 700, "MODIFIED pod/%s deleting=0", k.pod)
		add(end+e.removed, 710, "DELETED pod/%s", k.pod)
	}
	w := newWorld()
	var obs, listed []causality.Observation
	for line := range strings.Lines(strings.Join(lines, "\n")) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		o, err := w.observation(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if came := clock(minute(ten + e.came)); e.came > 0 && o.Time.After(came) && obs == nil {
			obs = listed // what was before that was not seen
		}
		if e.came == 0 || obs != nil {
			obs = append(obs, o)
			continue
		}
		listed = w.list(clock(minute(ten + e.came)))
	}
	return obs
}

// TestLawAPodThatEndsIsReplaced has kubelets end pods that were to stay, in every way. Each is
// one replacement, which begins with the first thing that says so; its stop lasts until it had
// ended or, where it was in the way, until it was gone; and nothing of it is a restart, or an
// activity of its own.
func TestLawAPodThatEndsIsReplaced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEnding(t)
		traces := replay(e.story(t))
		var replaced []spans.Trace
		for _, tr := range traces {
			switch root := tr.Root(); root.Name {
			case "Pod replacement":
				replaced = append(replaced, tr)
			case "Container restart", "Pod activity":
				t.Errorf("there is a %s of %s at %s", root.Name, root.Subject, root.Start)
			}
		}
		if len(replaced) != 1 {
			t.Fatalf("%d replacements, want 1", len(replaced))
		}
		ten := clock("10:00")
		within := func(what string, at time.Time, second int) {
			if off := at.Sub(ten.Add(time.Duration(second) * time.Second)); off < 0 || off >= time.Second {
				t.Errorf("%s at %s, want it in second %d", what, at.Format("04:05.000"), second)
			}
		}
		root := replaced[0].Root()
		if how := attributeOf(*root, "rollspan.outcome"); how != "complete" {
			t.Errorf("it is %s", how)
		}
		within("it begins", root.Start, e.first())
		out := e.outOfTheWay()
		within("it ends", root.End, out+2)
		i := slices.IndexFunc(replaced[0].Spans, func(s spans.Span) bool { return s.Name == "Pod stop" })
		if i < 0 {
			if out > e.first() {
				t.Errorf("there is no Pod stop")
			}
			return
		}
		within("its stop begins", replaced[0].Spans[i].Start, e.first())
		within("its stop ends", replaced[0].Spans[i].End, out)
	})
}

package causality_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
)

// preemptors are, for each kind of workload, what a scenario says of one that makes the
// pod vip-0 because a pod was taken away for it, and how the trace begins that tells of
// it. A line that begins with a number is of that second; ~ is its revision, which may
// come late.
var preemptors = map[string]struct{ lines, told string }{
	"Deployment": {`
		60.00 ADDED deployment/vip image=app:1 replicas=1
		60.01 ADDED replicaset/vip-1 owner=deployment/vip revision=1 replicas=1
		60.02 MODIFIED deployment/vip revision=1
		60.04 ADDED pod/vip-0 owner=replicaset/vip-1 containers=web
		62.20 MODIFIED deployment/vip status=1/1/1`, "Deployment rollout"},
	"Rollout": {`
		60.00 ADDED rollout/vip
		60.01 ADDED replicaset/vip-1 owner=rollout/vip replicas=1
		~ MODIFIED replicaset/vip-1 rollout=1/1
		60.04 ADDED pod/vip-0 owner=replicaset/vip-1 containers=web
		62.20 MODIFIED replicaset/vip-1 status=1/1`, "Rollout rollout"},
	"StatefulSet": {`
		60.00 ADDED statefulset/vip image=app:1 replicas=1
		~ ADDED controllerrevision/vip-one owner=statefulset/vip revision=3
		60.02 MODIFIED statefulset/vip current=vip-one update=vip-one status=0/0/0
		60.04 ADDED pod/vip-0 owner=statefulset/vip containers=web
		62.20 MODIFIED statefulset/vip status=1/1/1`, "StatefulSet rollout"},
	"DaemonSet": {`
		60.00 ADDED daemonset/vip image=app:1
		~ ADDED controllerrevision/vip-one owner=daemonset/vip revision=3
		60.02 MODIFIED daemonset/vip status=1/0/0/0
		60.04 ADDED pod/vip-0 owner=daemonset/vip containers=web
		62.20 MODIFIED daemonset/vip status=1/1/1/1`, "DaemonSet rollout"},
	"Job": {`
		60.00 ADDED job/vip completions=1
		60.04 ADDED pod/vip-0 owner=job/vip containers=web`, "Job run"},
	"ReplicaSet": {`
		60.00 ADDED replicaset/vip replicas=1
		60.04 ADDED pod/vip-0 owner=replicaset/vip containers=web
		60.05 MODIFIED replicaset/vip status=1/0
		62.20 MODIFIED replicaset/vip status=1/1`, "ReplicaSet rollout"},
	"ReplicationController": {`
		60.00 ADDED replicationcontroller/vip replicas=1
		60.04 ADDED pod/vip-0 owner=replicationcontroller/vip containers=web
		60.05 MODIFIED replicationcontroller/vip status=1/0
		62.20 MODIFIED replicationcontroller/vip status=1/1`, "ReplicationController rollout"},
	"Pod": {`
		60.04 ADDED pod/vip-0 containers=web`, "Pod run"},
}

// TestLawAPreemptorIsLinkedToItsTrace has a pod taken away for one of each kind of
// workload. Its replacement is linked to the trace that tells of that one, whichever of
// the two is looked at first, and whether the revision comes in time. Where it comes later
// than that, nothing is linked, as the ID of the trace is not known.
func TestLawAPreemptorIsLinkedToItsTrace(t *testing.T) {
	for kind, by := range preemptors {
		t.Run(kind, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				uid := rapid.SampledFrom([]string{"0", "z"}).Draw(t, "the preemptor's UID begins with")
				ready := rapid.IntRange(61, 75).Draw(t, "the replacement is ready in second")
				numbered := rapid.SampledFrom([]string{"60.01", "61.90", "65.00", "79.00", "95.00"}).Draw(t, "its revision comes")
				up := rapid.SampledFrom([]int{62, 99}).Draw(t, "the preemptor is ready in second")
				traces := replay(preemption(t, by.lines, uid, ready, up, numbered))
				told, links := map[trace.TraceID]string{}, 0
				for _, root := range roots(traces) {
					told[root.TraceID] = root.Name
				}
				for _, root := range roots(traces) {
					if root.Name != "Pod replacement" {
						continue
					}
					for _, l := range root.Links {
						if linkKind(l) != "caused_by" {
							continue
						}
						links++
						if told[l.TraceID] != by.told {
							t.Errorf("the replacement is caused by %q, want %q", told[l.TraceID], by.told)
						}
					}
				}
				// A number that comes when the replacement is told already is too late for a link.
				late := numbered > "65.00" && strings.Contains(by.lines, "~")
				if want := slices.Contains(slices.Collect(maps.Values(told)), by.told); links != 1 && want && !late {
					t.Errorf("the replacement has %d causes, want 1", links)
				}
			})
		})
	}
}

// preemption is what a watch sees of a pod that is taken away for one of another workload,
// as lines tell. The latter's UIDs begin with uid, its revision comes at numbered, and it is
// up in that second; the pod's replacement is ready in another.
func preemption(t *rapid.T, lines, uid string, ready, up int, numbered string) []causality.Observation {
	lines = strings.ReplaceAll(lines, "62.20", fmt.Sprintf("%d.20", up))
	story := `
		01.00 ADDED deployment/web image=app:1 replicas=1
		01.01 ADDED replicaset/web-1 owner=deployment/web revision=1 replicas=1
		01.02 MODIFIED deployment/web revision=1
		01.04 ADDED pod/web-1-a owner=replicaset/web-1 containers=web
		02.10 MODIFIED pod/web-1-a node=node-a scheduled=00:01 sandbox=00:02 web:running=00:02 ready=00:02
		02.20 MODIFIED deployment/web status=1/1/1` + lines + `
		60.10 MODIFIED pod/vip-0 unschedulable=none nominated=node-a
		60.11 MODIFIED pod/web-1-a disruption=PreemptionByScheduler deleting=1
		60.12 ADDED event/web-1-a on=pod/web-1-a reason=Preempted from=default-scheduler at=01:00.115 related=pod/vip-0
		60.20 ADDED pod/web-1-b owner=replicaset/web-1 containers=web
		61.00 DELETED pod/web-1-a
		` + fmt.Sprintf("%d.10 MODIFIED pod/vip-0 node=node-a scheduled=01:01 sandbox=01:02 web:running=01:02 ready=%s", up, minute(up)) + `
		` + fmt.Sprintf("%d.50 MODIFIED pod/web-1-b node=node-b scheduled=01:00 sandbox=01:01 web:running=%s ready=%s", ready, minute(ready), minute(ready)) + `
		`
	w := newWorld()
	var obs []causality.Observation
	for line := range strings.Lines(strings.ReplaceAll(story, "~", numbered)) {
		at, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		if strings.HasPrefix(rest, "ADDED ") && strings.Contains(rest, "/vip") && !strings.Contains(rest, " on=") {
			rest += fmt.Sprintf(" uid=%s-%d", uid, len(obs))
		}
		seconds, fraction, _ := strings.Cut(at, ".")
		o, err := w.observation(minute(atoi(seconds)) + "." + fraction + " " + rest)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		obs = append(obs, o)
	}
	slices.SortStableFunc(obs, func(a, b causality.Observation) int { return a.Time.Compare(b.Time) })
	return obs
}

// minute writes a second as scenarios do.
func minute(second int) string { return fmt.Sprintf("%02d:%02d", second/60, second%60) }

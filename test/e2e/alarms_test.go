package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/test/alerts"
)

// TestAlertsFireAndResolve stages everything that the rules for Prometheus alert of, but for a
// slow rollout, which takes too long; scrapes the common rollspan before, while and after; and
// has Prometheus' engine evaluate the rules on that, as if each had lasted for a while.
//
// What the test's kubelet does not say of itself, such as that a machine ran out of memory, is
// written here as who says so writes it.
func TestAlertsFireAndResolve(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	nodes := s.addNodes(2)
	away, here := nodes[0], nodes[1]
	s.nodeCondition(here, "KernelDeadlock", corev1.ConditionFalse, "KernelHasNoDeadlock")
	before := s.get(s.metrics)

	// Nodes.
	s.cluster.FailNode(away) // which takes 40 s to be noticed
	s.kubectlRun("cordon", here)
	s.nodeCondition(here, "KernelDeadlock", corev1.ConditionTrue, "DockerHung")
	for _, reason := range []string{"SystemOOM", "Rebooted", "OOMKilling", "TaskHung"} {
		s.warn(corev1.ObjectReference{Kind: "Node", Name: here, UID: types.UID(here)}, reason, 1)
	}

	// Pods. Where nothing fits, the scheduler says so.
	none := []string{"none"}
	s.pod("greedy", app{adjust: func(pod *corev1.PodSpec) {
		pod.Containers[0].Resources.Requests = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("1000000"), corev1.ResourceMemory: resource.MustParse("1000Ti"),
		}
	}})
	s.pod("crashing", app{life: map[string]string{"run": "10ms", "exit-code": "3", "back-off": "100ms"}})
	sick := corev1.ObjectReference{Kind: "Pod", Namespace: s.name, Name: "sick", UID: "sick"}
	s.warn(sick, "FailedCreatePodSandBox", 1)
	s.warn(sick, "Unhealthy", 1)
	s.warn(sick, "Unhealthy", 12)

	// Rollouts: one fails, and one has no node to go to.
	s.create(app{})
	s.complete(1)
	s.update("missing")
	s.stuck("missing", "ImagePullBackOff")
	s.setDeadline(shortDeadline)
	s.statefulSet(app{nodes: none})

	open := "rollspan_open_rollout_start_time_seconds" + withLabels("kind", "StatefulSet", "namespace", s.name)
	during := s.scraped(map[string]float64{
		"rollspan_node_disruptions" + withLabels("cause", "Unreachable", "node", away):                                                              1,
		"rollspan_node_disruptions" + withLabels("cause", "Cordoned", "node", here):                                                                 1,
		"rollspan_node_disruptions" + withLabels("cause", "KernelDeadlock", "node", here):                                                           1,
		"rollspan_events_total" + withLabels("kind", "Pod", "namespace", s.name, "reason", "Unhealthy", "type", "Warning"):                          12,
		"rollspan_events_total" + withLabels("kind", "Pod", "namespace", s.name, "reason", "FailedCreatePodSandBox", "type", "Warning"):             1,
		"rollspan_events_total" + withLabels("kind", "Pod", "namespace", s.name, "reason", "BackOff", "type", "Normal"):                             0,
		"rollspan_events_total" + withLabels("kind", "Pod", "namespace", s.name, "reason", "Failed", "type", "Warning"):                             0,
		"rollspan_events_total" + withLabels("kind", "Node", "namespace", "", "reason", "TaskHung", "type", "Warning"):                              0,
		"rollspan_failed_scheduling_total" + withLabels("namespace", s.name, "resource", "cpu"):                                                     0,
		"rollspan_failed_scheduling_total" + withLabels("namespace", s.name, "resource", "memory"):                                                  0,
		"rollspan_crash_loops" + withLabels("container", container, "namespace", s.name, "pod", "crashing"):                                         1,
		"rollspan_change_failures_total" + withLabels("change", "rollout", "kind", "Deployment", "namespace", s.name, "reason", "ImagePullBackOff"): 1,
		open: 0,
	})

	// All of it is over.
	s.cluster.RecoverNode(away)
	s.kubectlRun("uncordon", here)
	s.nodeCondition(here, "KernelDeadlock", corev1.ConditionFalse, "KernelHasNoDeadlock")
	s.kubectlRun("delete", "pod/crashing", "pod/greedy", "--force")
	s.kubectlRun("delete", "statefulset/"+appName)
	s.update("1")
	s.deployment("is well again", func(d *appsv1.Deployment) bool { return isRolledOut(d, 3) })
	var after string
	s.eventually("nothing goes on", func() error {
		after = s.get(s.metrics)
		for line := range strings.Lines(after) {
			if (strings.HasPrefix(line, "rollspan_node_disruptions{") || strings.HasPrefix(line, "rollspan_crash_loops{") || strings.HasPrefix(line, "rollspan_open_rollout_start_time_seconds{")) &&
				strings.Contains(line, s.name) {
				return fmt.Errorf("there is %s", line)
			}
		}
		return nil
	})

	// Ten minutes before, forty while it goes on, and forty after it.
	now := time.Now()
	var scrapes []alerts.Scrape
	for minutes, text := range map[[2]int]string{{0, 10}: before, {10, 50}: during, {50, 90}: after} {
		for at := minutes[0]; at < minutes[1]; at++ {
			scrapes = append(scrapes, alerts.Scrape{At: now.Add(time.Duration(at-10) * time.Minute), Text: text})
		}
	}
	slices.SortFunc(scrapes, func(a, b alerts.Scrape) int { return a.At.Compare(b.At) })
	begun, over := now, now.Add(40*time.Minute)
	firing := map[string][]alerts.Alert{}
	for _, a := range alerts.Ask(t, alerts.Question{Rules: "../../deploy/helm/rollspan/files/alerts.yaml", Scrapes: scrapes}).Alerts {
		ours := !a.Fired.IsZero()
		for label, value := range map[string]string{"namespace": s.name, "node": s.name} {
			if v, ok := a.Labels[label]; ok && !strings.HasPrefix(v, value) {
				ours = false // other tests have incidents, too
			}
		}
		if ours {
			firing[a.Name] = append(firing[a.Name], a)
		}
	}
	names := alarms.Names()
	delete(names, alarms.RolloutSlow)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fired := firing[name]
		if len(fired) == 0 {
			t.Errorf("%s does not fire", name)
			continue
		}
		// What is counted may go on until the last incident is over.
		if first := fired[0].Fired; first.Before(begun) || !first.Before(over) {
			t.Errorf("%s fires at %s first: %+v", name, first.Sub(begun), fired)
		}
		for _, a := range fired {
			if a.Resolved.IsZero() {
				t.Errorf("%s does not resolve: %+v", name, a)
			}
		}
	}
	for _, name := range []string{"RollspanDiskFails", "RollspanExportQueueFills", "RollspanSendsNothing"} {
		if len(firing[name]) > 0 {
			t.Errorf("%s fires: %+v", name, firing[name])
		}
	}
	if t.Failed() {
		t.Logf("while it went on:\n%s", during)
	}
}

// withLabels is a series' labels as they are scraped.
func withLabels(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, ",%s=%q", pairs[i], pairs[i+1])
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

// scraped waits until samples have these values, of those that may have any it is 0, and
// returns the scrape.
func (s *space) scraped(want map[string]float64) (text string) {
	s.t.Helper()
	s.eventually("what is scraped", func() error {
		text = s.get(s.metrics)
		values := map[string]string{}
		for line := range strings.Lines(text) {
			if i := strings.LastIndex(line, " "); i > 0 && line[0] != '#' {
				values[line[:i]] = strings.TrimSpace(line[i:])
			}
		}
		var missing []string
		for _, sample := range slices.Sorted(maps.Keys(want)) {
			if v, ok := values[sample]; !ok || want[sample] != 0 && s.number(v) != want[sample] {
				missing = append(missing, fmt.Sprintf("%s is %q, want %v", sample, v, want[sample]))
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("%s", strings.Join(missing, "\n"))
		}
		return nil
	})
	return text
}

// warn writes an Event as a kubelet or node-problem-detector does: another one with a count, or
// the first.
func (s *space) warn(about corev1.ObjectReference, reason string, times int32) {
	s.t.Helper()
	namespace, now := about.Namespace, metav1.Now()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	name := strings.ToLower(about.Name + "." + reason)
	events := s.client.CoreV1().Events(namespace)
	if times > 1 {
		patch, err := json.Marshal(map[string]any{"count": times, "lastTimestamp": now})
		if err == nil {
			_, err = events.Patch(s.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return
	}
	_, err := events.Create(s.t.Context(), &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, InvolvedObject: about, Type: corev1.EventTypeWarning,
		Reason: reason, Message: "as the kubelet would say", Count: 1, FirstTimestamp: now, LastTimestamp: now, Source: corev1.EventSource{Component: "kubelet"},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

// nodeCondition sets a condition as node-problem-detector does.
func (s *space) nodeCondition(node string, kind corev1.NodeConditionType, status corev1.ConditionStatus, reason string) {
	s.t.Helper()
	now := metav1.Now()
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{{
		Type: kind, Status: status, Reason: reason, Message: "as node-problem-detector would say", LastTransitionTime: now, LastHeartbeatTime: now,
	}}}})
	if err == nil {
		_, err = s.client.CoreV1().Nodes().PatchStatus(s.t.Context(), node, patch)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

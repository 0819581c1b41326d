package causality_test

import (
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality"
)

// addVanished adds the ends that the kubelet makes up for containers which it knew
// to run and which are gone from the runtime: without an ID, without times.
func addVanished(obs []causality.Observation, exits map[string]exit) {
	running := map[string]string{}
	for _, o := range obs {
		p, ok := o.Object.(*corev1.Pod)
		if !ok || p.DeletionTimestamp != nil {
			continue
		}
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			key := string(p.UID) + s.Name
			last := s.LastTerminationState.Terminated
			switch {
			case s.State.Running != nil:
				running[key] = s.ContainerID
			case s.State.Terminated != nil:
				delete(running, key)
			case last != nil && last.ContainerID == "" && last.ExitCode != 0 && running[key] != "":
				exits[key+running[key]] = exit{p.UID, s.Name, last.ExitCode, o.Time, last.Reason == "RestartingAllContainers", false}
				delete(running, key)
			}
		}
	}
}

// deliberate is what the kubelet says of containers that it kills to start them
// anew. Where it stops all of a pod, only what comes next shows that it does so.
var deliberate = regexp.MustCompile(`resize requires restart|definition changed|^killing$|^Stopping container`)

// noteOrdered notes which runs the kubelet ended although they did nothing wrong: it
// said so within the minute before; and whether it ran the container again.
func noteOrdered(obs []causality.Observation, exits map[string]exit) {
	kills, runs := map[string][]time.Time{}, map[string][]string{}
	for _, o := range obs {
		switch in := o.Object.(type) {
		case *corev1.Event:
			if in.Reason == "Killing" && deliberate.MatchString(in.Message) {
				_, name, _ := strings.Cut(strings.TrimSuffix(in.InvolvedObject.FieldPath, "}"), "{")
				key := string(in.InvolvedObject.UID) + name
				kills[key] = append(kills[key], in.FirstTimestamp.Time)
			}
		case *corev1.Pod:
			for _, s := range slices.Concat(in.Status.InitContainerStatuses, in.Status.ContainerStatuses) {
				if key := string(in.UID) + s.Name; !slices.Contains(runs[key], s.ContainerID) {
					runs[key] = append(runs[key], s.ContainerID)
				}
			}
		}
	}
	for id, x := range exits {
		key := string(x.pod) + x.container
		known := runs[key]
		for _, at := range kills[key] {
			if since := x.finished.Sub(at); since < -time.Second || since > time.Minute {
				continue
			}
			x.halted = true
			x.ordered = x.ordered || strings.TrimPrefix(id, key) != known[len(known)-1]
		}
		exits[id] = x
	}
}

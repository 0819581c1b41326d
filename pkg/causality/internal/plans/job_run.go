package plans

import (
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// attributeRun attributes the pods of a Job, or the pod that is its own workload:
// they belong to the run they were made in. A pod that has finished is not
// missed when it goes.
func (p *Plan) attributeRun(set *workloads.PodSet, pods []*podlife.Pod) {
	for _, pod := range pods {
		at := pod.FirstSeen
		if pod.Initial {
			at = evidence.Write{Arrival: pod.Created.At()}
		}
		if c := openChange(p.Workload.ChangeAt(at), at); c != nil {
			p.Starts[pod] = Attribution{Change: c, Set: set}
		}
		if pod.LostFirst {
			p.attributeListedDeletion(set, pod)
		}
		if !pod.Lost() || pod.LostFirst {
			continue
		}
		c := p.Workload.ChangeAt(pod.LostBy())
		switch {
		case c != nil && c.Kind == attr.ChangeDelete && pod.Released():
			// The Job went without it.
		case c != nil && (c.Kind == attr.ChangeDelete || c.OpenAt(pod.LostBy())):
			at := Attribution{Change: c, Set: set}
			if !pod.Finished.Known() && (p.Workload.Controller.Pods == workloads.PodItself || c.Kind != attr.ChangeDelete) {
				at.Lost = pod
			}
			p.Stops[pod] = at
		case p.Workload.Controller.Pods != workloads.PodItself && c != nil && !pod.Finished.Known():
			// The controller removes what still runs when the Job has failed or
			// is suspended.
			p.Stops[pod] = Attribution{Change: c, Set: set}
		case pod.Failed.Known():
			p.Stops[pod] = Attribution{Set: set, Lost: pod}
		}
	}
}

// PodNamed reads the name of a pod from "Created pod: web-1", or a
// StatefulSet's "create Pod db-1 in StatefulSet db successful".
func PodNamed(message string) string {
	if _, rest, ok := strings.Cut(message, " Pod "); ok && strings.Contains(rest, " in StatefulSet ") {
		name, _, _ := strings.Cut(rest, " ")
		return name
	}
	if i := strings.LastIndex(message, " Pod "); i >= 0 && strings.Contains(message[:i], " is recreating ") {
		return message[i+len(" Pod "):] // RecreatingFailedPod: "StatefulSet shop/db is recreating failed Pod db-0"
	}
	if _, rest, ok := strings.Cut(message, " daemon pod "); ok && strings.HasPrefix(stream.EventWords(message), "Found ") {
		// FailedDaemonPod and SucceededDaemonPod: "Found failed daemon pod shop/agent-a on node a, …".
		_, rest, _ = strings.Cut(rest, "/")
		name, _, _ := strings.Cut(rest, " ")
		return name
	}
	return podlife.LastClause(message)
}

// Nearest is the pod of a name that was made, or asked to stop, nearest to the
// time of an Event that says so: a StatefulSet's pods have the names of those
// before them.
func (p *Plan) Nearest(name PodName, reason string, t time.Time) *podlife.Pod {
	named := p.Named()[name]
	if named == nil {
		return nil
	}
	var best *podlife.Pod
	var away time.Duration
	p.Work.Spend(len(named.pods))
	for i, at := range p.Times(named, reason) {
		if d := at.Sub(t).Abs(); best == nil || d < away {
			best, away = named.pods[i], d
		}
	}
	return best
}

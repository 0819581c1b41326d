package workloads

import (
	"strconv"
	"strings"
)

// UnknownReplicas is a number of replicas that nothing tells.
const UnknownReplicas = -1

// Scaling is what an Event ScalingReplicaSet tells of a step.
type Scaling struct {
	// Set is the name of the ReplicaSet.
	Set string
	Up  bool
	// From and To are its replicas before and after; From is UnknownReplicas where it is not told.
	From, To int32
}

// ScalingIn reads the message of an Event ScalingReplicaSet: "Scaled up replica set web-6757 from 0 to 1" since
// Kubernetes 1.31, "to 1 from 0" some versions before, and "to 1" in older ones and of creations. The words are
// all there is (scaleReplicaSet of k8s.io/kubernetes/pkg/controller/deployment). Argo Rollouts says
// "Scaled up ReplicaSet web-6757 (revision 2) from 0 to 1". Where Events were combined, more words come before.
func ScalingIn(message string) (s Scaling, ok bool) {
	_, rest, ok := strings.Cut(message, "Scaled ")
	if !ok {
		return s, false
	}
	direction, rest, _ := strings.Cut(rest, " ")
	s.Up = direction == "up"
	if !s.Up && direction != "down" {
		return s, false
	}
	if rest, ok = strings.CutPrefix(rest, "replica set "); !ok {
		if rest, ok = strings.CutPrefix(rest, "ReplicaSet "); !ok {
			return s, false
		}
	}
	s.Set, rest, _ = strings.Cut(rest, " ")
	s.From, s.To = UnknownReplicas, UnknownReplicas
	for rest != "" {
		var word, number string
		word, rest, _ = strings.Cut(rest, " ")
		number, rest, _ = strings.Cut(rest, " ")
		n, err := strconv.ParseInt(number, 10, 32)
		switch {
		case word == "(revision":
		case word == "from" && err == nil:
			s.From = int32(n)
		case word == "to" && err == nil:
			s.To = int32(n)
		default:
			return s, false
		}
	}
	return s, s.To >= 0
}

// DescribedBy reports whether the message of an Event ScalingReplicaSet is about a step of a ReplicaSet of that
// name. Where it started from is not asked: it may have been seen otherwise.
func (s *Step) DescribedBy(message, name string) bool {
	said, ok := ScalingIn(message)
	return ok && said.Set == name && said.Up == s.Up() && said.To == s.To
}

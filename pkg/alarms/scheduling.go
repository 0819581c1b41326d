package alarms

import (
	"regexp"
	"slices"
	"strings"
)

// failedScheduling is the reason of what the scheduler says of a pod that fits nowhere.
const failedScheduling = "FailedScheduling"

// insufficient is how the scheduler names a resource that a number of nodes lack
// (pkg/scheduler/framework/plugins/noderesources, insufficientResource.Reason). Names of
// resources are qualified names.
var insufficient = regexp.MustCompile(`\bInsufficient ([A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?)`)

// maxLacking bounds the resources of one message, which anybody may write.
const maxLacking = 16

// lacking are the resources that nodes lack by a message of the scheduler, such as "0/5 nodes
// are available: 2 Insufficient cpu, 3 Too many pods. preemption: …"; a list of one empty text
// if it names none, as where taints are in the way. What preemption would not free is not
// counted again.
func lacking(message string) (resources []string) {
	why, _, _ := strings.Cut(message, " preemption: ")
	for _, found := range insufficient.FindAllStringSubmatch(why, maxLacking) {
		if len(found[1]) <= maxIdentity {
			resources = append(resources, strings.Clone(found[1]))
		}
	}
	if strings.Contains(why, "Too many pods") {
		resources = append(resources, "pods")
	}
	if len(resources) == 0 {
		return []string{""}
	}
	slices.Sort(resources)
	return slices.Compact(resources)
}

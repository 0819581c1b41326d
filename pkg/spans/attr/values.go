package attr

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// Change is a kind of change, as ChangeKey has it.
type Change string

// The kinds of changes. docs/traces.md says when each begins and ends.
const (
	ChangeRollout     Change = "rollout"
	ChangeScale       Change = "scale"
	ChangeDelete      Change = "delete"
	ChangeJob         Change = "job"
	ChangeSchedule    Change = "schedule"
	ChangeRun         Change = "run"
	ChangeReplacement Change = "replacement"
	ChangeRestart     Change = "restart"
	ChangeDisruption  Change = "disruption"
	ChangeActivity    Change = "activity"
)

// Outcome is how a change ended, as OutcomeKey has it.
type Outcome string

// The outcomes.
const (
	OutcomeComplete   Outcome = "complete"
	OutcomeFailed     Outcome = "failed"
	OutcomeSuperseded Outcome = "superseded" // another change came first
	OutcomeSuspended  Outcome = "suspended"  // somebody suspended the Job
	OutcomeSkipped    Outcome = "skipped"    // a CronJob had no Job at a time of its schedule
	OutcomeDeleted    Outcome = "deleted"    // what changed was deleted first
	OutcomeOpen       Outcome = "open"       // a replay ended before the change did
)

// Source is what tells of a boundary of a span, as StartSourceKey and EndSourceKey have it.
type Source string

// The sources, the best first. What Events and objects state is known to the second.
const (
	SourceEvent     Source = "Event"     // an Event that stands for several, of which it states the first and the last
	SourceCondition Source = "condition" // what the object states of the latest of several changes
	SourceArrival   Source = "arrival"   // when the news of it came
	SourceInferred  Source = "inferred"  // what was seen before and after it
)

// Cut is why the start of a pod was over before the pod was Ready, as CutShortKey has it.
type Cut string

// The reasons.
const (
	CutRemoved    Cut = "removed"    // somebody deleted the pod
	CutEnded      Cut = "ended"      // the pod had ended, as one that was evicted
	CutUnfinished Cut = "unfinished" // the change was over before it
)

// Link is what a link from one span to another means, as LinkTypeKey has it.
type Link string

const linkPrefix = "rollspan.link."

// TraceIDKey is the attribute of the span that has such a link for the ID of the trace that
// it leads to, in hex: rollspan.link.supersedes.trace_id. Of several links of one meaning
// it is that of the first. UIs that show no attributes of links show those of spans.
func (l Link) TraceIDKey() attribute.Key { return attribute.Key(linkPrefix + string(l) + ".trace_id") }

// SpanIDKey is the attribute for the ID of the span in that trace, in hex:
// rollspan.link.supersedes.span_id.
func (l Link) SpanIDKey() attribute.Key { return attribute.Key(linkPrefix + string(l) + ".span_id") }

// LinkType is the meaning of a link with these attributes; empty if they do not say.
func LinkType(attributes []attribute.KeyValue) Link {
	for _, kv := range attributes {
		if kv.Key == LinkTypeKey {
			return Link(kv.Value.AsString())
		}
	}
	return ""
}

// LinkOf is the meaning of the link whose trace or span a key has the ID of; ok is false
// for other keys.
func LinkOf(key attribute.Key) (l Link, ok bool) {
	name, ok := strings.CutPrefix(string(key), linkPrefix)
	if !ok {
		return "", false
	}
	for _, id := range []string{".trace_id", ".span_id"} {
		if meaning, ok := strings.CutSuffix(name, id); ok {
			return Link(meaning), true
		}
	}
	return "", false
}

// The meanings of links. docs/traces.md says which of them have another side.
const (
	LinkSupersedes   Link = "supersedes"    // to the change that was not over yet
	LinkSupersededBy Link = "superseded_by" // to the change that came first
	LinkRollsBack    Link = "rolls_back"    // to the rollout of the revision that it goes back to
	LinkRollout      Link = "rollout"       // to the rollout that brought the pod
	LinkCausedBy     Link = "caused_by"
	LinkCauses       Link = "causes"
	LinkContext      Link = "context"      // to the span of who deployed it
	LinkUnblockedBy  Link = "unblocked_by" // to what had to be over first, in the same trace
)

// Causes of rollouts, scales and deletions, and of the runs of Jobs and pods, as CauseKey
// has them.
const (
	CauseCreate    = "create"    // somebody created it
	CauseTemplate  = "template"  // the pod template was written
	CauseRollback  = "rollback"  // it was written back to what it had been
	CauseRestart   = "restart"   // only the annotation of `kubectl rollout restart` was written
	CausePartition = "partition" // the partition of a StatefulSet was lowered
	CauseScale     = "scale"     // spec.replicas was written
	CauseAutoscale = "autoscale" // a HorizontalPodAutoscaler wrote it
	CauseNodes     = "nodes"     // nodes came or went, for a DaemonSet
	CauseOrdinals  = "ordinals"  // only the numbers of a StatefulSet's pods are others
	CauseDelete    = "delete"    // somebody deleted it
	CauseResume    = "resume"    // somebody resumed the Job
	CauseSchedule  = "schedule"  // a CronJob's schedule asked for the Job
	CauseManual    = "manual"    // somebody asked a CronJob for a Job beside the schedule
)

// Causes of replacements that Kubernetes gives no reason for; CauseDelete is another.
const (
	CauseFailed   = "failed"   // the pod failed
	CauseReleased = "Released" // its labels are no longer those of its workload
	CauseDrain    = "drain"    // it was evicted from a node that was cordoned
	CauseNodeLost = "NodeLost" // it was deleted while its node was away
)

// Causes of times of a CronJob's schedule at which there was no Job.
const (
	CauseConcurrency = "concurrency" // another Job still ran, and the concurrency policy is Forbid
	CauseDeadline    = "deadline"    // it was too late to start one (startingDeadlineSeconds)
	CauseSuspended   = "suspended"   // the Job was made late, as the CronJob had been suspended
)

// Causes of restarts: who ended the container.
const (
	CauseExit     = "exit"     // the program itself, as far as anyone said
	CauseOOM      = "oom"      // the kernel, for memory
	CauseProbe    = "probe"    // the kubelet, for a liveness or startup probe
	CauseHook     = "hook"     // the kubelet, for a postStart hook that failed
	CauseResize   = "resize"   // the kubelet, to resize it
	CauseImage    = "image"    // the kubelet, to run another image
	CauseSandbox  = "sandbox"  // the kubelet, to give the pod another sandbox
	CauseRule     = "rule"     // the kubelet, for a restart rule of another container
	CauseReboot   = "reboot"   // its node was rebooted
	CauseKubelet  = "kubelet"  // the kubelet, which was started again or does not say why
	CauseVanished = "vanished" // nobody knows: the runtime no longer has it
)

// Causes of disruptions: what ails a node.
const (
	CauseNotReady           = "NotReady"
	CauseUnreachable        = "Unreachable"
	CauseMemoryPressure     = "MemoryPressure"
	CauseDiskPressure       = "DiskPressure"
	CausePIDPressure        = "PIDPressure"
	CauseNetworkUnavailable = "NetworkUnavailable"
	CauseCordoned           = "Cordoned"
	CauseRebooted           = "Rebooted"
	CauseKubeletRestarted   = "KubeletRestarted"
	CauseDeleted            = "Deleted"
)

// The components that do the work, as service.name has them: most by the name that they
// have in their Events. Of what else writes Events, the service is the component that the
// Event names.
const (
	ServiceDeployment            = "deployment-controller"
	ServiceReplicaSet            = "replicaset-controller"
	ServiceReplicationController = "replication-controller"
	ServiceStatefulSet           = "statefulset-controller"
	ServiceDaemonSet             = "daemonset-controller"
	ServiceJob                   = "job-controller"
	ServiceCronJob               = "cronjob-controller"
	ServiceScheduler             = "default-scheduler"
	ServiceKubelet               = "kubelet"
	ServiceNode                  = "node-controller" // the node lifecycle controller
	ServiceNodeProblemDetector   = "node-problem-detector"
	ServiceVolumeBinder          = "persistentvolume-controller"
	ServiceVolumeAttacher        = "attachdetach-controller"
	ServiceRollout               = "rollouts-controller" // of Argo Rollouts
	ServiceUnknown               = "kubernetes"          // of Events that name no component
)

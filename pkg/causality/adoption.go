package causality

import (
	"cmp"
	"slices"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// adoptPod files a pod under its controller, if that is not the one that it had. For
// the new one it is there from this write on, in the place of a pod that would have
// been made; what it went through before is no longer news. One that is taken back
// was handed out as lost, and stays so.
func (e *Engine) adoptPod(pod *podlife.Pod, owner kube.ObjectID, write evidence.Write) {
	if owner == pod.Owner {
		if pod.Released() && pod.ReturnedBy == (evidence.Write{}) {
			pod.ReturnedBy = write
		}
		return
	}
	e.releasePod(pod)
	pod.Owner = owner
	e.filePod(pod)
	if pod.Released() {
		pod.Failed, pod.FailedBy, pod.Reason = evidence.Moment{}, evidence.Write{}, ""
	}
	_, over := pod.StartResolved()
	pod.FirstSeen = write
	if over {
		pod.Ledger.PassOverStart()
	}
	pod.Initial, pod.LostFirst, pod.ReadyFirst, pod.ReturnedBy = false, false, false, evidence.Write{}
}

// filePod files a pod under its owner, after those that are there.
func (e *Engine) filePod(pod *podlife.Pod) {
	e.filed++
	pod.Filed = e.filed
	e.podsOf[pod.Owner] = append(e.podsOf[pod.Owner], pod)
	e.joinAwake(pod)
}

// releasePod takes a pod from its workload.
func (e *Engine) releasePod(pod *podlife.Pod) {
	e.leaveAwake(pod)
	pods := e.podsOf[pod.Owner]
	if i, ok := slices.BinarySearchFunc(pods, pod.Filed, func(o *podlife.Pod, filed uint64) int { return cmp.Compare(o.Filed, filed) }); ok && pods[i] == pod {
		pods = slices.Delete(pods, i, i+1)
	}
	if len(pods) == 0 {
		delete(e.podsOf, pod.Owner)
	} else {
		e.podsOf[pod.Owner] = pods
	}
}

// endAsWorkload ends the ReplicaSet's time as a workload of its own: a Deployment, or a
// custom resource, took it in. Its pods are there already, so its number of them is no step
// of that one.
func (e *Engine) endAsWorkload(set *workloads.PodSet, in *appsv1.ReplicaSet, o Observation) {
	set.Known, set.Replicas = true, workloads.WantedReplicas(in.Spec.Replicas)
	if w := e.workloads[set.ObjectID]; w != nil {
		if c := w.Current(); c != nil && !c.Ended {
			c.Finish(attr.OutcomeSuperseded, evidence.Arrived(o.Time), evidence.NewWrite(in.ResourceVersion, o))
		}
		e.touch(w) // for the last time
		e.forgetWorkload(w)
	}
}

// podSet returns the record of what makes pods, made if need be.
func (e *Engine) podSet(obj *podlife.Object) *workloads.PodSet {
	set := e.sets[obj.ObjectID]
	if set == nil {
		set = workloads.NewPodSet(obj)
		e.sets[obj.ObjectID] = set
	}
	return set
}

// adoptSet files what makes pods under its workload.
func (e *Engine) adoptSet(set *workloads.PodSet, owner kube.ObjectID) {
	e.releaseSet(set)
	delete(e.resting, owner)
	set.Owner = owner
	e.setsOf[owner] = append(e.setsOf[owner], set)
}

// releaseSet takes a set from its workload.
func (e *Engine) releaseSet(set *workloads.PodSet) {
	delete(e.resting, set.Owner)
	left := slices.DeleteFunc(e.setsOf[set.Owner], func(o *workloads.PodSet) bool { return o == set })
	if len(left) == 0 {
		delete(e.setsOf, set.Owner)
	} else {
		e.setsOf[set.Owner] = left
	}
}

package podlife

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Report is when the API had something that the kubelet states of a pod. The kubelet dates a
// condition by when it saw it, and its status manager may write that to the API seconds
// later (k8s.io/kubernetes/pkg/kubelet/status: syncBatch). Controllers act on the report.
// The zero Report was not seen to arrive.
type Report struct {
	At time.Time
	// Written says that the API server's own second of the write is in the managedFields, and
	// that nothing in it is of later. Without it news that is late may have been late on its way to the watcher.
	Written bool
}

// Proves reports whether what lies between a time and the report was the kubelet's delay.
func (r Report) Proves(since time.Time) bool {
	return r.Written || r.At.Sub(since) <= evidence.ArrivalSlack
}

// reports are those that a pod's controller acts upon.
type reports struct {
	ReadyReport    Report // that it is Ready, for the first time
	FinishedReport Report // that it has ended, of a pod that is to finish
}

// Reported is the report that lets the pod's controller go on.
func (p *Pod) Reported() Report {
	if p.Finite {
		return p.FinishedReport
	}
	return p.ReadyReport
}

// observeReports notes the reports that a state of the pod is.
func (p *Pod) observeReports(o stream.Observation, in *corev1.Pod) {
	if o.Initial || o.Inferred {
		return
	}
	if ready, is := p.FirstReady(); is && p.ReadyReport.At.IsZero() && p.ReadyBy.Arrival.Equal(o.Time) {
		p.ReadyReport = reportOf(in, o.Time)
		p.ReadyReport.Written = p.ReadyReport.Written && !ranSince(in, ready.At.Earliest)
	}
	if p.Finished.Known() && p.FinishedReport.At.IsZero() && p.FinishedBy.Arrival.Equal(o.Time) {
		p.FinishedReport = reportOf(in, o.Time)
	}
}

// ranSince reports whether a container started or ended well after a time, as a status states.
// The write that says so need not be the one that reported what was at that time: news of
// that one may have been lost.
func ranSince(in *corev1.Pod, at time.Time) (since bool) {
	kube.RunTimes(&in.Status, func(_, _ string, t *metav1.Time) {
		since = since || t.Time.Sub(at) > evidence.ArrivalSlack
	})
	return since
}

// reportOf dates the write of a status by the API server's own second in the
// managedFields, and by the arrival of its news, which is never before it. Where the news
// is late, the write was in that second all the same.
func reportOf(in *corev1.Pod, arrival time.Time) Report {
	for i := range in.ManagedFields {
		m := &in.ManagedFields[i]
		if m.Subresource == "status" && m.Manager == attr.ServiceKubelet && m.Time != nil {
			return Report{At: evidence.Earliest(evidence.InSecond(m.Time.Time, arrival).At(), arrival), Written: true}
		}
	}
	return Report{At: arrival}
}

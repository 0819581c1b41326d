package causality

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// outdated reports whether an observation shows a state that is older than one which was seen
// already, as a list from a cache may. Resource versions of one object can be compared (KEP-5504;
// see CompareResourceVersion of k8s.io/apimachinery/pkg/util/resourceversion).
func (e *Engine) outdated(o Observation, meta metav1.Object) bool {
	obj := e.objects[kube.IDOf(o.Object, meta)]
	return obj != nil && !o.Inferred && o.Type != watch.Deleted && obj.Outdated(meta.GetResourceVersion())
}

// noteVersion notes the resource version of a state that was taken in, and of late news how late
// they may have been.
func (e *Engine) noteVersion(o Observation, meta metav1.Object) {
	if obj := e.objects[kube.IDOf(o.Object, meta)]; obj != nil {
		obj.ObserveVersion(meta.GetResourceVersion())
		obj.DoubtLateNews(o)
		if !o.Initial && !o.Inferred && o.Since.IsZero() {
			e.clocks.Watch.Arrived(&obj.Told, meta.GetCreationTimestamp().Time, o.Time)
		}
	}
	// What only metadata is read of may be served by another API server, which counts by itself.
	if _, other := meta.(*metav1.PartialObjectMetadata); !other && !o.Inferred && o.Since.IsZero() {
		e.clocks.Writes.Note(evidence.NewWrite(meta.GetResourceVersion(), o).Version, o.Time)
	}
}

// goneBy is when a workload was deleted, by the version of that, if it is not of the state before.
func (e *Engine) goneBy(w *workloads.Workload, o Observation, write evidence.Write) (evidence.Moment, evidence.Write) {
	if w.IsVersion(write.Version) {
		return evidence.Arrived(o.Time), write
	}
	return evidence.Arrived(e.clocks.Writes.By(write.Version, o.Time)), write
}

// beforeUsSlack is by how much clocks and arrival may make what was created when the engine
// began seem older than that.
const beforeUsSlack = 10 * time.Second

// wasListed reports whether an object was there before the engine was, and had got on, though
// nothing marks it as one of a first list: recordings that others made, as with
// `kubectl get --watch`, do not mark these.
func (e *Engine) wasListed(o Observation, meta metav1.Object) bool {
	created := meta.GetCreationTimestamp()
	return o.Type == watch.Added && !o.Inferred && !created.IsZero() && created.Add(beforeUsSlack).Before(e.since) &&
		o.Time.Before(e.since.Add(e.opts.Quiet)) && kube.GotOn(o.Object)
}

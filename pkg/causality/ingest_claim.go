package causality

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

func (e *Engine) observeClaim(o Observation, in *corev1.PersistentVolumeClaim) {
	id := kube.BuiltIn(kube.KindClaim, in)
	c := e.claims.ByID[id]
	isNew := c == nil
	if isNew {
		if o.Type == watch.Deleted {
			return // nothing is known that could have ended
		}
		c = &podlife.VolumeClaim{Object: e.track(id, in.Name)}
		arrival := o.Arrival()
		c.Created = evidence.InSecond(in.CreationTimestamp.Time, arrival)
		if in.CreationTimestamp.IsZero() {
			c.Created = evidence.Arrived(o.Time)
		}
		e.claims.Add(c)
	}
	c.Touched = o.Time
	if in.Spec.StorageClassName != nil {
		c.Class = *in.Spec.StorageClassName
	}
	if in.Spec.VolumeName != "" {
		c.Volume = in.Spec.VolumeName
	}
	if in.Status.Phase == corev1.ClaimBound && !c.Bound.Known() && !c.WasBound {
		if isNew && o.Initial {
			c.WasBound = true
		} else {
			c.Bound = evidence.Arrived(o.Time)
		}
	}
}

// sweepClaims forgets the claims that are gone, once nothing can want them.
func (e *Engine) sweepClaims() {
	cs := e.claims
	for _, c := range e.goneClaims.Come(e.now) {
		e.worked++
		if cs.ByID[c.ObjectID] == c {
			if len(cs.Users[podlife.ClaimKey(c.Namespace, c.Name)]) > 0 {
				continue // it is looked at again by the next sweep
			}
			cs.Forget(c.ObjectID)
		}
		e.goneClaims.Remove(c)
	}
}

package causality

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// setTarget notes what an object is for.
func (e *Engine) setTarget(obj *podlife.Object, target kube.NameKey) {
	if obj.Target == target {
		return
	}
	if old := obj.Target; old != (kube.NameKey{}) {
		left := slices.DeleteFunc(e.scalers[old], func(o *podlife.Object) bool { return o == obj })
		if len(left) == 0 {
			delete(e.scalers, old)
		} else {
			e.scalers[old] = left
		}
	}
	obj.Target = target
	if target != (kube.NameKey{}) {
		e.scalers[target] = append(e.scalers[target], obj)
	}
}

package kubelet

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// failures counts the runs that were made to fail, for owners that try again
// with another pod.
type failures struct {
	mu     sync.Mutex
	counts map[string]int
}

// next says whether the container's next run fails too, if so many do.
func (f *failures) next(w *worker, c *container, limit int) bool {
	w.mu.Lock()
	owner := w.uid
	if ref := metav1.GetControllerOf(w.pod); ref != nil {
		owner = ref.UID
	}
	w.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	key := string(owner) + "/" + c.spec.Name
	if f.counts[key] >= limit {
		return false
	}
	f.counts[key]++
	return true
}

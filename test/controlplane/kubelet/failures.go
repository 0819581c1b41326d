package kubelet

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// failures counts what was made to go wrong, for owners that try again with
// another pod.
type failures struct {
	mu     sync.Mutex
	counts map[string]int
}

// next says whether the same goes wrong with the worker's pod, if it does so
// often for the pods of one owner.
func (f *failures) next(w *worker, what string, limit int) bool {
	w.mu.Lock()
	owner := w.uid
	if ref := metav1.GetControllerOf(w.pod); ref != nil {
		owner = ref.UID
	}
	w.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	key := string(owner) + "/" + what
	if f.counts[key] >= limit {
		return false
	}
	f.counts[key]++
	return true
}

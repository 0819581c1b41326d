package podlife

import (
	"slices"
	"time"
)

// MadeBy is how many of the pods, which are in order of creation, were made by a time.
// Whoever makes pods can state the same hash in thousands.
func MadeBy(pods []*Pod, at time.Time) int {
	n, _ := slices.BinarySearchFunc(pods, at, func(pod *Pod, at time.Time) int {
		if pod.Created.Earliest.After(at) {
			return 1
		}
		return -1
	})
	return n
}

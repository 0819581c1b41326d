package kube

import (
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GraceLeft is how long before the time of an object's deletion that was asked for.
func GraceLeft(meta metav1.Object) time.Duration {
	if g := meta.GetDeletionGracePeriodSeconds(); g != nil {
		return GracePeriod(*g)
	}
	return 0
}

// GracePeriod is a number of seconds, as far as that is a time.
func GracePeriod(seconds int64) time.Duration {
	return time.Duration(min(max(seconds, 0), math.MaxInt64/int64(time.Second))) * time.Second
}

package progress

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A StatefulSet is complete when kubectl says that it is. One whose rollout was undone half way has
// the revision that it had, and a pod of the other.
func TestJudgeStatefulSet(t *testing.T) {
	for name, test := range map[string]struct {
		partition        *int32
		updated, ready   int32
		current, updates string
		complete         bool
	}{
		"undone half way":                {new(int32(0)), 2, 3, "a", "a", false},
		"undone, and all pods are back":  {new(int32(0)), 3, 3, "a", "a", true},
		"updated half way":               {new(int32(0)), 2, 3, "a", "b", false},
		"updated":                        {new(int32(0)), 3, 3, "b", "b", true},
		"as the partition has it":        {new(int32(2)), 1, 3, "a", "b", true},
		"not yet as the partition":       {new(int32(1)), 1, 3, "a", "b", false},
		"a pod that is not ready":        {new(int32(0)), 3, 2, "b", "b", false},
		"no partition, updated half way": {nil, 2, 3, "a", "b", false},
	} {
		t.Run(name, func(t *testing.T) {
			in := &appsv1.StatefulSet{
				ObjectMeta: metav1.ObjectMeta{Generation: 3},
				Spec: appsv1.StatefulSetSpec{Replicas: new(int32(3)), UpdateStrategy: appsv1.StatefulSetUpdateStrategy{
					Type: appsv1.RollingUpdateStatefulSetStrategyType, RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: test.partition},
				}},
				Status: appsv1.StatefulSetStatus{ObservedGeneration: 3, Replicas: 3, UpdatedReplicas: test.updated, ReadyReplicas: test.ready, CurrentRevision: test.current, UpdateRevision: test.updates},
			}
			if v, err := judge(in); err != nil || v.complete != test.complete || v.complete == (v.waits != "") {
				t.Errorf("it is %+v, %v", v, err)
			}
		})
	}
}

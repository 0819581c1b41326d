package workloads

import (
	"slices"
	"strconv"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// TestPartsComeInOneOrder holds that a state does not depend on the order of a map: of
// ReplicaSets that state one number, whoever wrote it, the same is the newest each time.
func TestPartsComeInOneOrder(t *testing.T) {
	const sets = 8
	var first []int32
	for range 20 {
		var order []int32
		w := &Workload{
			Composition: &Composition{Parts: map[kube.ObjectID]*News{}},
			Controller: &Controller{Compose: &composer{state: func(_ *Workload, parts []part, _ *News) (State, bool) {
				for _, p := range parts {
					order = append(order, p.replicas)
				}
				return State{}, false
			}}},
		}
		for i := range int32(sets) {
			w.TakePart(&News{
				Set:  kube.ObjectID{Kind: kindReplicaSet, UID: types.UID(strconv.Itoa(int(i)))},
				Part: &part{revision: 7, replicas: i},
			})
		}
		w.Recompose(&News{})
		if first == nil {
			first = order
		}
		if len(order) != sets || !slices.Equal(order, first) {
			t.Fatalf("the sets come as %v, and as %v", order, first)
		}
	}
}

// TestATemplateIsReadOnce holds that each write of a ReplicaSet tells the template that it has,
// and that this is read in the first alone: of one with many pods there are thousands of writes.
func TestATemplateIsReadOnce(t *testing.T) {
	read := 0
	set := NewPodSet(&podlife.Object{})
	set.By = &Controller{Compose: &composer{part: partOfRollout, template: func(in *appsv1.ReplicaSet) kube.PodTemplate {
		read++
		return templateOfRollout(in)
	}}}
	in := &appsv1.ReplicaSet{}
	in.Spec.Template.Labels = map[string]string{"app": "web", rolloutHashLabel: "6757"}
	in.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "web:1"}}
	want := templateOfRollout(in).Hash
	for available := range int32(100) {
		in.Status.AvailableReplicas = available
		p := set.ReadPart(stream.Observation{}, in)
		if p.template.Hash != want || p.available != available {
			t.Fatalf("write %d has another template or state: %+v", available, p)
		}
	}
	if read != 1 {
		t.Errorf("the template was read %d times, want once", read)
	}
}

// TestAPartIsKeptAlone holds that what is kept of a ReplicaSet is no part of all the news that
// came with it, which would be kept, too.
func TestAPartIsKeptAlone(t *testing.T) {
	w := &Workload{Composition: &Composition{Parts: map[kube.ObjectID]*News{}}}
	news := []News{
		{Set: kube.ObjectID{UID: "a"}, Part: &part{revision: 1, replicas: 3}},
		{Set: kube.ObjectID{UID: "a"}, Part: &part{revision: 1, replicas: 4}},
	}
	for i := range news {
		w.TakePart(&news[i])
	}
	clear(news)
	if kept := w.Composition.Parts[kube.ObjectID{UID: "a"}]; kept.Part == nil || kept.Part.replicas != 4 {
		t.Errorf("%+v is kept, want the latest news", kept)
	}
}

// TestALongBurstLeavesNoMemory holds that what waited of a busy workload takes no memory when it
// was taken in, and that room for what comes again and again is kept.
func TestALongBurstLeavesNoMemory(t *testing.T) {
	for n, kept := range map[int]bool{keptNews: true, MaxNews: false} {
		k := &Composition{News: make([]News, n)}
		if k.Leave(k.News[:0]); (cap(k.News) > 0) != kept || len(k.News) != 0 {
			t.Errorf("of %d news there is room for %d left", n, cap(k.News))
		}
	}
}

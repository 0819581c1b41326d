package causality_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// An owner may be of an API server with a store of its own (an aggregated API), whose versions count
// from elsewhere. They say nothing of when a workload was deleted.
func TestVersionsOfAnotherStoreDateNoDeletion(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	web := func(version string) *appsv1.Deployment {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", UID: "web", ResourceVersion: version, Generation: 1, CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour)),
		}}
		d.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
		return d
	}
	other := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app", UID: "app", ResourceVersion: "90000000"}}
	other.APIVersion, other.Kind = "aggregated.example/v1", "App"

	e := causality.New(causality.Options{})
	deleted := noon.Add(30 * time.Minute)
	e.Observe(causality.Observation{Time: noon, Type: watch.Added, Object: web("100"), Initial: true})
	e.Observe(causality.Observation{Time: noon.Add(time.Second), Type: watch.Modified, Object: web("101")})
	e.Observe(causality.Observation{Time: noon.Add(10 * time.Second), Type: watch.Modified, Object: other})
	told := e.Observe(causality.Observation{Time: deleted, Type: watch.Deleted, Object: web("200")})
	for at := deleted; at.Before(deleted.Add(10 * time.Minute)); at = at.Add(time.Second) {
		told = append(told, e.Advance(at)...)
	}
	for i := range told {
		if root := told[i].Root(); root.Kind == kind.Delete {
			if !root.Start.Equal(deleted) {
				t.Errorf("it was deleted at %s, want %s", root.Start, deleted)
			}
			return
		}
	}
	t.Errorf("no deletion is told: %v", told)
}

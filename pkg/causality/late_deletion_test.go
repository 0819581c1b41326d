package causality_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
)

// That something is gone may be learned late: a watch that broke off finds out
// by its next list, or goes on. Nothing but the end of what was being removed depends on it.
func TestLateDeletions(t *testing.T) {
	const latest = 20 * time.Minute
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		want := story(replay(obs))
		ofJob := map[string]bool{}
		for _, o := range obs {
			if p, ok := o.Object.(*corev1.Pod); ok {
				ref := metav1.GetControllerOf(p)
				ofJob[p.Name] = ref != nil && ref.Kind == "Job"
			}
		}
		rapid.Check(t, func(t *rapid.T) {
			lags := map[string]time.Duration{}
			late := deliver(obs, func(o causality.Observation) time.Duration {
				if o.Type != watch.Deleted || kindOf(o) == "Event" {
					return 0
				}
				id := identity(o)
				if _, drawn := lags[id]; !drawn {
					lags[id] = time.Duration(rapid.IntRange(0, int(latest/time.Second)).Draw(t, "seconds late")) * time.Second
				}
				return lags[id]
			})
			// What is late arrives late.
			for i := range late[1:] {
				late[i+1].Time = later(late[i+1].Time, late[i].Time)
			}
			got := story(replay(late))
			for id, w := range want {
				g, ok := got[id]
				switch {
				case !ok && removal(w.text) && ofJob[strings.TrimPrefix(strings.Fields(w.text)[2], "pod/")]:
					// A finished pod goes unnoticed, unless with its Job.
				case !ok:
					t.Errorf("missing: %s", w.text)
				case removal(w.text):
					if !near(g.start, w.start) {
						t.Errorf("%s began at %s, now %s", w.text, w.start, g.start)
					}
				case strings.Contains(w.text, " deleted ") && g.text == w.text && g.start.Equal(w.start) && near(g.end, w.end):
					// It ends by what else was written then.
				case g != w:
					t.Errorf("%s became %s, %s..%s became %s..%s", w.text, g.text, w.start, w.end, g.start, g.end)
				}
			}
			for id, g := range got {
				if _, ok := want[id]; !ok && !strings.HasPrefix(g.text, "remove pod ") { // that took long
					t.Errorf("extra: %s", g.text)
				}
			}
		})
	})
}

// removal reports whether a span ends when something is gone.
func removal(text string) bool {
	for _, name := range []string{"Pod stop ", "remove pod ", "ReplicaSet scale down ", "late events "} {
		if strings.HasPrefix(text, name) {
			return true
		}
	}
	return strings.Contains(text, " delete ")
}

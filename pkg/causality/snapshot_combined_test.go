package causality_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
)

// scalings writes the Events about the steps of one Deployment as client-go's recorder does
// (EventCorrelator): from the tenth that differ in their words on, within ten minutes, one stands
// for all, with the words of the last.
type scalings struct {
	*shaped
	of   metav1.Object
	said int
	all  *corev1.Event
}

func (s *scalings) say(message string) {
	const own = 9
	if s.said++; s.said <= own {
		s.event(s.of, "Deployment", "ScalingReplicaSet", message)
		return
	}
	message = "(combined from similar events): " + message
	if s.all == nil {
		s.event(s.of, "Deployment", "ScalingReplicaSet", message)
		s.all = s.seen[len(s.seen)-1].Object.(*corev1.Event).DeepCopy()
		return
	}
	s.all.Message, s.all.LastTimestamp, s.all.Count = message, s.second(), s.all.Count+1
	s.write(s.all)
}

// rollOneByOne rolls a Deployment of several pods: a new one for each old one, which stops when the
// new one is Ready.
func (c *shaped) rollOneByOne(w *web, events *scalings) {
	old, was := w.rs, slices.Clone(w.pods)
	n := int32(len(was))
	c.begin(w, 1)
	for i := range n {
		if i > 0 {
			to := i + 1
			w.rs.Generation++
			w.rs.Spec.Replicas = &to
			c.write(w.rs)
		}
		events.say(fmt.Sprintf("Scaled up replica set %s from %d to %d", w.rs.Name, i, i+1))
		p := c.newPod(w.rs, fmt.Sprintf("%s-%d", w.rs.Name, i), "node-a")
		c.put(watch.Added, false, p)
		c.pass(3 * time.Second)
		c.run(p)
		c.write(p)
		left := n - i - 1
		old.Generation++
		old.Spec.Replicas = &left
		c.write(old)
		events.say(fmt.Sprintf("Scaled down replica set %s from %d to %d", old.Name, left+1, left))
		c.remove(was[i])
		w.pods[i] = p
	}
	c.status(w, n)
	w.d.Status.Conditions = []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable",
		LastUpdateTime: c.second(), LastTransitionTime: c.second(),
	}}
	c.write(w.d)
}

// TestStepsOfCombinedEvents looks back at two rollouts in a row, of more steps than the recorder
// writes Events about. The pods of the first are gone, and no Event tells of how it went on. Each
// step that Events tell of, and that is counted from the creation of its ReplicaSet or from its last
// write on, has the ID that it had for who watched.
func TestStepsOfCombinedEvents(t *testing.T) {
	c := newShaped()
	w := c.listed("cart", 1, 8, oneNode)[0]
	c.settle()
	events := &scalings{shaped: c, of: w.d}
	c.rollOneByOne(w, events)
	first := w.rs
	c.pass(time.Minute)
	c.rollOneByOne(w, events)
	c.pass(time.Minute)
	if n := events.all.Count; n < 10 {
		t.Fatalf("%d Events are combined", n)
	}
	told := byKey(replayHistory(snapshots.Reconstruct(snapshotAt(c.obs, c.now), c.now.Sub(day)-time.Minute, c.now)))
	said := map[string]bool{} // by Events of their own, of the ReplicaSet that was created meanwhile
	for i := range 5 {
		said[fmt.Sprintf("%s from %d to %d", first.Name, i, i+1)] = true
	}
	said[fmt.Sprintf("%s from 1 to 0", first.Name)] = true // the last of all
	for key, s := range byKey(replay(c.seen)) {
		if !strings.HasPrefix(s.Name, "ReplicaSet scale") {
			continue
		}
		step := fmt.Sprintf("%s from %s to %s", strings.TrimPrefix(s.Subject, "replicaset/"), attributeOf(s, "rollspan.scale.from"), attributeOf(s, "rollspan.scale.to"))
		again, is := told[key]
		if said[step] && !is {
			t.Errorf("of the step of %s the Events tell, and it has another ID", step)
		}
		delete(said, step)
		if is && again.Start.Sub(s.Start).Abs() > time.Second {
			t.Errorf("the step of %s is told of %s, and was at %s", step, again.Start, s.Start)
		}
	}
	if len(said) > 0 {
		t.Errorf("nobody saw %v", said)
	}
}

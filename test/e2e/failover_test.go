package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

const (
	holdsLease = "the lease is held"
	losesLease = "the lease is lost"
)

// leases lets rollspan have its Leases in the test's own namespace, as config/rbac does in
// that of rollspan: other tests have a Lease there. It returns the flags for that.
func (s *space) leases() []string {
	s.t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "leases"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "list", "create", "update"}},
	}}
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "leases"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "leases"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "rollspan", Namespace: "rollspan"}}}
	_, err := s.client.RbacV1().Roles(s.name).Create(s.t.Context(), role, asCreator)
	created(s, role, err)
	_, err = s.client.RbacV1().RoleBindings(s.name).Create(s.t.Context(), binding, asCreator)
	created(s, binding, err)
	s.eventually("rollspan may have Leases", func() error {
		return s.kubectl(s.t.Context(), "auth", "can-i", "update", "leases.coordination.k8s.io", "-n", s.name,
			"--as=system:serviceaccount:rollspan:rollspan")
	})
	return []string{"--leader-elect-namespace", s.name}
}

// isHeld checks that a Lease has a holder.
func (s *space) isHeld(namespace, name string) {
	s.t.Helper()
	lease, err := s.client.CoordinationV1().Leases(namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		s.t.Errorf("the lease %+v has no holder: %v", lease, err)
	}
}

// onceAs checks that a trace is the same as the common rollspan's, which was there all the
// time, and that each span was sent once.
func (s *space) onceAs(got *trace, revision int64) {
	s.t.Helper()
	s.once(got)
	s.collector = s.jaeger
	want := s.rollout(revision)
	s.collector = s.apart
	s.same(want, got)
}

func (s *space) once(t *trace) {
	s.t.Helper()
	var ids []string
	for i := range t.Spans {
		ids = append(ids, t.Spans[i].ID)
	}
	slices.Sort(ids)
	if n := len(ids); len(slices.Compact(ids)) != n {
		s.t.Errorf("%d spans were sent twice:\n%s", n-len(slices.Compact(ids)), text(t))
	}
}

// TestFailover has two rollspans that see the same, and kills the one that sends: in the
// middle of a rollout, before it has sent the one that is over. The other sends both, as the
// first would have.
func TestFailover(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	flags := append(s.leases(), "--leader-elect")
	first := s.runApart(flags...)
	s.says(first, holdsLease)
	s.watches(first, liveKinds...)
	second := s.runApart(flags...)
	s.watches(second, liveKinds...)
	s.create(app{replicas: 2, probe: true, gated: true})
	s.completeGated(1, "1")
	s.update("2")
	s.somePod("2", "is there", func(corev1.Pod) bool { return true })
	first.Kill()
	s.says(second, holdsLease)
	s.completeGated(2, "2")
	s.onceAs(s.rollout(2), 2)
	s.onceAs(s.rollout(1), 1)
	quiet(t, first, second)
}

// TestReplacedByAnother kills a rollspan that has no directory and no standby. The next one
// finds in its Lease what it had sent, and tells what has ended since.
func TestReplacedByAnother(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	flags := s.leases()
	first := s.runApart(flags...)
	s.says(first, holdsLease)
	s.watches(first, liveKinds...)
	s.create(app{replicas: 2, probe: true})
	s.complete(1)
	sent := s.rollout(1)
	first.Kill()
	s.update("2")
	s.complete(2)
	second := s.runApart(flags...)
	s.says(second, "told what ended while rollspan was away")
	got := s.rollout(2)
	s.has(got.Root(), map[string]any{"rollspan.outcome": "complete"})
	s.once(got)
	s.collector = s.jaeger
	want := s.rollout(2)
	s.collector = s.apart
	if got.ID != want.ID || got.Root().ID != want.Root().ID {
		t.Errorf("the trace is %s, want %s", got.ID, want.ID)
	}
	for i := range want.Spans {
		if w := &want.Spans[i]; w.Name == "Pod start" {
			if g := got.Span(w.ID); g == nil || g.ParentID != w.ParentID {
				t.Errorf("%s %s is not there, or elsewhere:\n%s", w.Name, w.ID, text(got))
			}
		}
	}
	again, err := s.whole(t.Context(), sent.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.once(&again)
	quiet(t, first, second)
}

// TestJournalAndLease kills a rollspan that has both, and starts it again with the same
// directory: when one rollout is over and not sent, and the next is on its way. The journal has
// all of both.
func TestJournalAndLease(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	flags := append(s.leases(), "--leader-elect", "--data-dir", t.TempDir())
	first := s.runApart(flags...)
	s.says(first, holdsLease)
	s.watches(first, liveKinds...)
	s.create(app{replicas: 2, gated: true})
	s.completeGated(1, "1")
	s.update("2")
	s.somePod("2", "runs", func(p corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	first.Kill()
	second := s.runApart(flags...)
	s.says(second, "going on where the run before has stopped")
	s.completeGated(2, "2")
	s.onceAs(s.rollout(1), 1)
	s.onceAs(s.rollout(2), 2)
	quiet(t, first, second)
}

// TestTwoAreNoticed has two rollspans that were not told to elect one.
func TestTwoAreNoticed(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	flags := s.leases()
	first := s.runApart(flags...)
	s.says(first, holdsLease)
	second := s.runApart(flags...)
	s.says(second, "another rollspan watches the same")
	s.says(second, holdsLease)
	s.says(first, "another rollspan watches the same")
	quiet(t, first, second)
}

// TestLeaseLost takes the API server away from a rollspan for longer than it has its Lease. It
// goes on when it is back, and has lost nothing.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	server := newProxy(t, s.cluster.RESTConfig().Host)
	server.up()
	flags := append(s.leases(), "--leader-elect", "--kubeconfig", s.kubeconfigVia(server))
	p := s.runApart(flags...)
	s.says(p, holdsLease)
	s.watches(p, liveKinds...)
	s.create(app{replicas: 2, gated: true})
	s.eventually("both containers run", func() error {
		if have := reasons(s.events()); !slices.Contains(have, "Started") {
			return fmt.Errorf("the Events are %v", have)
		}
		for _, p := range s.pods("1") {
			if p.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("pod %s is %s", p.Name, p.Status.Phase)
			}
		}
		return nil
	})
	server.down()
	s.says(p, losesLease)
	server.up()
	s.completeGated(1, "1")
	s.onceAs(s.rollout(1), 1)
	quiet(t, p)
}

// quiet checks that nothing was said to be wrong.
func quiet(t *testing.T, programs ...*harness.Program) {
	t.Helper()
	for _, p := range programs {
		if strings.Contains(p.Stderr(), "level=ERROR") {
			t.Errorf("rollspan complains:\n%s", p.Stderr())
		}
	}
}

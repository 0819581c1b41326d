package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestKilledAndRestarted takes the rollspan away in the middle of a rollout,
// without a chance to save or say anything. The next one finds the rollout in
// what it lists, and sends what the first would have sent.
func TestKilledAndRestarted(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	first := s.runApart()
	s.watches(first, liveKinds...)
	s.create(app{replicas: 2, probe: true, migrate: true, gated: true, life: map[string]string{"pull.web": "3s", "boot.web": "1s"}})
	s.eventually("a pull that is on", func() error {
		for _, ev := range s.events() {
			if ev.Reason == "Pulling" && ev.InvolvedObject.FieldPath == "spec.containers{"+container+"}" {
				return nil
			}
		}
		return fmt.Errorf("the Events are %v", reasons(s.events()))
	})
	first.Kill()
	if code := first.ExitCode(); code != -1 {
		t.Fatalf("rollspan ended with code %d before it was killed", code)
	}
	second := s.runApart()
	s.watches(second, liveKinds...)
	if strings.Contains(first.Stderr()+second.Stderr(), "level=ERROR") {
		t.Errorf("rollspan complains:\n%s\n%s", first.Stderr(), second.Stderr())
	}
	s.completeGated(1, "1") // not before: what is over is not told
	events := s.events()
	got := s.rollout(1)
	s.eventsOnce(events, got)
	s.hasItsPods(got.ID, s.pods("1"))
	s.pullsAsTheKubeletSays(got.ID, events)

	// The common rollspan watched all the time.
	s.collector = s.jaeger
	want := s.rollout(1)
	s.same(want, got)
}

func reasons(events []corev1.Event) []string {
	var out []string
	for _, ev := range events {
		out = append(out, ev.Reason)
	}
	return out
}

// slack is by how much the times of two watchers may differ where one of them has whole
// seconds: siblings that would touch are sent a microsecond apart.
const slack = time.Second + 2*time.Microsecond

// same checks that two traces tell the same, with the same IDs, at times that
// differ by no more than slack. When a pod was gone the API does not say: that is dated
// by the news, which two watchers get at different times.
func (s *space) same(want, got *trace) {
	s.t.Helper()
	if want.ID != got.ID {
		s.t.Errorf("the trace is %s, want %s", got.ID, want.ID)
	}
	for i := range want.Spans {
		w := &want.Spans[i]
		if slices.Contains(momentary, w.Name) {
			continue
		}
		g := got.Span(w.ID)
		if g == nil {
			s.t.Errorf("%s %s is not there", w.Name, w.ID)
			continue
		}
		if g.ParentID != w.ParentID || g.Name != w.Name || g.Service != w.Service || g.Status != w.Status {
			s.t.Errorf("%s %s: parent %s, %s of %s, status %+v, want parent %s, %s of %s, status %+v",
				w.Name, w.ID, g.ParentID, g.Name, g.Service, g.Status, w.ParentID, w.Name, w.Service, w.Status)
		}
		stated := !slices.Contains([]string{"Pod stop", "ReplicaSet scale down"}, w.Name)
		if start, end := g.Start.Sub(w.Start), g.End.Sub(w.End); start.Abs() > slack || stated && end.Abs() > slack {
			s.t.Errorf("%s %s starts %s later and ends %s later", w.Name, w.ID, start, end)
		}
		if g, w := eventNames(g), eventNames(w); !slices.Equal(g, w) {
			s.t.Errorf("%s has the span events %v, want %v", want.Spans[i].Name, g, w)
		}
	}
	for i := range got.Spans {
		if g := &got.Spans[i]; want.Span(g.ID) == nil && !slices.Contains(momentary, g.Name) {
			s.t.Errorf("%s %s should not be there", g.Name, g.ID)
		}
	}
	if s.t.Failed() {
		s.t.Logf("of these two the second should tell what the first does:\n%s\n%s", text(want), text(got))
	}
}

func eventNames(sp *controlplane.Span) []string {
	var out []string
	for _, e := range sp.Events {
		out = append(out, fmt.Sprint(e.Attributes["k8s.event.name"]))
	}
	slices.Sort(out)
	return out
}

// TestCollectorDown has no collector at the start, and loses it again later.
// Whatever happens meanwhile arrives when it is back.
func TestCollectorDown(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	collector := newProxy(t, s.apart.OTLPGRPC())
	program := s.runApart("--otlp-endpoint", "http://"+collector.address, "--settle", "1s")
	s.watches(program, liveKinds...)
	const (
		lost = "The OTLP collector cannot be reached"
		back = "The OTLP collector takes spans again"
	)
	said := func(what string, times int) {
		t.Helper()
		s.eventually(fmt.Sprintf("%q is said for the %d. time", what, times), func() error {
			if n := strings.Count(program.Stderr(), what); n != times {
				return fmt.Errorf("it was said %d times", n)
			}
			return nil
		})
	}
	s.create(app{})
	s.complete(1)
	said(lost, 1)
	s.update("2")
	s.complete(2)
	collector.up()
	said(back, 1)
	s.rollout(1)
	s.rollout(2)

	collector.down()
	s.update("3")
	s.complete(3)
	said(lost, 2)
	collector.up()
	said(back, 2)
	s.rollout(3)
	s.update("4")
	s.complete(4)
	s.rollout(4)
	for _, what := range []string{lost, back} {
		if n := strings.Count(program.Stderr(), what); n != 2 {
			t.Errorf("%q was said %d times, want once for each of two outages", what, n)
		}
	}
	if strings.Contains(program.Stderr(), "Dropped") {
		t.Error("spans were dropped")
	}
	stopped(t, program)
}

// TestAPIServerUnreachable has no API server at the start, and loses it in the
// middle of a rollout.
func TestAPIServerUnreachable(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	server := newProxy(t, s.cluster.RESTConfig().Host)
	program := s.runApart("--kubeconfig", s.kubeconfigVia(server))
	const (
		lost = "the API server does not answer; trying again until it does"
		back = "the API server answers again"
	)
	s.says(program, lost)
	server.up()
	s.says(program, back)
	s.watches(program, liveKinds...)

	s.create(app{probe: true, gated: true, life: map[string]string{"pull": "1s", "boot": "1s"}})
	s.eventually("a pull that is on", func() error {
		if have := reasons(s.events()); !slices.Contains(have, "Pulling") {
			return fmt.Errorf("the Events are %v", have)
		}
		return nil
	})
	server.down()
	s.eventually("rollspan notices", func() error {
		if n := strings.Count(program.Stderr(), lost); n != 2 {
			return fmt.Errorf("it said so %d times", n)
		}
		return nil
	})
	s.completeGated(1, "1")
	events := s.events()
	server.up()
	got := s.rollout(1)
	s.eventsOnce(events, got)
	s.hasItsPods(got.ID, s.pods("1"))
	for what, want := range map[string]int{lost: 2, back: 2} {
		if n := strings.Count(program.Stderr(), what); n != want {
			t.Errorf("%q was said %d times, want %d", what, n, want)
		}
	}
	s.collector = s.jaeger
	s.same(s.rollout(1), got)
	stopped(t, program)
}

// kubeconfigVia is rollspan's kubeconfig, but for the server's address.
func (s *space) kubeconfigVia(p *proxy) string {
	s.t.Helper()
	config, err := clientcmd.LoadFromFile(s.kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range config.Clusters {
		u, err := url.Parse(c.Server)
		if err != nil {
			s.t.Fatal(err)
		}
		u.Host = p.address
		c.Server = u.String()
	}
	path := s.dataFile("kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// stopped has a rollspan end as Ctrl-C does, and well.
func stopped(t *testing.T, p interface{ Stop(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// TestWithoutPermissionForPods is about a role that lacks what it takes.
func TestWithoutPermissionForPods(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	program := s.runApart("--kubeconfig", s.roleWithout("pods"))
	s.ends(program.Exited())
	if code := program.ExitCode(); code != 1 {
		t.Errorf("the exit code is %d, want 1", code)
	}
	for _, want := range []string{
		"list, watch pods in namespace " + s.name,
		`- {apiGroups: [""], resources: [pods], verbs: [list, watch]}`,
	} {
		if !strings.Contains(program.Stderr(), want) {
			t.Errorf("rollspan does not say %q:\n%s", want, program.Stderr())
		}
	}
	if strings.Contains(program.Stderr(), "deployments") {
		t.Errorf("rollspan asks for what it has:\n%s", program.Stderr())
	}
}

// TestWithoutPermissionForEvents is about a role that will do.
func TestWithoutPermissionForEvents(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	program := s.runApart("--kubeconfig", s.roleWithout("events"))
	s.watches(program, "deployments", "replicasets", "pods")
	s.says(program, "list, watch events in namespace "+s.name)
	s.create(app{replicas: 2})
	s.complete(1)
	trace := s.rollout(1)
	for _, sp := range trace.Spans {
		if len(sp.Events) > 0 {
			t.Errorf("%s has Events %v, which nobody may read", sp.Name, sp.Events)
		}
	}
	s.hasItsPods(trace.ID, s.pods("1"))
	if n := strings.Count(program.Stderr(), "level=WARN"); n != 1 {
		t.Errorf("rollspan warns %d times, want once", n)
	}
	stopped(t, program)
}

// roleWithout makes a ServiceAccount that may do what rollspan may, but for the
// rule about one resource, and returns a kubeconfig of its own.
func (s *space) roleWithout(resource string) string {
	s.t.Helper()
	ctx := s.t.Context()
	role, err := s.client.RbacV1().ClusterRoles().Get(ctx, "rollspan", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	rules := slices.DeleteFunc(slices.Clone(role.Rules), func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, resource) })
	if len(rules) != len(role.Rules)-1 {
		s.t.Fatalf("of %d rules %d are not about %s", len(role.Rules), len(rules), resource)
	}
	meta := metav1.ObjectMeta{Name: s.name}
	if _, err := s.client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	_, err = s.client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: s.name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: s.name, Namespace: s.name}},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.client.CoreV1().ServiceAccounts(s.name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	path, err := s.cluster.KubeconfigFor(ctx, s.name, s.name, reads)
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

// ends waits for the end of a program.
func (s *space) ends(exited <-chan struct{}) {
	s.t.Helper()
	select {
	case <-exited:
	case <-time.After(patience):
		s.t.Fatalf("rollspan goes on:\n%s", s.program.Stderr())
	}
}

// TestBadKubeconfig is about what nobody should wait for.
func TestBadKubeconfig(t *testing.T) {
	t.Parallel()
	w := theWorldFor(t)
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(broken, []byte("apiVersion: v1\nclusters: {"), 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(t.TempDir(), "absent")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"absent":  {[]string{"--kubeconfig", absent}, "kubeconfig " + absent + ": there is no such file"},
		"broken":  {[]string{"--kubeconfig", broken}, "kubeconfig " + broken + ": "},
		"context": {[]string{"--kubeconfig", w.kubeconfig, "--context", "prod"}, `has no context "prod"; it has: rollspan-test`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, w.binary, append([]string{"run"}, test.args...)...).CombinedOutput()
			if err == nil || ctx.Err() != nil {
				t.Fatalf("rollspan went on: %v\n%s", err, out)
			}
			said := strings.TrimSpace(string(out))
			if last := said[strings.LastIndexByte(said, '\n')+1:]; !strings.HasPrefix(last, "rollspan: ") || !strings.Contains(last, test.want) {
				t.Errorf("rollspan says\n%s\nwant %q", said, test.want)
			}
		})
	}
}

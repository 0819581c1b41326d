//go:build unix

package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rollspan/rollspan/test/controlplane"
)

// web is a Deployment of one pod, whose pods do what the annotations say.
func web(name, image string, annotations map[string]string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
			},
		},
	}
}

// TestStatusOnCluster follows rollouts on a real control plane to each of their ends.
func TestStatusOnCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	cluster := controlplane.StartForTest(t, controlplane.Options{})
	client := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "blind", Namespace: "default"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"list", "watch"}}},
	}
	if _, err := client.RbacV1().Roles("default").Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "blind", Namespace: "default"}}
	if _, err := client.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "blind", Namespace: "default"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "blind", Namespace: "default"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "blind"},
	}
	if _, err := client.RbacV1().RoleBindings("default").Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	blind, err := cluster.KubeconfigFor(t.Context(), "default", "blind", authorizationv1.ResourceAttributes{
		Namespace: "default", Verb: "list", Group: "apps", Resource: "deployments",
	})
	if err != nil {
		t.Fatal(err)
	}
	create := func(t *testing.T, d *appsv1.Deployment) {
		t.Helper()
		if _, err := client.AppsV1().Deployments(d.Namespace).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	unreachable := kubeconfigOf(t, "http://127.0.0.1:1", "c", true) // nobody is there
	never := map[string]string{"kubelet.test/sandbox": "1h"}
	// begin follows, until it has said what is waited for.
	begin := func(t *testing.T, args ...string) *command {
		t.Helper()
		c := start(t, append([]string{"status", "--kubeconfig", cluster.Kubeconfig()}, args...)...)
		until(t, "it to say what is waited for", func() bool { return strings.Contains(c.out.String(), "waits for: ") })
		return c
	}
	says := func(t *testing.T, c *command, code int, words ...string) {
		t.Helper()
		c.ends(t, code)
		for _, w := range words {
			if !strings.Contains(c.out.String()+c.errs.String(), w) {
				t.Errorf("nothing says %q:\n%s\n%s", w, c.out.String(), c.errs.String())
			}
		}
	}

	t.Run("complete", func(t *testing.T) {
		t.Parallel()
		create(t, web("complete", "shop:1", map[string]string{"kubelet.test/pull": "2s"}))
		c := begin(t, "deployment/complete")
		says(t, c, ExitOK, "rollout of revision 1 is complete; it took ", "pull image  pod/complete-", "waits for: 0 of 1 ready")
		// Of one that is complete that is said at once, and its trace is the same.
		again := start(t, "status", "deploy", "complete", "-o", "json", "--kubeconfig", cluster.Kubeconfig())
		again.ends(t, ExitOK)
		var end FollowedJSON
		if err := json.Unmarshal([]byte(again.out.String()), &end); err != nil || end.Outcome != "complete" || end.Change == nil || !end.TraceKnown ||
			!strings.Contains(c.out.String(), "trace "+end.Change.TraceID) {
			t.Errorf("it is %+v, %v; first it was\n%s", end, err, c.out.String())
		}
		// The one after says how long that one took.
		patch := exec.CommandContext(t.Context(), cluster.Kubectl(), "--kubeconfig", cluster.Kubeconfig(), "set", "image", "deployment/complete", "web=shop:2")
		if b, err := patch.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		says(t, begin(t, "deployment/complete"), ExitOK, "The rollout before (revision 1) took ", "rollout of revision 2 is complete; it took ", ", the one before ")
	})
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		d := web("failed", "web:missing", nil)
		d.Spec.ProgressDeadlineSeconds, d.Spec.MinReadySeconds = new(int32(15)), 1
		create(t, d)
		says(t, start(t, "status", "deployment/failed", "--kubeconfig", cluster.Kubeconfig()), 2, "rollout of revision 1 has failed: ", "ImagePull", "progress deadline of 15s exceeded")
	})
	t.Run("a Job that has failed", func(t *testing.T) {
		t.Parallel()
		job := &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: "failed", Namespace: "default"},
			Spec: batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kubelet.test/exit-code": "3"}},
				Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "load", Image: "load:1"}}},
			}},
		}
		if _, err := client.BatchV1().Jobs("default").Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		says(t, start(t, "status", "job/failed", "--kubeconfig", cluster.Kubeconfig()), 2, "has failed: ", "BackoffLimitExceeded")
	})
	t.Run("superseded", func(t *testing.T) {
		t.Parallel()
		create(t, web("superseded", "web:1", never))
		c := begin(t, "deployment/superseded")
		patch := exec.CommandContext(t.Context(), cluster.Kubectl(), "--kubeconfig", cluster.Kubeconfig(), "set", "image", "deployment/superseded", "web=web:2")
		if b, err := patch.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		says(t, c, 4, "rollout of revision 1 is superseded: the pod template was changed")
	})
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		create(t, web("deleted", "web:1", never))
		c := begin(t, "deployment/deleted")
		if err := client.AppsV1().Deployments("default").Delete(t.Context(), "deleted", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		says(t, c, 6, "deployment/deleted in namespace default was deleted")
	})
	t.Run("doomed", func(t *testing.T) {
		t.Parallel()
		create(t, web("unpullable", "web:nope", map[string]string{"kubelet.test/back-off": "100ms"}))
		says(t, start(t, "status", "deployment/unpullable", "--fail-fast", "--kubeconfig", cluster.Kubeconfig()), 5, "rollout of revision 1 is doomed: pod unpullable-", " pulls found no such image")
		crashing := web("crashing", "web:1", map[string]string{"kubelet.test/back-off": "200ms", "kubelet.test/run": "100ms", "kubelet.test/exit-code": "3"})
		crashing.Spec.MinReadySeconds, crashing.Spec.ProgressDeadlineSeconds = 3600, new(int32(7200))
		create(t, crashing)
		says(t, start(t, "status", "deployment/crashing", "--fail-fast", "--kubeconfig", cluster.Kubeconfig()), 5, "container web crashed 5 times with exit code 3 (CrashLoopBackOff)")
	})
	t.Run("timed out", func(t *testing.T) {
		t.Parallel()
		create(t, web("slow", "web:1", never))
		says(t, start(t, "status", "deployment/slow", "--timeout", "10s", "--kubeconfig", cluster.Kubeconfig()), 3, " is not complete", "(--timeout 10s)")
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		create(t, web("waiting", "web:1", never))
		c := begin(t, "deployment/waiting")
		c.send(t, os.Interrupt)
		says(t, c, 130, "rollout of revision 1 goes on; it waits for: 0 of 1 ready")
		c = begin(t, "deployment/waiting")
		c.send(t, syscall.SIGTERM)
		says(t, c, 143, " goes on; it waits for: ")
	})
	for name, test := range map[string]struct {
		args  []string
		words string
	}{
		"a kind that does not exist":  {[]string{"gizmo/web"}, `"gizmo" is not a kind that can be asked about`},
		"a kind without rollouts":     {[]string{"pod/web"}, `"pod/web" has no rollouts that can be followed`},
		"an object that is not there": {[]string{"deployment/nobody"}, "there is no deployment/nobody in namespace default; of the kind Deployment there is "},
		"no permission":               {[]string{"deployment/complete", "--kubeconfig", blind}, "list, watch pods in namespace default"},
		"as somebody else":            {[]string{"deployment/complete", "--as", "nobody", "--as-group", "system:authenticated"}, "list, watch deployments.apps in namespace default"},
		"an API server that is away":  {[]string{"deployment/complete", "--kubeconfig", unreachable}, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"status"}
			if !strings.Contains(strings.Join(test.args, " "), "--kubeconfig") {
				args = append(args, "--kubeconfig", cluster.Kubeconfig())
			}
			says(t, start(t, append(args, test.args...)...), ExitError, test.words)
		})
	}
	t.Run("completion", func(t *testing.T) {
		t.Parallel()
		create(t, web("to-complete", "web:1", nil))
		for _, test := range []struct{ args, want []string }{
			{[]string{"status", "dep"}, []string{"deployment/"}},
			{[]string{"why", "cron"}, []string{"cronjob/"}},
			{[]string{"status", "cron"}, nil},
			{[]string{"status", "--kubeconfig", cluster.Kubeconfig(), "deploy/to-c"}, []string{"deploy/to-complete"}},
			{[]string{"history", "--kubeconfig", cluster.Kubeconfig(), "deployments", "to-c"}, []string{"to-complete"}},
			{[]string{"why", "--kubeconfig", cluster.Kubeconfig(), "-n", "kube-s"}, []string{"kube-system"}},
			{[]string{"status", "--kubeconfig", cluster.Kubeconfig(), "-n", "kube-system", "deploy/to-c"}, nil},
			{[]string{"status", "--kubeconfig", unreachable, "deploy/to-c"}, nil},
		} {
			c := start(t, append([]string{"__complete"}, test.args...)...)
			c.ends(t, ExitOK)
			got := strings.Fields(strings.TrimSpace(c.out.String()))
			got = got[:max(len(got)-1, 0)] // the directive
			if strings.Join(got, " ") != strings.Join(test.want, " ") {
				t.Errorf("%v is completed by %q, want %q\n%s", test.args, got, test.want, c.errs.String())
			}
		}
	})
}

//go:build unix

package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestMain lets the test binary be rollspan, see start.
func TestMain(m *testing.M) {
	standard := Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	switch os.Getenv(asProgram) {
	case "":
		os.Exit(m.Run())
	case spinning:
		os.Exit(spin(standard))
	}
	code := Process(os.Args[1:], standard)
	if to := os.Getenv(asProgramStatus); to != "" {
		if err := copyFile("/proc/self/status", to); err != nil {
			panic(err)
		}
	}
	os.Exit(code)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

const (
	asProgram = "ROLLSPAN_TEST_AS_PROGRAM"
	// asProgramStatus names a file for what the kernel says of the program at its end.
	asProgramStatus = "ROLLSPAN_TEST_STATUS"
)

// command is a rollspan that runs beside the test. It is a process of its own,
// because it sets the loggers of client-go, which the cluster's kubelet in
// this process uses.
type command struct {
	out, errs printed
	cmd       *exec.Cmd
}

func start(t *testing.T, args ...string) *command {
	t.Helper()
	return startAs(t, "rollspan", nil, args...)
}

// startAs starts the program that TestMain knows by a name. What it prints is kept
// unless it goes elsewhere.
func startAs(t *testing.T, program string, out *os.File, args ...string) *command {
	t.Helper()
	c := &command{cmd: exec.CommandContext(t.Context(), os.Args[0], args...)}
	c.cmd.Env = append(os.Environ(), asProgram+"="+program)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.errs
	if out != nil {
		c.cmd.Stdout = out
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// A rollout in a real cluster, watched with exactly the rights that config/
// grants and recorded at the same time: the replay gives the same spans.
func TestClusterRunAndRecord(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	cluster := controlplane.StartForTest(t, controlplane.Options{})
	install := exec.CommandContext(t.Context(), cluster.Kubectl(), "--kubeconfig", cluster.Kubeconfig(), "apply", "-k", "../../config/default")
	if b, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	client := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
	until(t, "the rollout of the manifests, which is not what is tested here", func() bool {
		d, err := client.AppsV1().Deployments("rollspan").Get(t.Context(), "rollspan", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 1
	})
	kubeconfig, err := cluster.KubeconfigFor(t.Context(), "rollspan", "rollspan",
		authorizationv1.ResourceAttributes{Verb: "list", Group: appsv1.GroupName, Resource: "deployments"})
	if err != nil {
		t.Fatal(err)
	}

	// How much later than the other one of the two processes may see something.
	const settle = "10s"
	file := filepath.Join(t.TempDir(), "recording.jsonl")
	run := start(t, "run", "--kubeconfig", kubeconfig, "-o", "otlp-json", "--settle", settle, "--log-level", "debug")
	record := start(t, "record", "--kubeconfig", kubeconfig, "-o", file, "--log-level", "debug")
	// All that config/rbac grants; record does without Namespaces there.
	const kinds = 13
	for name, c := range map[string]*command{"run": run, "record": record} {
		until(t, name+" to have listed all", func() bool {
			return strings.Count(c.errs.String(), "first list is through") == kinds
		})
	}

	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "web", Image: "example/web:1", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "s3cret"}},
				}}},
			},
		},
	}
	if _, err := client.AppsV1().Deployments("default").Create(t.Context(), deployment, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the rollout's trace", func() bool { return len(spansOf(t, run.out.String())) > 0 })
	versions := versionsIn(t, client, deployment.Namespace)
	until(t, "all of it to be recorded, too", func() bool { return recorded(t, file, versions) })
	record.send(t, os.Interrupt)
	record.ends(t, ExitOK)
	run.send(t, syscall.SIGTERM)
	run.ends(t, ExitOK)

	recording, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(recording, []byte("s3cret")) || !bytes.Contains(recording, []byte("redacted:")) {
		t.Error("the recording holds the value of an environment variable")
	}
	if !strings.Contains(record.errs.String(), "not recorded: namespaces") {
		t.Errorf("nothing is said of the kinds that may not be read:\n%s", record.errs.String())
	}
	replay := start(t, "replay", "-o", "otlp-json", "--settle", settle, file)
	if err := replay.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, replay.errs.String())
	}
	live, again := spansOf(t, run.out.String()), spansOf(t, replay.out.String())
	// Not compared: times, and what came too late. The two watched through
	// connections of their own, so what they saw did not arrive at the same time.
	for id, name := range live {
		if again[id] != name && name != "late events" {
			t.Errorf("live span %s %q is %q in the replay", id, name, again[id])
		}
	}
	if names := slices.Collect(maps.Values(live)); !slices.Contains(names, "Deployment rollout default/web") || !slices.Contains(names, "Pod start") {
		t.Errorf("live spans: %q", names)
	}
}

// versionsIn returns the resource versions of what a rollout in a namespace is told
// from.
func versionsIn(t *testing.T, client kubernetes.Interface, namespace string) (versions []string) {
	t.Helper()
	add := func(list runtime.Object, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		err = meta.EachListItem(list, func(o runtime.Object) error {
			m, err := meta.Accessor(o)
			if err == nil {
				versions = append(versions, m.GetResourceVersion())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var all metav1.ListOptions
	deployments, err := client.AppsV1().Deployments(namespace).List(t.Context(), all)
	add(deployments, err)
	replicaSets, err := client.AppsV1().ReplicaSets(namespace).List(t.Context(), all)
	add(replicaSets, err)
	pods, err := client.CoreV1().Pods(namespace).List(t.Context(), all)
	add(pods, err)
	events, err := client.CoreV1().Events(namespace).List(t.Context(), all)
	add(events, err)
	return versions
}

// recorded says whether a recording has objects in all these versions.
func recorded(t *testing.T, file string, versions []string) bool {
	t.Helper()
	recording, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(versions, func(v string) bool {
		return !bytes.Contains(recording, []byte(`"resourceVersion":"`+v+`"`))
	})
}

// spansOf returns the names of the spans of the Deployment web in OTLP JSON
// lines, by trace and span ID. A line that is not whole yet is left out.
func spansOf(t *testing.T, lines string) map[string]string {
	t.Helper()
	names := map[string]string{}
	for line := range strings.Lines(lines) {
		var request struct {
			ResourceSpans []struct {
				ScopeSpans []struct {
					Spans []struct{ TraceID, SpanID, Name string }
				}
			}
		}
		if !strings.HasSuffix(line, "\n") || !strings.Contains(line, `{"stringValue":"web"}`) {
			continue
		}
		if err := json.Unmarshal([]byte(line), &request); err != nil {
			t.Fatal(err)
		}
		for _, r := range request.ResourceSpans {
			for _, s := range r.ScopeSpans {
				for _, span := range s.Spans {
					names[span.TraceID+"/"+span.SpanID] = span.Name
				}
			}
		}
	}
	return names
}

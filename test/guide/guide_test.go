package guide

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"

	"github.com/rollspan/rollspan/test/child"
	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// patience is how long a reader waits for what must come.
const patience = 5 * time.Minute

// A reader types what documents show.
type reader struct {
	t       *testing.T
	cluster *controlplane.ControlPlane
	jaeger  *controlplane.Jaeger
	client  kubernetes.Interface
	// checkout is the copy that the reader stands in, and env what the shell has.
	checkout string
	env      []string
	// installed is the last command that installed a release.
	installed string
}

// TestEachCommand runs what the documents show, from README.md on.
func TestEachCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a cluster")
	}
	if runtime.GOOS == "windows" {
		t.Skip("the documents are for a shell")
	}
	r := newReader(t)
	// client-go would log each request that the played kubelets give up because their pod is gone.
	klog.SetLogger(logr.Discard())
	used := make([]int, len(ways))
	began, ran, shown := "", 0, 0
	for _, document := range documents(t, r.checkout) {
		all := commands(t, r.checkout, document)
		if len(all) == 0 {
			continue
		}
		shown++
		t.Run(strings.TrimSuffix(document, ".md"), func(t *testing.T) {
			r.t = t
			ran++
			// The pages of the reference go on with what is there, and the examples bring what they
			// need.
			switch story := filepath.Dir(document); {
			case began == "" || document == "docs/guide.md":
				r.begin()
				began = story
			case story != began:
				r.clean()
				began = story
			}
			for _, c := range all {
				i := slices.IndexFunc(ways, func(w way) bool {
					return w.what.MatchString(c.text) && (w.document == "" || w.document == c.document)
				})
				if i < 0 {
					r.runs(c)
					continue
				}
				used[i]++
				if do := ways[i].do; do != nil {
					do(r, c)
				}
			}
		})
	}
	for i, n := range used {
		if n == 0 && ran == shown { // and -run left none out
			t.Errorf("no document has a command %s %s", ways[i].what, ways[i].document)
		}
	}
}

// TestOtherPlaces has each test be there that is said to run a command.
func TestOtherPlaces(t *testing.T) {
	root, err := harness.Checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range ways {
		if w.test == "" {
			continue
		}
		folder, name, _ := strings.Cut(w.test, ":")
		files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(file string) bool {
			content, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(content), "func "+name+"(t *testing.T)")
		}) {
			t.Errorf("there is no test %s", w.test)
		}
	}
}

func newReader(t *testing.T) *reader {
	t.Helper()
	for _, tool := range controlplane.Tools() {
		if _, err := tool.Build(t.Context(), os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	r := &reader{t: t, checkout: checkout(t)}
	if _, err := harness.Build(t.Context(), filepath.Join(r.checkout, "bin")); err != nil {
		t.Fatal(err)
	}
	r.cluster = controlplane.StartForTest(t, controlplane.Options{})
	r.jaeger = controlplane.StartJaegerForTest(t, controlplane.Options{})
	r.client = kubernetes.NewForConfigOrDie(r.cluster.RESTConfig())

	// The programs that the documents name, as the reader's shell finds them.
	bin, home := t.TempDir(), t.TempDir()
	collector, err := controlplane.Collector.Build(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	helm, err := controlplane.Helm.Build(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// A Collector that starts would need the backends of the examples: it says whether it would.
	script := fmt.Sprintf("#!/bin/sh\nexec %q validate \"$@\"\n", filepath.Join(collector, "collector"))
	if err := errors.Join(
		os.WriteFile(filepath.Join(bin, "otelcol-contrib"), []byte(script), 0o755),
		os.Symlink(filepath.Join(helm, "helm"), filepath.Join(bin, "helm")),
		os.Symlink(r.cluster.Kubectl(), filepath.Join(bin, "kubectl")),
		os.Symlink(filepath.Join(r.checkout, "bin", "rollspan"), filepath.Join(bin, "rollspan")),
	); err != nil {
		t.Fatal(err)
	}
	r.env = append(harness.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "KUBECONFIG="+r.cluster.Kubeconfig(),
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home,
		"TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		// One platform is enough, and the demonstration need not be watched.
		"PLATFORMS=linux/"+runtime.GOARCH, "DEMO_ARGS=--speed 100 --settle 1s --ui-address=")
	crds := controlplane.MonitoringForTest(t)
	for _, plural := range []string{"servicemonitors", "podmonitors", "prometheusrules"} {
		r.shell("kubectl apply --server-side -f " + filepath.Join(crds, "monitoring.coreos.com_"+plural+".yaml"))
	}
	r.shell("kubectl wait --for condition=Established --all crd")
	return r
}

// checkout copies what git has of this one, or would have.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := harness.Checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "rollspan")
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not yet committed
		}
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// volumes are there for whoever claims one, as the cluster has nobody to make them.
const volumes = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
---
apiVersion: v1
kind: PersistentVolume
metadata: {generateName: volume-}
spec: {capacity: {storage: 10Gi}, accessModes: [ReadWriteOnce], storageClassName: standard, hostPath: {path: /tmp/volume}}
`

// begin has the cluster be as a document takes for given: with a Deployment web in the namespace
// shop and in that of the context, and without rollspan.
func (r *reader) begin() {
	r.t.Helper()
	r.clean()
	r.shell(`kubectl delete namespace observability shop --ignore-not-found --wait
for namespace in observability shop; do kubectl create namespace $namespace; done
for namespace in default shop; do
  kubectl -n $namespace delete deployment web --ignore-not-found --wait
  kubectl -n $namespace create deployment web --image=registry/web:1
done
cat > web.yaml <<END
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {app: web}},
 template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "registry/web:1"}]}}}}
END
kubectl -n shop rollout status deployment/web
cp test/recordings/slow-image-pull.jsonl rollout.jsonl
kubectl get deployments,replicasets,pods,events -n shop -o json > support-bundle.json
tar czf support-bundle.tar.gz support-bundle.json`)
	cert, key, err := certutil.GenerateSelfSignedCertKey("prod-eu", nil, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for name, content := range map[string][]byte{"prod-eu.crt": cert, "prod-eu.key": key, "ca.crt": cert} {
		if err := os.WriteFile(filepath.Join(r.checkout, name), content, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	if r.installed == "" {
		r.shell("kubectl create -f - <<END\n" + volumes + strings.Repeat("---\n"+volumes[strings.Index(volumes, "---\n")+4:], 7) + "END")
	}
	r.installed = "helm install rollspan deploy/helm/rollspan --namespace rollspan --create-namespace"
}

// clean takes away what an installation made, whatever made that.
func (r *reader) clean() {
	r.t.Helper()
	r.shell(`helm uninstall rollspan --namespace rollspan --ignore-not-found --wait
kubectl delete namespace rollspan --ignore-not-found --wait
kubectl delete clusterrole,clusterrolebinding --ignore-not-found rollspan rollspan-owners`)
}

// runs has a shell run a command, which must do well.
func (r *reader) runs(c command) string {
	r.t.Helper()
	out, err := r.bash(r.checkout, c.text)
	if err != nil {
		r.t.Errorf("%s:%d: %s\n%v", c.document, c.line, c.text, err)
	}
	return out
}

// shell runs what the test itself needs.
func (r *reader) shell(text string) string {
	r.t.Helper()
	out, err := r.bash(r.checkout, text)
	if err != nil {
		r.t.Fatalf("%s\n%v", text, err)
	}
	return out
}

func (r *reader) bash(dir, text string) (string, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := r.command(ctx, text)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return child.Kill(cmd.Process) }
	err := child.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, &out)
	}
	return out.String(), nil
}

func (r *reader) command(ctx context.Context, text string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", r.here(text))
	cmd.Env = r.env
	return cmd
}

// here has a command mean this machine's Jaeger where it says the reader's, and a page be at a
// port that is free.
func (r *reader) here(text string) string {
	return strings.NewReplacer("http://localhost:4317", r.jaeger.OTLPGRPC(), "http://collector:4317", r.jaeger.OTLPGRPC(),
		"--ui-address 127.0.0.1:7655", "--ui-address 127.0.0.1:0", "rollspan ui ", "rollspan ui --ui-address 127.0.0.1:0 ").Replace(text)
}

// anew runs what installs rollspan where it is not yet, and has its pods come.
func (r *reader) anew(c command) {
	r.t.Helper()
	if r.shell("kubectl -n rollspan get deployment/rollspan --ignore-not-found") != "" {
		r.clean()
	}
	if strings.HasPrefix(c.text, "helm ") {
		r.installed = c.text
	}
	r.runs(c)
	r.comes(c)
}

// present installs rollspan if it is not there, as a page of the reference takes it for given.
func (r *reader) present() {
	r.t.Helper()
	if r.shell("kubectl -n rollspan get deployment/rollspan --ignore-not-found") == "" {
		r.clean()
		r.shell(r.installed)
	}
}

// withRollspan runs what is for a cluster in which rollspan is.
func (r *reader) withRollspan(c command) {
	r.t.Helper()
	r.present()
	r.runs(c)
}

// after runs what takes something for given, behind what has that so.
func after(given string) func(*reader, command) {
	return func(r *reader, c command) {
		r.t.Helper()
		r.shell(given)
		r.runs(c)
	}
}

// onRelease runs what is for a release that is there.
func (r *reader) onRelease(c command) {
	r.t.Helper()
	if r.shell("helm list --namespace rollspan --short") == "" {
		r.clean()
		r.shell(r.installed)
	}
	r.runs(c)
	if !strings.HasPrefix(c.text, "helm uninstall") {
		r.comes(c)
	}
}

// comes waits until what was installed is there.
func (r *reader) comes(c command) {
	r.t.Helper()
	if _, err := r.bash(r.checkout, "kubectl -n rollspan rollout status deployment/rollspan"); err != nil {
		r.t.Errorf("%s:%d: %s\nbrings no pod: %v", c.document, c.line, c.text, err)
	}
}

func (r *reader) withoutNamespace(c command) {
	r.t.Helper()
	r.shell("kubectl delete --ignore-not-found --wait namespace " + c.text[strings.LastIndex(c.text, " "):])
	r.runs(c)
}

func (r *reader) inItsFolder(c command) {
	r.t.Helper()
	if _, err := r.bash(filepath.Join(r.checkout, filepath.Dir(c.document)), c.text); err != nil {
		r.t.Errorf("%s:%d: %s\n%v", c.document, c.line, c.text, err)
	}
}

// inPod runs rollspan as in the pod: with its rights, and with its variables, but for a name that
// only a cluster's DNS knows.
func (r *reader) inPod(c command) {
	r.t.Helper()
	r.present()
	d, err := r.client.AppsV1().Deployments("rollspan").Get(r.t.Context(), "rollspan", metav1.GetOptions{})
	if err != nil {
		r.t.Fatalf("%s:%d: %v", c.document, c.line, err)
	}
	kubeconfig, err := r.cluster.KubeconfigFor(r.t.Context(), d.Namespace, d.Spec.Template.Spec.ServiceAccountName)
	if err != nil {
		r.t.Fatal(err)
	}
	text := []string{"env"}
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		if e.Name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
			e.Value = r.reachable(e.Value)
		}
		text = append(text, fmt.Sprintf("%s=%q", e.Name, e.Value))
	}
	_, flags, _ := strings.Cut(c.text, " -- /")
	text = append(text, flags, "--kubeconfig", kubeconfig, "--leader-elect-namespace", d.Namespace)
	c.text = strings.Join(text, " ")
	r.runs(c)
}

// reachable is this machine's Jaeger in the place of a collector that a Service of the cluster
// has to be, or that the examples say is there.
func (r *reader) reachable(endpoint string) string {
	r.t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		r.t.Fatal(err)
	}
	service, namespace, _ := strings.Cut(strings.TrimSuffix(u.Hostname(), ".svc"), ".")
	if namespace == "" {
		namespace = "rollspan"
	}
	if _, err := r.client.CoreV1().Services(namespace).Get(r.t.Context(), service, metav1.GetOptions{}); err != nil && namespace != "observability" {
		r.t.Errorf("nothing is at %s: %v", endpoint, err)
	}
	return r.jaeger.OTLPGRPC()
}

var forwarded = regexp.MustCompile(`kubectl -n (\S+) port-forward (service|deployment)/(\S+) (\d+)$`)

// forwards has what is forwarded to be there, and listen.
func (r *reader) forwards(c command) {
	r.t.Helper()
	m := forwarded.FindStringSubmatch(c.text)
	if m == nil {
		r.t.Fatalf("%s:%d: %s: nobody can tell what that forwards to", c.document, c.line, c.text)
	}
	r.present()
	if m[4] == "7655" {
		r.shell("helm upgrade rollspan deploy/helm/rollspan --namespace rollspan --reset-then-reuse-values --set ui.enabled=true")
	}
	object := r.shell(fmt.Sprintf("kubectl -n %s get %s/%s -o json", m[1], m[2], m[3]))
	listens := strings.Contains(object, `"port": `+m[4])
	if m[2] == "deployment" {
		var d appsv1.Deployment
		if err := json.Unmarshal([]byte(object), &d); err != nil {
			r.t.Fatal(err)
		}
		listens = strings.Contains(strings.Join(d.Spec.Template.Spec.Containers[0].Args, " "), "-address=127.0.0.1:"+m[4])
	}
	if !listens {
		r.t.Errorf("%s:%d: %s: nothing is at that port of\n%s", c.document, c.line, c.text, object)
	}
}

// until runs a command until it has said something, and then as Ctrl-C has it end.
func (r *reader) until(c command, said string, then func() error) {
	r.t.Helper()
	p, err := harness.StartIn(r.env, "bash", nil, "-c", "cd \"$0\" && exec "+r.here(c.text), r.checkout)
	if err != nil {
		r.t.Fatal(err)
	}
	defer p.Kill()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	wait := time.NewTicker(50 * time.Millisecond)
	defer wait.Stop()
	for !strings.Contains(p.Stderr(), said) || then() != nil {
		select {
		case <-p.Exited():
			r.t.Fatalf("%s:%d: %s\nended with code %d:\n%s", c.document, c.line, c.text, p.ExitCode(), p.Stderr())
		case <-ctx.Done():
			r.t.Fatalf("%s:%d: %s\nsaid no %q, but\n%s", c.document, c.line, c.text, said, p.Stderr())
		case <-wait.C:
		}
	}
	if err := p.Stop(ctx); err != nil {
		r.t.Errorf("%s:%d: %s\n%v\n%s", c.document, c.line, c.text, err, p.Stderr())
	}
}

func (r *reader) untilWatching(c command) {
	r.t.Helper()
	r.until(c, "watching;", func() error { return nil })
}

func (r *reader) untilServed(c command) {
	r.t.Helper()
	r.until(c, "http://127.0.0.1:", func() error { return nil })
}

// faster has the demonstration not take its time.
func (r *reader) faster(c command) {
	r.t.Helper()
	c.text += " --speed 100"
	r.runs(c)
}

// untilRecorded ends a recording when it has something in it.
func (r *reader) untilRecorded(c command) {
	r.t.Helper()
	r.shell("rm rollout.jsonl")
	r.until(c, "", func() error {
		content, err := os.ReadFile(filepath.Join(r.checkout, "rollout.jsonl"))
		if err == nil && !strings.Contains(string(content), `"kind":"Pod"`) {
			err = errors.New("no pod yet")
		}
		return err
	})
}

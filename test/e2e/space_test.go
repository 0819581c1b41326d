package e2e

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/controlplane/kubelet"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// patience is how long tests wait for what must come. It is only for what never
// does: on a busy machine most things take many times as long.
const patience = 5 * time.Minute

// A space is a test's namespace, with all that the test needs to know of the
// rollspan that watches it.
type space struct {
	*world
	t    *testing.T
	name string
	// program watches the namespace, and sends to collector.
	program   *harness.Program
	collector *controlplane.Jaeger

	mu    sync.Mutex
	lives map[string]podLife // by UID
}

// newSpace makes a namespace that the common rollspan watches.
func newSpace(t *testing.T) *space {
	t.Helper()
	w := theWorldFor(t)
	// With -count a test comes again.
	name := fmt.Sprintf("%s-%d", strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), w.spaces.Add(1))
	s := &space{world: w, t: t, name: name, program: w.watching, collector: w.jaeger, lives: map[string]podLife{}}
	_, err := w.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("default ServiceAccount", func() error {
		_, err := w.client.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	t.Cleanup(func() {
		if t.Failed() {
			s.explain()
		}
	})
	s.watchPods()
	if dir := os.Getenv(recordEnv); dir != "" {
		recorder := s.start(nil, "record", "-n", name, "-o", filepath.Join(dir, name+".jsonl"),
			"--kubeconfig", w.cluster.Kubeconfig(), "--log-level", "debug")
		s.watches(recorder, liveKinds...)
	}
	return s
}

// recordEnv names the environment variable that says where to keep a recording
// of each test's namespace: what a test found can then be replayed.
const recordEnv = "ROLLSPAN_E2E_RECORD"

// explain logs what a failure can be understood from.
func (s *space) explain() {
	if s.program != nil {
		s.t.Logf("rollspan said:\n%s", s.program.Stderr())
	}
	traces, err := s.traces("")
	if err != nil {
		s.t.Logf("Jaeger cannot be asked: %v", err)
	}
	for i := range traces {
		s.t.Log("\n" + text(&traces[i]))
	}
}

func text(t *trace) string {
	var b strings.Builder
	if err := harness.WriteTree(&b, t); err != nil {
		fmt.Fprintf(&b, "trace %s: %v", t.ID, err)
	}
	return b.String()
}

// start runs rollspan, which ends with the test.
func (s *space) start(stdout io.Writer, args ...string) *harness.Program {
	s.t.Helper()
	p, err := harness.Start(s.binary, stdout, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	return p
}

// runApart starts a rollspan that watches only this namespace, and sends to the
// Jaeger for such. From then on the test asks that one.
func (s *space) runApart(args ...string) *harness.Program {
	s.t.Helper()
	s.collector = s.apart
	if !slices.Contains(args, "--kubeconfig") {
		args = append(args, "--kubeconfig", s.kubeconfig)
	}
	if !slices.Contains(args, "--otlp-endpoint") {
		args = append(args, "--otlp-endpoint", s.apart.OTLPGRPC())
	}
	if !slices.Contains(args, "--settle") {
		args = append(args, "--settle", settle)
	}
	s.program = s.start(nil, append([]string{"run", "-n", s.name, "--cluster-name", clusterName, "--log-level", "debug"}, args...)...)
	return s.program
}

// watches waits until a rollspan with --log-level=debug has listed everything
// for the first time.
func (s *space) watches(p *harness.Program, kinds ...string) {
	s.t.Helper()
	for _, kind := range kinds {
		s.says(p, fmt.Sprintf(`"first list is through" of=%q`, kind+" in namespace "+s.name))
	}
}

// liveKinds are what a run reads.
var liveKinds = []string{"deployments", "replicasets", "pods", "events"}

// says waits until a rollspan has written that.
func (s *space) says(p *harness.Program, what string) {
	s.t.Helper()
	s.eventually("rollspan says "+strconv.Quote(what), func() error {
		said := p.Stderr()
		if strings.Contains(said, what) {
			return nil
		}
		select {
		case <-p.Exited():
			return final{fmt.Errorf("rollspan ended with code %d and said:\n%s", p.ExitCode(), said)}
		default:
			return fmt.Errorf("it said:\n%s", said)
		}
	})
}

// eventually waits for check to succeed.
func (s *space) eventually(what string, check func() error) {
	s.t.Helper()
	if err := poll(s.t.Context(), patience, check); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// kubectlRun runs kubectl in the namespace.
func (s *space) kubectlRun(args ...string) {
	s.t.Helper()
	if err := s.kubectl(s.t.Context(), append([]string{"-n", s.name}, args...)...); err != nil {
		s.t.Fatal(err)
	}
}

// image is one that only this test uses, so that it has to be pulled.
func (s *space) image(tag string) string { return "registry.test/" + s.name + ":" + tag }

// An app describes a workload "app" whose pods have one container "web".
type app struct {
	replicas int32 // default 1
	// life are annotations for the kubelets, without their prefix.
	life     map[string]string
	probe    bool
	migrate  bool // with an init container
	minReady int32
	// quick lets a rollout replace all pods at once.
	quick bool
	// gated holds pods back until open lets them be ready.
	gated bool
	// nodes are those that the pods may run on; none are those of all tests.
	nodes []string
	// policy is Never or OnFailure for what ends by itself.
	policy corev1.RestartPolicy
	// adjust is for what only one test has.
	adjust func(*corev1.PodSpec)
	owner  *metav1.OwnerReference
	// annotations are the workload's.
	annotations map[string]string
}

const (
	appName   = "app"
	creator   = "e2e"
	container = "web"
)

var (
	appLabels   = map[string]string{"app": appName}
	appSelector = &metav1.LabelSelector{MatchLabels: appLabels}
	asCreator   = metav1.CreateOptions{FieldManager: creator}
)

// meta is the workload's.
func (a app) meta() metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Name: appName, Annotations: a.annotations}
	if a.owner != nil {
		meta.OwnerReferences = []metav1.OwnerReference{*a.owner}
	}
	return meta
}

// template is the workload's, with the image tagged 1.
func (s *space) template(a app) corev1.PodTemplateSpec {
	annotations := map[string]string{}
	for k, v := range a.life {
		annotations[kubelet.Prefix+k] = v
	}
	pod := corev1.PodSpec{
		RestartPolicy: a.policy,
		Containers:    []corev1.Container{{Name: container, Image: s.image("1"), ImagePullPolicy: corev1.PullAlways}},
	}
	if a.probe {
		pod.Containers[0].ReadinessProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80)}},
			PeriodSeconds: 1,
		}
	}
	if a.migrate {
		pod.InitContainers = []corev1.Container{{Name: "migrate", Image: s.image("migrate"), ImagePullPolicy: corev1.PullAlways}}
	}
	if a.gated {
		pod.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: gate}}
	}
	if len(a.nodes) > 0 {
		controlplane.RunOn(&pod, a.nodes...)
	}
	if a.adjust != nil {
		a.adjust(&pod)
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: appLabels, Annotations: annotations}, Spec: pod}
}

// created fails the test if something could not be created.
func created[T any](s *space, object T, err error) T {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return object
}

// create makes a Deployment.
func (s *space) create(a app) *appsv1.Deployment {
	s.t.Helper()
	replicas, one, none := cmp.Or(a.replicas, 1), intstr.FromInt32(1), intstr.FromInt32(0)
	d := &appsv1.Deployment{
		ObjectMeta: a.meta(),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: appSelector, Template: s.template(a), MinReadySeconds: a.minReady,
			Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &one, MaxUnavailable: &none}},
		},
	}
	if a.quick {
		all := intstr.FromString("100%")
		d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &all, MaxUnavailable: &none}
	}
	d, err := s.client.AppsV1().Deployments(s.name).Create(s.t.Context(), d, asCreator)
	return created(s, d, err)
}

// update gives the Deployment the image with another tag.
func (s *space) update(tag string) {
	s.t.Helper()
	s.kubectlRun("set", "image", "deployment/"+appName, container+"="+s.image(tag))
}

// deployment waits until the Deployment is as wanted.
func (s *space) deployment(what string, wanted func(*appsv1.Deployment) bool) {
	s.t.Helper()
	s.eventually("Deployment "+what, func() error {
		d, err := s.client.AppsV1().Deployments(s.name).Get(s.t.Context(), appName, metav1.GetOptions{})
		if err == nil && !wanted(d) {
			err = fmt.Errorf("status %+v", d.Status)
		}
		return err
	})
}

// complete waits until kubectl rollout status would call the revision rolled
// out.
func (s *space) complete(revision int64) {
	s.t.Helper()
	s.deployment(fmt.Sprintf("complete at revision %d", revision), func(d *appsv1.Deployment) bool {
		return isRolledOut(d, revision)
	})
}

func isRolledOut(d *appsv1.Deployment, revision int64) bool {
	st := d.Status
	return d.Annotations["deployment.kubernetes.io/revision"] == strconv.FormatInt(revision, 10) &&
		st.ObservedGeneration >= d.Generation && st.UpdatedReplicas == *d.Spec.Replicas &&
		st.Replicas == st.UpdatedReplicas && st.AvailableReplicas == st.UpdatedReplicas
}

// pods are the pods with the image that has this tag.
func (s *space) pods(tag string) []corev1.Pod {
	s.t.Helper()
	list, err := s.client.CoreV1().Pods(s.name).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.Spec.Containers[0].Image != s.image(tag) })
}

// events are the namespace's Events.
func (s *space) events() []corev1.Event {
	s.t.Helper()
	list, err := s.client.CoreV1().Events(s.name).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// traces are what the collector has of the namespace whose root has that name;
// without a name they are all.
func (s *space) traces(name string) ([]trace, error) {
	return s.search(name, map[string]string{"k8s.namespace.name": s.name})
}

// whole is what the collector has of a trace.
func (s *space) whole(ctx context.Context, id string) (trace, error) {
	t, err := s.collector.Trace(ctx, id)
	nameByKinds(&t)
	return t, err
}

// nameByKinds leaves out of the names of roots whose change they tell of, so that what
// is to be found can be named before there is a namespace for it. TestCreated looks at
// the names themselves.
func nameByKinds(t *trace) {
	for i := range t.Spans {
		t.Spans[i].Name = harness.NameOfKind(&t.Spans[i])
	}
}

// changeOf is the attribute that roots of a name have.
func changeOf(name string) string {
	switch name {
	case jobRun:
		return "job"
	case "", inProgress:
		return ""
	}
	_, verb, _ := strings.Cut(name, " ")
	return verb
}

// search finds traces by the root's name and tags.
func (s *space) search(name string, tags map[string]string) ([]trace, error) {
	// Without the test's context, which is over when its failure is explained.
	ctx := context.WithoutCancel(s.t.Context())
	services := places[name].services
	if len(services) == 0 {
		var err error
		if services, err = s.collector.Services(ctx); err != nil {
			return nil, err
		}
	}
	tags = maps.Clone(tags)
	if change := changeOf(name); change != "" {
		tags["rollspan.change"] = change
	}
	found := map[string]trace{}
	for _, service := range services {
		traces, err := s.collector.FindTraces(ctx, service, "", tags, time.Hour)
		if err != nil {
			return nil, err
		}
		for _, t := range traces {
			nameByKinds(&t)
			if name == "" || t.Root() != nil && t.Root().Name == name {
				found[t.ID] = t
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b trace) int {
		return cmp.Or(a.Spans[0].Start.Compare(b.Spans[0].Start), strings.Compare(a.ID, b.ID))
	}), nil
}

// trace is short for what nearly everything here is about.
type trace = controlplane.Trace

// trace waits for the one trace whose root has that name, and that attribute,
// and checks the laws on it.
func (s *space) trace(name, key string, value any) *trace {
	s.t.Helper()
	found := s.find(name, key, value)
	s.law(found)
	return found
}

func (s *space) find(name, key string, value any) *trace {
	s.t.Helper()
	return s.findBy(name, map[string]string{"k8s.namespace.name": s.name}, key, value)
}

func (s *space) findBy(name string, tags map[string]string, key string, value any) *trace {
	s.t.Helper()
	var found *trace
	s.eventually(fmt.Sprintf("trace %s, %s %v", name, key, value), func() error {
		traces, err := s.search(name, tags)
		if err != nil {
			return err
		}
		for i := range traces {
			if t := &traces[i]; t.Root().Value(key) == value {
				if found != nil {
					return final{fmt.Errorf("there are two: %s and %s", found.ID, t.ID)}
				}
				found = t
			}
		}
		if found == nil {
			return fmt.Errorf("%d other traces of that name are there", len(traces))
		}
		return nil
	})
	return found
}

// rolloutID is the trace's ID; not all of it may be there yet.
func (s *space) rolloutID(revision int64) string {
	s.t.Helper()
	return s.find("Deployment rollout", "rollspan.revision", revision).ID
}

func (s *space) rollout(revision int64) *trace {
	s.t.Helper()
	return s.trace("Deployment rollout", "rollspan.revision", revision)
}

// dataFile is the path of a file that ends with the test.
func (s *space) dataFile(name string) string { return filepath.Join(s.t.TempDir(), name) }

// file is one with a content, which ends with the test, too.
func (s *space) file(name, content string) string {
	s.t.Helper()
	path := s.dataFile(name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

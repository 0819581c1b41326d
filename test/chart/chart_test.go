package chart

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/rollspan/rollspan/test/controlplane"
)

var rewrite = flag.Bool("rewrite", false, "write what comes out to testdata and to the chart's README")

const dir = "../../deploy/helm/rollspan"

// combinations are the values that the documentation names, in the folder where charts
// have them for tests.
func combinations(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "ci", "*-values.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no values: %v", err)
	}
	return files
}

// helm runs the real helm, which finds nothing of this machine's: no cluster, no settings.
func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return controlplane.HelmForTest(t, filepath.Join(t.TempDir(), "none"), args...)
}

// rendered is the release "rollspan" in the namespace "rollspan", an object a document.
func rendered(t *testing.T, args ...string) []string {
	t.Helper()
	return release(t, "rollspan", args...)
}

func release(t *testing.T, name string, args ...string) []string {
	t.Helper()
	out, errs, err := helm(t, append([]string{"template", name, dir, "--namespace", "rollspan"}, args...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	return documents(out)
}

// documents are those of a YAML stream.
func documents(stream string) (all []string) {
	for document := range strings.SplitSeq("\n"+stream, "\n---\n") {
		if document = strings.TrimSpace(document); document != "" {
			all = append(all, document+"\n")
		}
	}
	return all
}

// objects decodes documents, strictly where Kubernetes' own types are known, by kind,
// namespace and name.
func objects(t *testing.T, documents []string) map[string]*unstructured.Unstructured {
	t.Helper()
	all := map[string]*unstructured.Unstructured{}
	for _, document := range documents {
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &u.Object); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if typed, err := scheme.Scheme.New(u.GroupVersionKind()); err == nil {
			if err := yaml.UnmarshalStrict([]byte(document), typed); err != nil {
				t.Errorf("%v\n%s", err, document)
			}
		} else if !runtime.IsNotRegisteredError(err) || u.GroupVersionKind().Group != "monitoring.coreos.com" {
			t.Errorf("%v\n%s", err, document)
		}
		key := u.GetKind() + " " + strings.TrimPrefix(u.GetNamespace()+"/"+u.GetName(), "/")
		if all[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		all[key] = u
	}
	return all
}

func deployment(t *testing.T, all map[string]*unstructured.Unstructured, name string) map[string]any {
	t.Helper()
	found := all["Deployment "+name]
	if found == nil {
		t.Fatalf("no Deployment %s among %v", name, slices.Sorted(maps.Keys(all)))
	}
	containers, _, err := unstructured.NestedSlice(found.Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	return containers[0].(map[string]any)
}

func TestLint(t *testing.T) {
	for _, values := range combinations(t) {
		if out, errs, err := helm(t, "lint", "--strict", "--quiet", dir, "-f", values); err != nil {
			t.Errorf("%s: %v\n%s%s", values, err, out, errs)
		}
	}
}

// TestHelm3 has the release of helm before this one render, lint and refuse the same.
func TestHelm3(t *testing.T) {
	helm3 := func(args ...string) (string, string, error) {
		// One that is built from its module takes an old version of Kubernetes for given.
		args = append(args, "--kube-version", "v1.36.0")
		return controlplane.Helm3.HelmForTest(t, filepath.Join(t.TempDir(), "none"), args...)
	}
	for _, values := range combinations(t) {
		if out, errs, err := helm3("lint", "--strict", "--quiet", dir, "-f", values); err != nil {
			t.Errorf("%s: %v\n%s%s", values, err, out, errs)
		}
		out, errs, err := helm3("template", "rollspan", dir, "--namespace", "rollspan", "-f", values)
		if err != nil {
			t.Errorf("%s: %v\n%s", values, err, errs)
			continue
		}
		if want := objects(t, rendered(t, "-f", values)); !reflect.DeepEqual(objects(t, documents(out)), want) {
			t.Errorf("of %s helm 3 makes\n%s", values, out)
		}
	}
	if out, errs, err := helm3("template", "rollspan", dir, "--set", "otlp.endpont=http://x:4317"); err == nil || !strings.Contains(errs, "additional properties 'endpont' not allowed") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
}

// TestGolden shows all objects of collector-values.yaml, of others those that differ, and
// the notes.
func TestGolden(t *testing.T) {
	base := rendered(t, "-f", filepath.Join(dir, "ci", "collector-values.yaml"))
	for _, values := range combinations(t) {
		name := strings.TrimSuffix(filepath.Base(values), "-values.yaml")
		t.Run(name, func(t *testing.T) {
			documents := rendered(t, "-f", values)
			objects(t, documents)
			var golden strings.Builder
			for _, document := range documents {
				if name == "collector" || !slices.Contains(base, document) {
					golden.WriteString("---\n" + document)
				}
			}
			out, errs, err := helm(t, "install", "rollspan", dir, "--namespace", "rollspan", "--dry-run=client", "-f", values)
			if err != nil {
				t.Fatalf("%v\n%s", err, errs)
			}
			_, notes, found := strings.Cut(out, "\nNOTES:\n")
			if !found {
				t.Fatalf("no notes:\n%s", out)
			}
			golden.WriteString("--- # what helm says\n")
			for line := range strings.Lines(notes) {
				golden.WriteString(strings.TrimRight("# "+line, " \n") + "\n")
			}
			file := filepath.Join("testdata", name+".yaml")
			if *rewrite {
				if err := os.WriteFile(file, []byte(golden.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if golden.String() != string(want) {
				t.Errorf("it is not as %s, which -rewrite writes anew:\n%s", file, golden.String())
			}
		})
	}
}

// TestNonsense is about values that helm or the chart refuse, and what they say.
func TestNonsense(t *testing.T) {
	for _, test := range []struct{ values, want string }{
		// The schema.
		{"otlp.endpont=http://x:4317", "at '/otlp': additional properties 'endpont' not allowed"},
		{"oltp.endpoint=http://x:4317", "additional properties 'oltp' not allowed"},
		{"replicaCount=two", "at '/replicaCount': got string, want integer"},
		{"replicaCount=-1", "at '/replicaCount': minimum: got -1, want 0"},
		{"otlp.protocol=http", `at '/otlp/protocol': value must be one of '', 'grpc', 'http/protobuf'`},
		{"otlp.compression=zip", "at '/otlp/compression': value must be one of"},
		{"image.digest=latest", "at '/image/digest': 'latest' does not match pattern"},
		{"image.pullPolicy=always", "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"},
		{"namespaces=shop", "at '/namespaces': got string, want array"},
		{"namespaces={Shop}", "at '/namespaces/0': 'Shop' does not match pattern"},
		{"resources.limits.memory=1GB", "at '/resources/limits/memory': '1GB' does not match pattern"},
		{"terminationGracePeriodSeconds=5", "at '/terminationGracePeriodSeconds': minimum: got 5, want 11"},
		{"extraArgs={in-progress-after=5m}", "at '/extraArgs/0': 'in-progress-after=5m' does not match pattern"},
		{"otlp.headers.tenant=9007199254740993", "at '/otlp/headers/tenant': maximum"},
		{"metrics.port=70000", "at '/metrics/port': maximum"},
		{"rbac.kinds.secrets=true", "additional properties 'secrets' not allowed"},
		{"serviceMonitor.interval=often", "at '/serviceMonitor/interval': 'often' does not match pattern"},
		{"podDisruptionBudget.minAvailable=half", "at '/podDisruptionBudget/minAvailable'"},
		{"dataDir.claim.accessModes={ReadOnlyMany}", "at '/dataDir/claim/accessModes/0': value must be one of"},
		{"log.level=trace", "at '/log/level': value must be one of 'debug', 'info', 'warn', 'error'"},
		{"image.registry=https://registry.example.com", "at '/image/registry': 'https://registry.example.com' does not match pattern"},
		{"image.repository=rollspan:v1", "at '/image/repository': 'rollspan:v1' does not match pattern"},
		{"image.tag=the newest", "at '/image/tag': 'the newest' does not match pattern"},
		{"resources.limits.cpu=lots", "at '/resources/limits/cpu'"},
		{"rbac.extraRules[0].resources={shops}", "at '/rbac/extraRules/0': missing property 'verbs'"},
		{"extraObjects[0].kind=ConfigMap", "at '/extraObjects/0'"},
		{"ui.ingress.host=rollspan.example.com/page", "at '/ui/ingress/host'"},
		{"dnsPolicy=Cluster", "at '/dnsPolicy': value must be one of"},
		{"otlp=null", "values that are missing: otlp.endpoint, "},
		{"ui.ingress=null", "use --reset-then-reuse-values"},
		// What does not go together.
		{"otlp.endpoint=collector", `otlp.endpoint: "collector" is no address; write http://host:4317`},
		{"otlp.endpoint=http://x:99999", "otlp.endpoint: there is no port 99999"},
		{"otlp.endpoint=http://x", `otlp.endpoint: "http://x" has no port`},
		{"otlp.endpoint=https://x:4317,otlp.insecure=true", "otlp.insecure: it is for host:port"},
		{"otlp.endpoint=http://x:4317,otlp.caSecret.name=ca", "there is no TLS with http://"},
		{"extraArgs={--data-dir=/data}", "extraArgs: --data-dir is what dataDir.enabled sets"},
		{"extraArgs={--leader-elect=false}", "extraArgs: --leader-elect is what leaderElection.enabled sets"},
		{"extraArgs={--drain-timeout=1m}", "the pod is killed before --drain-timeout=1m is over"},
		{"dataDir.enabled=true,dataDir.maxBytes=4Gi", "dataDir.maxBytes: a journal of 4Gi does not fit into dataDir.sizeLimit, which is 2Gi"},
		{"dataDir.enabled=true,dataDir.claim.enabled=true,dataDir.claim.size=1G", "does not fit into dataDir.claim.size, which is 1G"},
		{"serviceMonitor.enabled=true,serviceMonitor.interval=30s,serviceMonitor.scrapeTimeout=1m", "serviceMonitor.scrapeTimeout: a scrape may not take longer"},
		{"podDisruptionBudget.enabled=true,podDisruptionBudget.minAvailable=100%,replicaCount=2", "no node with a replica could ever be drained"},
		{"podDisruptionBudget.enabled=true,podDisruptionBudget.maxUnavailable=0,replicaCount=2", "no node with a replica could ever be drained"},
		{"ui.ingress.enabled=true,ui.ingress.host=rollspan.example.com", "ui.ingress.enabled: it leads from a host to the Service"},
		{"otlp.endpoint=http://x:4317,jaeger.enabled=true", "jaeger.enabled and otlp.endpoint: rollspan sends to one place"},
		{"otlp.headers.tenant=a", "otlp: there are settings for a collector, and no otlp.endpoint"},
		{"jaeger.enabled=true,otlp.caSecret.name=ca", "the Jaeger of this chart takes gRPC without TLS"},
		{"otlp.bearerTokenSecret.name=token", "otlp: there are settings for a collector, and no otlp.endpoint"},
		{"replicaCount=2,leaderElection.enabled=false", "replicaCount: several replicas would each send every trace"},
		{"replicaCount=2,dataDir.enabled=true", "dataDir.enabled: a journal is one process's own"},
		{"dataDir.claim.enabled=true", "dataDir.claim.enabled: nothing would use the claim"},
		{"dataDir.enabled=true,dataDir.claim.enabled=true,strategy.type=RollingUpdate", "strategy.type: with a claim the old pod must be gone"},
		{"strategy.type=Recreate,strategy.rollingUpdate.maxSurge=1", "strategy.rollingUpdate: it does not go with Recreate"},
		{"dataDir.enabled=true,dataDir.claim.enabled=true,strategy.rollingUpdate.maxSurge=1", "strategy.rollingUpdate: it does not go with Recreate"},
		{"podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=1", "Kubernetes takes minAvailable or maxUnavailable"},
		{"podDisruptionBudget.enabled=true,podDisruptionBudget.minAvailable=1", "no node with a replica could ever be drained"},
		{"serviceMonitor.enabled=true,metrics.enabled=false", "there is nothing to scrape"},
		{"serviceMonitor.enabled=true,service.enabled=false", "serviceMonitor.enabled: it finds a Service"},
		{"serviceMonitor.enabled=true,podMonitor.enabled=true", "everything would be counted twice"},
		{"prometheusRule.enabled=true,metrics.enabled=false", "prometheusRule.enabled: there are no metrics"},
		{"prometheusRule.disabled={RollspanNodeBored}", `prometheusRule.disabled: there is no alert "RollspanNodeBored"`},
		{"prometheusRule.disable={RollspanNodeNotReady}", "additional properties 'disable' not allowed"},
		{"rbac.create=false,rbac.owners.enabled=true", "rbac.create=false: no rules are made"},
		{"rbac.owners.rules[0].verbs={list}", "rbac.owners.rules: nothing has them"},
		{"metrics.port=8081", "metrics.port and health.port: they are the same"},
		{"ui.enabled=true,ui.service.enabled=true", "ui.service.enabled: without a token the page is on the pod's loopback address"},
		{"ui.tokenSecret.name=page", "ui.tokenSecret.name: there is no page that would ask for it"},
		{"ui.enabled=true,ui.port=8080", "ui.port: it is that of the metrics or of the probes"},
		{"ui.port=80", "at '/ui/port': minimum"},
		{`podLabels.app\.kubernetes\.io/name=x`, "podLabels: app.kubernetes.io/name is the chart's own"},
	} {
		t.Run(test.values, func(t *testing.T) {
			out, errs, err := helm(t, "template", "rollspan", dir, "--set", test.values)
			if err == nil {
				t.Fatalf("it is taken:\n%s", out)
			}
			if !strings.Contains(errs, test.want) {
				t.Errorf("helm says\n%s\nwant %q", errs, test.want)
			}
		})
	}
}

// TestNumbers has numbers be written as people do. In a file helm takes each for a float, and from
// --set a whole one for an integer.
func TestNumbers(t *testing.T) {
	numbers := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(numbers, []byte(`
otlp:
  endpoint: http://otel-collector:4317
  headers: {a: 1234567, b: 9007199254740991, c: -1234567, d: 0.5, e: true, f: "1e3", g: a b}
replicaCount: 1234567
revisionHistoryLimit: 2147483647
terminationGracePeriodSeconds: 1234567
podSecurityContext: {runAsUser: 1000650000}
livenessProbe: {periodSeconds: 1234567}
resources: {limits: {cpu: 1234567}}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-f", numbers},
		{"-f", numbers, "--set", "otlp.headers.a=1234567,otlp.headers.b=9007199254740991,otlp.headers.c=-1234567,otlp.headers.e=true,replicaCount=1234567"},
	} {
		documents := rendered(t, args...)
		if text := strings.Join(documents, ""); regexp.MustCompile(`[0-9]e\+[0-9]`).MatchString(text) {
			t.Errorf("of %q numbers have exponents:\n%s", args, text)
		}
		env := fmt.Sprint(deployment(t, objects(t, documents), "rollspan/rollspan")["env"])
		if want := "a=1234567,b=9007199254740991,c=-1234567,d=0.5,e=true,f=1e3,g=a%20b]"; !strings.Contains(env, want) {
			t.Errorf("of %q the environment is %s, want %s", args, env, want)
		}
	}
}

// looksElse are strings that are no string in YAML unless they are quoted, or not to every reader.
var looksElse = []string{"1234", "12e4567", "on", "null", "0x1f", "1e3"}

// TestStrings has each value and the release's name be a string in all objects, whatever it looks
// like.
func TestStrings(t *testing.T) {
	for _, word := range looksElse {
		t.Run(word, func(t *testing.T) {
			values := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(values, []byte(strings.ReplaceAll(`
nameOverride: "WORD"
fullnameOverride: "WORD"
namespaceOverride: "WORD"
commonLabels: {example.com/label: "WORD"}
commonAnnotations: {example.com/note: "WORD"}
otlp:
  endpoint: https://collector.observability:4318
  headers: {tenant: "WORD"}
  headersSecret: {name: "WORD", key: "WORD"}
  bearerTokenSecret: {name: "WORD", key: "WORD"}
  caSecret: {name: "WORD", key: "WORD"}
  clientSecret: {name: "WORD"}
clusterName: "WORD"
namespaces: ["WORD"]
rbac:
  clusterScoped: true
  owners: {enabled: true, rules: [{apiGroups: ["WORD"], resources: ["WORD"], verbs: ["WORD"]}]}
serviceAccount: {name: "WORD", labels: {example.com/a: "WORD"}, annotations: {example.com/b: "WORD"}}
image: {repository: "WORD", tag: "WORD"}
imagePullSecrets: [{name: "WORD"}]
podDisruptionBudget: {enabled: true}
dataDir: {enabled: true, maxBytes: "1234567", sizeLimit: "12345678", claim: {size: "12345678", storageClassName: "WORD", existingClaim: ""}}
extraEnv: [{name: "WORD", value: "WORD"}]
podLabels: {example.com/c: "WORD"}
podAnnotations: {example.com/d: "WORD"}
deploymentAnnotations: {example.com/e: "WORD"}
priorityClassName: "WORD"
runtimeClassName: "WORD"
schedulerName: "WORD"
nodeSelector: {example.com/f: "WORD"}
serviceMonitor: {enabled: true, namespace: "WORD", jobLabel: "WORD", targetLabels: ["WORD"], labels: {example.com/g: "WORD"}}
prometheusRule: {enabled: true, namespace: "WORD", ruleLabels: {h: "WORD"}}
dashboards: {enabled: true, namespace: "WORD", annotations: {i: "WORD"}}
ui:
  enabled: true
  tokenSecret: {name: "WORD", key: "WORD"}
  service: {enabled: true}
  ingress: {enabled: true, host: "*.example.com", className: "WORD", tlsSecret: "WORD"}
networkPolicy: {enabled: true}
`, "WORD", word)), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, set := range [][2]string{
				{"dataDir.claim.enabled=true", "dataDir.claim.existingClaim="},
				{"dataDir.claim.enabled=true", "dataDir.claim.existingClaim=" + word},
				{"serviceMonitor.enabled=false,podMonitor.enabled=true", "podMonitor.namespace=" + word},
			} {
				all := objects(t, release(t, word, "-f", values, "--set", set[0], "--set-string", set[1]))
				for key, o := range all {
					stringsAreStrings(t, key, o)
				}
				if deployment(t, all, word+"/"+word); t.Failed() {
					return
				}
			}
			jaeger := objects(t, release(t, word, "--set", "jaeger.enabled=true", "--set-string", "fullnameOverride="+word))
			for key, o := range jaeger {
				stringsAreStrings(t, key, o)
			}
		})
	}
	encoded, err := json.Marshal(looksElse)
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, rendered(t, "--set-json", "namespaces="+string(encoded)))
	for _, word := range looksElse {
		if all["Role "+word+"/rollspan"] == nil || all["RoleBinding "+word+"/rollspan"] == nil {
			t.Errorf("there is nothing in the namespace %q, but %v", word, slices.Sorted(maps.Keys(all)))
		}
	}
}

// stringsAreStrings has an object decode as Kubernetes does it, which takes no number for a string.
func stringsAreStrings(t *testing.T, key string, o *unstructured.Unstructured) {
	t.Helper()
	if typed, err := scheme.Scheme.New(o.GroupVersionKind()); err == nil {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, typed, true); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		return
	}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, child := range v {
				walk(at+"."+name, child)
			}
		case []any:
			for _, child := range v {
				walk(at, child)
			}
		case string, bool:
		default:
			t.Errorf("%s: %s is %v, a %T", key, at, v, v)
		}
	}
	walk("", o.Object)
}

// TestNamespaces has objects be where values say, and find each other from there.
func TestNamespaces(t *testing.T) {
	all := objects(t, rendered(t, "--set", "namespaceOverride=observability,serviceMonitor.enabled=true,serviceMonitor.namespace=monitoring",
		"--set", "prometheusRule.enabled=true,prometheusRule.namespace=monitoring,dashboards.enabled=true,dashboards.namespace=grafana,jaeger.enabled=true"))
	for key, o := range all {
		want := "observability"
		switch o.GetKind() {
		case "ClusterRole":
			want = ""
		case "ClusterRoleBinding":
			want = ""
			if text := fmt.Sprint(o.Object["subjects"]); !strings.Contains(text, "namespace:observability") {
				t.Errorf("%s is of %s", key, text)
			}
		case "ServiceMonitor":
			want = "monitoring"
			if text := fmt.Sprint(o.Object["spec"]); !strings.Contains(text, "namespaceSelector:map[matchNames:[observability]]") {
				t.Errorf("%s does not look where the pods are: %s", key, text)
			}
		case "PrometheusRule":
			want = "monitoring"
		case "ConfigMap":
			if strings.Contains(key, "dashboard") {
				want = "grafana"
			}
		}
		if o.GetNamespace() != want {
			t.Errorf("%s is not in %q", key, want)
		}
	}
}

// TestSharedByAParent has the registry and the secrets of a parent chart count where the chart has
// none of its own.
func TestSharedByAParent(t *testing.T) {
	all := objects(t, rendered(t, "--set", "global.imageRegistry=mirror.example.com:5000,global.imagePullSecrets[0].name=mirror,imagePullSecrets[0].name=own,jaeger.enabled=true,jaeger.image.registry=docker.io"))
	for name, image := range map[string]string{"rollspan": "mirror.example.com:5000/rollspan/rollspan:dev", "rollspan-jaeger": "docker.io/jaegertracing/jaeger:"} {
		if got := fmt.Sprint(deployment(t, all, "rollspan/"+name)["image"]); !strings.HasPrefix(got, image) {
			t.Errorf("the image of %s is %s, want %s", name, got, image)
		}
		if pod := fmt.Sprint(all["Deployment rollspan/"+name].Object["spec"]); !strings.Contains(pod, "imagePullSecrets:[map[name:own] map[name:mirror]]") {
			t.Errorf("%s has not both secrets: %s", name, pod)
		}
	}
}

// TestNetworkPolicyLetsOutToTheCollector has the policy know the port of each form of endpoint.
func TestNetworkPolicyLetsOutToTheCollector(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://collector:4317":                             "4317",
		"collector:55680":                                   "55680",
		"https://api.example.com":                           "443",
		"https://api.example.com/otlp":                      "443",
		"http://collector/otlp,otlp.protocol=http/protobuf": "80",
		"https://[2001:db8::1]:4318/otlp":                   "4318",
	} {
		all := objects(t, rendered(t, "--set", "networkPolicy.enabled=true,otlp.endpoint="+endpoint))
		egress, _, err := unstructured.NestedSlice(all["NetworkPolicy rollspan/rollspan"].Object, "spec", "egress")
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(egress[1]); got != "map[ports:[map[port:"+want+" protocol:TCP]]]" {
			t.Errorf("to %s it lets out %s, want %s", endpoint, got, want)
		}
	}
}

// TestNames has long names cut so that Kubernetes takes them, and two releases in one
// namespace share nothing.
func TestNames(t *testing.T) {
	everything := []string{"-f", filepath.Join(dir, "ci", "all-values.yaml"), "--set", "dataDir.claim.enabled=true,strategy=null,serviceAccount.name=,extraObjects=null"}
	one, other := objects(t, rendered(t, everything...)), objects(t, release(t, "other", everything...))
	for key := range one {
		if other[key] != nil {
			t.Errorf("two releases have the %s", key)
		}
	}
	args := func(all map[string]*unstructured.Unstructured, name string) string {
		return fmt.Sprint(deployment(t, all, name)["args"])
	}
	if a := args(one, "rollspan/rollspan-spans"); !strings.Contains(a, "--leader-elect-name=rollspan-spans") {
		t.Errorf("the lease is not the release's own: %s", a)
	}
	// Names that differ at their end only are cut, and differ still.
	begin := strings.Repeat("long-", 9)
	one, other = objects(t, release(t, begin+"one", everything...)), objects(t, release(t, begin+"other", everything...))
	for key := range one {
		if other[key] != nil {
			t.Errorf("two releases with long names have the %s", key)
		}
	}
	long := strings.Repeat("long-", 20)
	for key := range objects(t, rendered(t, "--set", "jaeger.enabled=true,rbac.owners.enabled=true,fullnameOverride="+long[:63-1], "--set-json", `rbac.owners.rules=[{"verbs":["list"]}]`)) {
		if name := key[strings.LastIndexAny(key, " /")+1:]; len(name) > 63 || strings.HasSuffix(name, "-") {
			t.Errorf("%s has %d characters", key, len(name))
		}
	}
}

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rollspan/rollspan/test/controlplane"
)

// auditPolicy has the requests of all service accounts in the log. Those of controllers are of
// other namespaces.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
`

// TestRightsAreUsed has rollspan run as the chart installs it, with the token of its service
// account, for the whole cluster and for one namespace. By the API server's audit log nothing of
// what it asks for is refused, and it uses each verb of each resource that it was granted.
func TestRightsAreUsed(t *testing.T) {
	t.Parallel()
	w := theWorldFor(t)
	dir := t.TempDir()
	policy, log := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "audit.log")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster := controlplane.StartForTest(t, controlplane.Options{
		NoNodes: true,
		APIServerArgs: []string{
			"--audit-policy-file=" + policy, "--audit-log-path=" + log,
			// A server that streams lists is asked for no list, and an older one is.
			"--feature-gates=WatchList=false",
		},
	})
	client, err := kubernetes.NewForConfig(cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	own := &world{dir: dir, cluster: cluster, client: client, binary: w.binary, apart: w.apart, jaeger: w.jaeger}
	s := &space{world: own, t: t, name: "audited", lives: map[string]podLife{}}
	// A Rollout of Argo's, as an owner: rollspan reads what it is led to.
	s.namespace()
	s.apply(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rollouts.argoproj.io}
spec:
  group: argoproj.io
  scope: Namespaced
  names: {kind: Rollout, plural: rollouts}
  versions:
  - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`)
	s.waits("crd/rollouts.argoproj.io", "condition=Established")
	s.eventually("a Rollout is there", func() error {
		return s.kubectl(t.Context(), "-n", s.name, "create", "-f", s.file("rollout.yaml", `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web}}`))
	})
	uid, err := s.kubectlSays(t.Context(), "-n", s.name, "get", "rollouts/web", "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		t.Fatal(err)
	}
	s.apply(fmt.Sprintf(`
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-1
  namespace: %s
  ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: web, uid: %q, controller: true}]
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example/web}]}
`, s.name, uid))

	for name, values := range map[string]string{
		"whole": "log.level=debug",
		"team":  "namespaces={" + s.name + "},rbac.clusterScoped=true",
	} {
		d, _ := s.release(name, "--set", values+",otlp.endpoint="+s.apart.OTLPGRPC())
		account := "system:serviceaccount:" + d.Namespace + ":" + d.Spec.Template.Spec.ServiceAccountName
		granted := s.granted(account)
		right, where := reads, ""
		if name == "team" {
			right, where = inNamespace(s.name), " in "+s.name
		}
		if !granted["list deployments.apps"+where] {
			t.Fatalf("%s: granted is %v", name, granted)
		}
		program, _ := s.runAs(d, nil, right, authorizationv1.ResourceAttributes{Verb: "watch", Resource: "nodes"},
			authorizationv1.ResourceAttributes{Verb: "create", Group: "coordination.k8s.io", Resource: "leases", Namespace: d.Namespace})
		s.eventually(name+": each verb is used", func() error {
			used, refused, err := audited(log, account)
			if err != nil {
				return err
			}
			if len(refused) > 0 {
				return final{fmt.Errorf("refused: %v", refused)}
			}
			var unused []string
			for _, right := range slices.Sorted(maps.Keys(granted)) {
				if !used[right] {
					unused = append(unused, right)
				}
			}
			if len(unused) > 0 {
				return fmt.Errorf("not used: %v", unused)
			}
			return nil
		})
		stopped(t, program)
		// Not even at the end is anything refused.
		if _, refused, err := audited(log, account); err != nil || len(refused) > 0 {
			t.Errorf("%s: refused: %v, %v", name, refused, err)
		}
	}
}

// namespace makes that of a space which is not in the common cluster.
func (s *space) namespace() {
	s.t.Helper()
	s.eventually("the namespace is there", func() error {
		return s.kubectl(s.t.Context(), "apply", "-f", s.file("namespace.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: "+s.name+"}}"))
	})
}

// granted are the verbs with their resources that all roles bound to a service account have.
func (s *space) granted(account string) map[string]bool {
	s.t.Helper()
	all := map[string]bool{}
	add := func(rules []rbacv1.PolicyRule, where string) {
		for _, rule := range rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						all[strings.TrimSuffix(verb+" "+resource+"."+group, ".")+where] = true
					}
				}
			}
		}
	}
	bound := func(subjects []rbacv1.Subject) bool {
		return slices.ContainsFunc(subjects, func(sub rbacv1.Subject) bool {
			return "system:serviceaccount:"+sub.Namespace+":"+sub.Name == account
		})
	}
	rbac := s.client.RbacV1()
	clusterWide, err := rbac.ClusterRoleBindings().List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, b := range clusterWide.Items {
		if bound(b.Subjects) {
			role, err := rbac.ClusterRoles().Get(s.t.Context(), b.RoleRef.Name, metav1.GetOptions{})
			if err != nil {
				s.t.Fatal(err)
			}
			add(role.Rules, "")
		}
	}
	namespaced, err := rbac.RoleBindings("").List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, b := range namespaced.Items {
		if bound(b.Subjects) {
			role, err := rbac.Roles(b.Namespace).Get(s.t.Context(), b.RoleRef.Name, metav1.GetOptions{})
			if err != nil {
				s.t.Fatal(err)
			}
			add(role.Rules, " in "+b.Namespace)
		}
	}
	if len(all) == 0 {
		s.t.Fatalf("%s has no role", account)
	}
	return all
}

// audited reads from an audit log which verbs a user has used on which resources, and what it was
// refused.
func audited(path, user string) (used map[string]bool, refused []string, err error) {
	type entry struct {
		Verb, RequestURI, UserAgent string
		User                        struct{ Username string }
		ObjectRef                   *struct{ Resource, APIGroup, Namespace, Name string }
		ResponseStatus              *struct{ Code int }
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	used = map[string]bool{}
	for in := bufio.NewReader(file); ; {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break // what has no end is still being written
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, nil, final{err}
		}
		if e.User.Username != user || e.UserAgent == controlplane.UserAgent || e.ObjectRef == nil {
			continue
		}
		what := strings.TrimSuffix(e.Verb+" "+e.ObjectRef.Resource+"."+e.ObjectRef.APIGroup, ".")
		if e.ResponseStatus != nil && e.ResponseStatus.Code == 403 {
			refused = append(refused, what+" "+e.RequestURI)
			continue
		}
		used[what] = true
		if e.ObjectRef.Namespace != "" {
			used[what+" in "+e.ObjectRef.Namespace] = true
		}
	}
	if len(used) == 0 && len(refused) == 0 {
		return nil, nil, errors.New("it has asked for nothing")
	}
	return used, refused, nil
}

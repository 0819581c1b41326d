package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestOwnErrors does what docs/own-errors.md says: a program writes the Event that is there, with
// the permission that is there, while the rollout of its Deployment is open. So it does with what
// no more can be left out of. Both are on the root of the rollout.
func TestOwnErrors(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	root, err := harness.Checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "own-errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(doc), -1)
	if len(blocks) != 2 {
		t.Fatalf("the page has %d blocks of YAML, and not an Event and its permission", len(blocks))
	}
	here := strings.NewReplacer("namespace: shop", "namespace: "+s.name, "name: web", "name: "+appName,
		"2026-03-01T08:30:00Z", time.Now().UTC().Format(time.RFC3339))

	s.create(app{gated: true})
	accounts := s.client.CoreV1().ServiceAccounts(s.name)
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: appName}}, asCreator); err != nil {
		t.Fatal(err)
	}
	s.apply(here.Replace(blocks[1][1]))
	kubeconfig, err := s.cluster.KubeconfigFor(t.Context(), s.name, appName,
		authorizationv1.ResourceAttributes{Namespace: s.name, Verb: "create", Resource: "events"})
	if err != nil {
		t.Fatal(err)
	}
	const least = `
apiVersion: v1
kind: Event
metadata: {generateName: web-, namespace: shop}
involvedObject: {kind: Deployment, namespace: shop, name: web}
type: Warning
reason: CanaryFailed
message: error rate 4 percent
`
	for name, event := range map[string]string{"event.yaml": blocks[0][1], "least.yaml": least} {
		create := exec.CommandContext(t.Context(), s.cluster.Kubectl(), "--kubeconfig", kubeconfig, "create", "-f", s.file(name, here.Replace(event)))
		if said, err := create.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	s.eventually("both Events are there", func() error {
		list, err := s.client.CoreV1().Events(s.name).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Deployment,type=Warning"})
		if err == nil && len(list.Items) < 2 {
			err = errors.New("they are not")
		}
		return err
	})
	s.completeGated(1, "1")

	rollout := s.rollout(1)
	said := map[string]string{}
	for _, e := range rollout.Root().Events {
		message, _ := e.Attributes["k8s.event.message"].(string)
		said[e.Name] = message
	}
	if said["MigrationFailed"] != "table orders: column total is missing" || said["CanaryFailed"] != "error rate 4 percent" {
		t.Errorf("the rollout has the Events %v:\n%s", said, text(rollout))
	}
}

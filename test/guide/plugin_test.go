package guide

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// web is a Deployment that is complete, as an API server has it.
const web = `{"metadata": {"name": "web", "namespace": "shop", "uid": "8c0ff7a4-6c9f-4d3e-9f5e-4a6f1f0f2f11", "resourceVersion": "100000", "generation": 1,
	"creationTimestamp": "2026-03-01T12:00:00Z"},
	"spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
	"status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}}`

// rollouts are Rollouts of Argo Rollouts, as their controller leaves them.
var rollouts = func() string {
	var all []string
	for name, status := range map[string]string{
		"healthy": `"phase": "Healthy"`,
		"aborted": `"phase": "Degraded", "message": "RolloutAborted: Rollout aborted update to revision 2"`,
		"paused":  `"phase": "Paused", "message": "CanaryPauseStep", "controllerPause": true, "currentStepIndex": 0, "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-03-01T12:00:00Z"}]`,
	} {
		all = append(all, fmt.Sprintf(`{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
			"metadata": {"name": %[1]q, "namespace": "argo", "uid": %[1]q, "resourceVersion": "100000", "generation": 1, "creationTimestamp": "2026-03-01T12:00:00Z"},
			"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}, "strategy": {"canary": {"steps": [{"pause": {}}]}}},
			"status": {"observedGeneration": "1", %[2]s}}`, name, status))
	}
	return strings.Join(all, ", ")
}()

// shop is an API server that has web, and Rollouts in another namespace alone.
func shop(w http.ResponseWriter, r *http.Request) {
	answer := func(code int, format string, args ...any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, format, args...)
	}
	resource, query := path.Base(r.URL.Path), r.URL.Query()
	kinds := map[string]string{
		"deployments": "apps/v1 Deployment", "replicasets": "apps/v1 ReplicaSet", "pods": "v1 Pod", "events": "v1 Event", "persistentvolumeclaims": "v1 PersistentVolumeClaim",
	}
	inArgo := strings.Contains(r.URL.Path, "/namespaces/argo/")
	if inArgo {
		kinds["rollouts"] = "argoproj.io/v1alpha1 Rollout"
	}
	version, kind, known := strings.Cut(kinds[resource], " ")
	switch {
	case resource == "selfsubjectaccessreviews":
		answer(http.StatusCreated, `{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "status": {"allowed": true}}`)
	case !known:
		answer(http.StatusNotFound, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"}`)
	case query.Has("sendInitialEvents"): // as a server that cannot stream lists
		answer(http.StatusUnprocessableEntity, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422, "message": "sendInitialEvents is forbidden"}`)
	case query.Get("watch") != "":
		w.Header().Set("Content-Type", "application/json")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		items := ""
		if resource == "deployments" && strings.Contains(r.URL.Path, "/namespaces/shop/") {
			items = web
		}
		if resource == "rollouts" {
			items = rollouts
			if name, ok := strings.CutPrefix(query.Get("fieldSelector"), "metadata.name="); ok && !strings.Contains(rollouts, `"name": "`+name+`"`) {
				items = ""
			}
		}
		if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList") {
			version, kind = "meta.k8s.io/v1", "PartialObjectMetadata"
		}
		answer(http.StatusOK, `{"apiVersion": %q, "kind": %q, "metadata": {"resourceVersion": "100001"}, "items": [%s]}`, version, kind+"List", items)
	}
}

// TestPlugin has the real kubectl run rollspan as a plugin, installed as the guide says, and complete
// what is typed.
func TestPlugin(t *testing.T) {
	if testing.Short() {
		t.Skip("builds kubectl")
	}
	if runtime.GOOS == "windows" {
		t.Skip("the guide's scripts are for a shell")
	}
	kubernetes, err := controlplane.Kubernetes.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	rollspan, err := harness.Build(t.Context(), bin)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(shop))
	defer server.CloseClientConnections()
	config, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "shop",
		"clusters": []any{map[string]any{"name": "shop", "cluster": map[string]any{"server": server.URL}}},
		"contexts": []any{map[string]any{"name": "shop", "context": map[string]any{"cluster": "shop", "namespace": "shop"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, script := filepath.Join(bin, "config"), "#!/bin/sh\nexec rollspan __complete \"$@\"\n"
	for _, err := range []error{
		os.WriteFile(kubeconfig, config, 0o600),
		os.Symlink(rollspan, filepath.Join(bin, "kubectl-rollspan")),
		os.WriteFile(filepath.Join(bin, "kubectl_complete-rollspan"), []byte(script), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		args, says string
		code       int
	}{
		{"rollspan --help", "rollspan watches a Kubernetes cluster and sends each rollout", 0},
		{"rollspan status deployment/web", "deployment/web in namespace shop: rollout is complete", 0},
		{"rollspan status deployment/web -o json", `"outcome": "complete"`, 0},
		{"rollspan status deployment/web -n elsewhere", "there is no deployment/web in namespace elsewhere", 1},
		{"rollspan status rollout/web", "the API server does not have rollouts.argoproj.io: there is no rollout/web to follow", 1},
		{"rollspan status rollout/healthy -n argo", "rollout/healthy in namespace argo: rollout is complete", 0},
		{"rollspan status rollouts.argoproj.io aborted -n argo", "rollout/aborted in namespace argo: rollout has failed: Rollout aborted update to revision 2 (RolloutAborted)", 2},
		{"rollspan status ro/paused -n argo --timeout 5s", "is not complete; it waits for: somebody to promote or abort it (step 1 of 1, pause) (--timeout 5s)", 3},
		{"rollspan status rollout/none -n argo", "there is no rollout/none in namespace argo; of the kind Rollout there is", 1},
		{"rollspan why rollout/aborted -n argo", "Now: rollout/aborted in namespace argo: rollout has failed: Rollout aborted update to revision 2 (RolloutAborted).", 0},
		{"rollspan history rollout/healthy -n argo", "nothing that is there dates a rollout", 0},
		{"rollspan why rollout/none -n argo", "there is no rollout/none in namespace argo; of the kind Rollout there is", 1},
		{"__complete rollspan status -n argo rollout/h", "rollout/healthy", 0},
		{"rollspan status --timeout soon deployment/web", "--timeout:", 1},
		{"__complete rollspan sta", "status", 0},
		{"__complete rollspan status dep", "deployment/", 0},
		{"__complete rollspan status deployment/w", "deployment/web", 0},
		{"__complete rollspan history -n shop deploy w", "web", 0},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(kubernetes, "kubectl"), strings.Fields(test.args)...)
		cmd.Env = append(harness.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "KUBECONFIG="+kubeconfig, "HOME="+bin)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run() // the exit code says it
		if code := cmd.ProcessState.ExitCode(); code != test.code || !strings.Contains(out.String(), test.says) {
			t.Errorf("kubectl %s: exit code %d, want %d, and %q in\n%s", test.args, code, test.code, test.says, out.String())
		}
	}
}

package e2e

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

// inImage runs a program as a container runtime would: in a mount namespace of its own, on a root
// that cannot be written, as the image's user, without capabilities and without a way to more.
const inImage = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" &&
user=$1 && shift && exec setpriv --no-new-privs --inh-caps=-all --clear-groups chroot --userspec="$user" "$0" "$@"`

// TestImage has the image that `make image` makes, unpacked here, start as the chart has it start,
// and send a rollout.
func TestImage(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root can be a container runtime, and only on Linux")
	}
	s := newSpace(t)
	if out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", "command -v setpriv chroot && mount --bind / /mnt").CombinedOutput(); err != nil {
		t.Skipf("there are no mount namespaces here: %v\n%s", err, out)
	}
	root, user, program := s.unpackedImage()
	d, _ := s.release("image", "--set", "namespaces={"+s.name+"},rbac.clusterScoped=true,otlp.endpoint="+s.apart.OTLPGRPC()+",clusterName="+clusterName)
	kubeconfig, err := s.cluster.KubeconfigFor(t.Context(), d.Namespace, d.Spec.Template.Spec.ServiceAccountName, inNamespace(s.name),
		authorizationv1.ResourceAttributes{Verb: "get", Resource: "namespaces", Name: metav1.NamespaceSystem, Namespace: metav1.NamespaceSystem},
		authorizationv1.ResourceAttributes{Verb: "create", Group: "coordination.k8s.io", Resource: "leases", Namespace: d.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	// What a pod has mounted from outside of the image.
	content, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "kubeconfig"), content, 0o444); err != nil {
		t.Fatal(err)
	}
	env, args, _ := s.asDeployed(d, "/kubeconfig")
	p, err := harness.Start("env", nil, slices.Concat([]string{"-i"}, env, // nothing of this machine's
		[]string{"PATH=" + os.Getenv("PATH"), "unshare", "--mount", "--propagation=private", "sh", "-c", inImage, root, user, program}, args)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	s.program, s.collector = p, s.apart
	s.says(p, `"msg":"watching`)
	s.create(app{})
	s.complete(1)
	s.hasItsPods(s.rollout(1).ID, s.pods("1"))
	s.isHeld(d.Namespace, d.Name)
	stopped(t, p)
	s.uninstall(d)
}

// unpackedImage is a folder with what is in the image, the user that it runs as, and its program.
func (s *space) unpackedImage() (root, user, program string) {
	s.t.Helper()
	checkout, err := harness.Checkout(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	out := s.t.TempDir()
	build := exec.CommandContext(s.t.Context(), "go", "run", ".", "-source", checkout, "-out", filepath.Join(out, "image"),
		"-platforms", "linux/"+runtime.GOARCH, "-build-tags", harness.BuildTags, "-ldflags", "-s -w", "-tags", "rollspan/rollspan:dev")
	build.Dir = filepath.Join(checkout, "test", "tools", "image")
	if said, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, said)
	}
	files := map[string][]byte{}
	s.untar(must(os.Open(filepath.Join(out, "image", "rollspan-linux-"+runtime.GOARCH+".tar"))), files)
	var manifest []struct {
		Config string
		Layers []string
	}
	var config struct {
		Config struct {
			User       string
			Entrypoint []string
		}
	}
	if err := errors.Join(json.Unmarshal(files["manifest.json"], &manifest), json.Unmarshal(files[manifest[0].Config], &config)); err != nil {
		s.t.Fatal(err)
	}
	root = filepath.Join(out, "root")
	if err := errors.Join(os.Mkdir(root, 0o755), os.Chmod(out, 0o755), os.Chmod(filepath.Dir(out), 0o755)); err != nil {
		s.t.Fatal(err)
	}
	for _, layer := range manifest[0].Layers {
		inside := map[string][]byte{}
		s.untar(must(gzip.NewReader(strings.NewReader(string(files[layer])))), inside)
		for name, content := range inside {
			if err := os.WriteFile(filepath.Join(root, filepath.Base(name)), content, 0o555); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return root, config.Config.User, config.Config.Entrypoint[0]
}

func (s *space) untar(from io.Reader, into map[string][]byte) {
	s.t.Helper()
	for in := tar.NewReader(from); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if into[header.Name], err = io.ReadAll(in); err != nil {
			s.t.Fatal(err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/test/controlplane/kubelet"
)

// Options say what to start. The zero value is a cluster of one node, node-a.
type Options struct {
	// Nodes are the names of the nodes; none gives one node, "node-a".
	Nodes []string
	// NoNodes leaves the cluster without nodes, and without package kubelet, for
	// StartKwok to play them.
	NoNodes bool
	// Dir is where data and logs go; Stop leaves it alone. Empty means a new
	// temporary directory, which Stop removes.
	Dir string
	// Progress is told what is being built and started, if it is not nil.
	Progress io.Writer
	// BootTimeout limits the start, the build of the tools not included; zero
	// means ten minutes, which a machine that is busy with something else may
	// need; one that is not needs seconds.
	BootTimeout time.Duration
	// APIServerArgs, ControllerManagerArgs and SchedulerArgs are added to
	// those programs' flags, and win over what is there.
	APIServerArgs, ControllerManagerArgs, SchedulerArgs []string
}

// A ControlPlane is a running cluster.
type ControlPlane struct {
	dir       string
	removeDir bool
	bin       string
	url       string
	ca        []byte
	admin     *rest.Config
	kubelets  *rest.Config     // as which the nodes write
	nodes     *kubelet.Kubelet // nil without nodes of its own

	mu        sync.Mutex
	processes []*process // in the order they were started
	stopped   bool
}

// The users of the cluster. Each component has its own, so that RBAC and the
// managed fields tell them apart as they do in production.
const (
	userAdmin             = "admin"
	userControllerManager = "system:kube-controller-manager"
	userScheduler         = "system:kube-scheduler"
	userKubelet           = "kubelet"
)

// Start builds what is missing (see [Tool.Build]) and starts a cluster. When it
// returns, the API answers, the controllers and the scheduler run, and the
// nodes are ready. The cluster runs until Stop, whatever becomes of ctx.
//
// If a component does not come up, the error names it and holds the end of its
// log, and the directory stays for a look at the rest.
func Start(ctx context.Context, o Options) (_ *ControlPlane, err error) {
	etcdBin, err := Etcd.Build(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	kubeBin, err := Kubernetes.Build(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withBootTimeout(ctx, o.BootTimeout)
	defer cancel()

	c := &ControlPlane{bin: kubeBin}
	if c.dir, c.removeDir, err = workDir(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.removeDir = false
			c.Stop()
		}
	}()
	started := time.Now()
	if err := c.startAPI(ctx, etcdBin, o.APIServerArgs); err != nil {
		return nil, err
	}
	if err := c.startControllers(ctx, o); err != nil {
		return nil, err
	}
	if !o.NoNodes {
		if c.nodes, err = kubelet.Start(c.kubelets); err != nil {
			return nil, err
		}
		if err := c.startNodes(ctx, o.Nodes); err != nil {
			return nil, err
		}
	}
	newReporter(o.Progress)("cluster up after %s, logs in %s", time.Since(started).Round(10*time.Millisecond), c.dir)
	return c, nil
}

// Stop ends every process of the cluster, and returns when they are gone. More
// calls do nothing.
func (c *ControlPlane) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	c.stopped = true
	if c.nodes != nil {
		c.nodes.Stop()
	}
	// Clients before servers, so that the logs do not end in complaints.
	for _, p := range slices.Backward(c.processes) {
		p.kill()
	}
	if c.removeDir {
		_ = os.RemoveAll(c.dir)
	}
}

// Dir is where the cluster's data, kubeconfigs and logs are.
func (c *ControlPlane) Dir() string { return c.dir }

// KeepDir has Stop leave the cluster's directory, for a look at the logs.
func (c *ControlPlane) KeepDir() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeDir = false
}

// Kubectl is the path of a kubectl of the cluster's version.
func (c *ControlPlane) Kubectl() string { return filepath.Join(c.bin, "kubectl") }

func (c *ControlPlane) startAPI(ctx context.Context, etcdBin string, extra []string) error {
	etcd, ports, err := server{
		name: "etcd", binary: filepath.Join(etcdBin, "etcd"), dir: c.dir, ports: 2,
		args:  func(ports []int) []string { return etcdArgs(c.dir, ports) },
		ready: etcdReady,
	}.start(ctx)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, etcd)
	etcdURL := loopback("http", ports[0])

	tokens := map[string]string{}
	var tokenFile strings.Builder
	for user, groups := range map[string]string{
		userAdmin:             "system:masters",
		userControllerManager: "",
		userScheduler:         "",
		// The nodes write as one user here, whom the Node authorizer, which
		// knows a kubelet by its own node's name, would not let in.
		userKubelet: "system:masters",
	} {
		tokens[user] = rand.Text()
		fmt.Fprintf(&tokenFile, "%s,%s,%s,%q\n", tokens[user], user, hex.EncodeToString([]byte(user)), groups)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "tokens.csv"), []byte(tokenFile.String()), 0o600); err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	if err := writeServiceAccountKey(c.dir); err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}

	certs := filepath.Join(c.dir, "apiserver")
	apiserver, ports, err := server{
		name: "kube-apiserver", binary: filepath.Join(c.bin, "kube-apiserver"), dir: c.dir, ports: 1,
		args: func(port []int) []string {
			return append([]string{
				"--etcd-servers=" + etcdURL,
				"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
				fmt.Sprintf("--secure-port=%d", port[0]),
				"--cert-dir=" + certs,
				"--authorization-mode=Node,RBAC",
				"--token-auth-file=" + filepath.Join(c.dir, "tokens.csv"),
				"--service-account-issuer=https://kubernetes.default.svc",
				"--service-account-key-file=" + filepath.Join(c.dir, publicKeyFile),
				"--service-account-signing-key-file=" + filepath.Join(c.dir, privateKeyFile),
				"--service-cluster-ip-range=10.0.0.0/24",
				// Endpoints may not hold a loopback address.
				"--endpoint-reconciler-type=none",
				"--shutdown-delay-duration=0s",
			}, extra...)
		},
		ready: func(port []int) string { return loopback("https", port[0]) + "/readyz?verbose" },
	}.start(ctx)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, apiserver)
	c.url = loopback("https", ports[0])
	// The server signs its own certificate, and keeps its authority beside it.
	if c.ca, err = os.ReadFile(filepath.Join(certs, "apiserver.crt")); err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	c.admin = c.restConfig(tokens[userAdmin], UserAgent)
	for user, token := range tokens {
		if err := c.writeKubeconfig(c.kubeconfigPath(user), user, token); err != nil {
			return err
		}
	}
	c.kubelets = c.restConfig(tokens[userKubelet], "kubelet")
	return nil
}

func etcdArgs(dir string, ports []int) []string {
	client, peer := loopback("http", ports[0]), loopback("http", ports[1])
	return []string{
		"--data-dir=" + filepath.Join(dir, etcdFolder),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		// A member that is alone need not wait for others' votes.
		"--heartbeat-interval=20", "--election-timeout=200",
		// The data lives as long as the processes do. A benchmark may write more than the
		// default of 2 GiB between two compactions.
		"--unsafe-no-fsync", "--log-level=warn", "--quota-backend-bytes=8589934592",
	}
}

func etcdReady(ports []int) string { return loopback("http", ports[0]) + "/readyz" }

func (c *ControlPlane) startControllers(ctx context.Context, o Options) error {
	common := func(user string, port int) []string {
		return []string{
			"--kubeconfig=" + c.kubeconfigPath(user),
			"--authentication-kubeconfig=" + c.kubeconfigPath(user),
			// No client certificates are in use that it could look up.
			"--authentication-skip-lookup",
			"--authorization-kubeconfig=" + c.kubeconfigPath(user),
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
			"--leader-elect=false",
		}
	}
	healthz := func(port []int) string { return loopback("https", port[0]) + "/healthz" }
	servers := []server{{
		name: "kube-controller-manager", ports: 1, ready: healthz,
		args: func(port []int) []string {
			return append(append(common(userControllerManager, port[0]),
				// No cloud gives these nodes their address ranges.
				"--controllers=*,-nodeipam",
				// New nodes become schedulable at the next look at them,
				// which is otherwise every five seconds.
				"--node-monitor-period=500ms",
				"--use-service-account-credentials",
				// At the default rate, fetching a token for each controller
				// is half of the boot.
				"--kube-api-qps=200", "--kube-api-burst=400",
				"--service-account-private-key-file="+filepath.Join(c.dir, privateKeyFile),
				"--root-ca-file="+filepath.Join(c.dir, "apiserver", "apiserver.crt"),
			), o.ControllerManagerArgs...)
		},
	}, {
		name: "kube-scheduler", ports: 1, ready: healthz,
		args: func(port []int) []string {
			return append(common(userScheduler, port[0]), o.SchedulerArgs...)
		},
	}}

	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		s.binary, s.dir = filepath.Join(c.bin, s.name), c.dir
		wg.Go(func() {
			p, _, err := s.start(ctx)
			if err != nil {
				errs[i] = err
				return
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.processes = append(c.processes, p)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}

	// A healthy controller manager may not have begun its controllers, nor a
	// ready API server have made its namespaces. The default ServiceAccount is
	// what every pod needs of them, and the leases' namespace every node.
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	var last error
	err = poll(ctx, 50*time.Millisecond, func() (bool, error) {
		_, last = client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		if last == nil {
			_, last = client.CoreV1().Namespaces().Get(ctx, corev1.NamespaceNodeLease, metav1.GetOptions{})
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("controlplane: the default ServiceAccount and the namespace of leases are not there (%w): %w", err, last)
	}
	return nil
}

const (
	privateKeyFile = "service-account.key"
	publicKeyFile  = "service-account.pub"
)

// writeServiceAccountKey makes the key with which the API server signs
// ServiceAccount tokens; unlike its certificate, it does not make that itself.
func writeServiceAccountKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, privateKeyFile), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600),
		os.WriteFile(filepath.Join(dir, publicKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600),
	)
}

func withBootTimeout(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		limit = 10 * time.Minute
	}
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("not up within %s", limit))
}

func workDir(dir string) (_ string, temporary bool, err error) {
	if dir == "" {
		dir, err = os.MkdirTemp("", "rollspan-test-")
		temporary = true
	} else if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", false, fmt.Errorf("controlplane: %w", err)
	}
	return dir, temporary, nil
}

func loopback(scheme string, port int) string {
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port)
}

// Command floor lists and watches the kinds that rollspan does, with client-go's plain
// informers in protobuf, and does nothing with what they bring. What rollspan costs is
// compared with what this costs: less than it no program can need that keeps what it
// sees, as informers do.
//
// It writes "ready" to standard output when all is listed, and at its end how many
// bytes came from the API server, in TLS.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "`FILE` that leads to the cluster")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *kubeconfig)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig %q: %w", kubeconfig, err)
	}
	config.UserAgent = "floor"
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	received := countBytes(config)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	watch(factory)
	factory.StartWithContext(ctx)
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%s: not listed", kind)
		}
	}
	fmt.Println("ready")
	<-ctx.Done()
	factory.Shutdown()
	fmt.Println(received.Load())
	return nil
}

// watch asks for an informer of each kind that rollspan watches where no custom
// resource owns anything. The benchmark fails if these are not the same kinds.
func watch(factory informers.SharedInformerFactory) {
	core, apps, batch := factory.Core().V1(), factory.Apps().V1(), factory.Batch().V1()
	for _, informer := range []interface {
		Informer() cache.SharedIndexInformer
	}{
		apps.Deployments(), apps.ReplicaSets(), core.Pods(), core.Events(),
		apps.StatefulSets(), apps.DaemonSets(), apps.ControllerRevisions(), core.ReplicationControllers(),
		batch.Jobs(), batch.CronJobs(), factory.Autoscaling().V2().HorizontalPodAutoscalers(),
		core.Nodes(), core.PersistentVolumeClaims(),
	} {
		informer.Informer()
	}
}

// countBytes has connections count what they receive, which costs one addition a read.
func countBytes(config *rest.Config) *atomic.Int64 {
	received := new(atomic.Int64)
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &connection{c, received}, nil
	}
	return received
}

// A connection counts what it receives.
type connection struct {
	net.Conn
	received *atomic.Int64
}

// Read reads and counts.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	return n, err
}

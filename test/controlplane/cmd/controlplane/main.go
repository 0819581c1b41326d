// Command controlplane keeps a cluster and a Jaeger running until Ctrl-C, for a
// look by hand:
//
//	go run ./test/controlplane/cmd/controlplane
//
// With -build it only builds the tools, which a cold machine needs several
// minutes for: that is more than some runners give a test.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/rollspan/rollspan/test/controlplane"
)

func main() {
	build := flag.Bool("build", false, "build the tools and exit")
	nodes := flag.String("nodes", "node-a,node-b", "names of the nodes")
	dir := flag.String("dir", "", "directory for data and logs (default: a temporary one, removed at the end)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	run := up
	if *build {
		run = func(ctx context.Context, _ controlplane.Options) error { return buildTools(ctx) }
	}
	err := run(ctx, controlplane.Options{Nodes: strings.Split(*nodes, ","), Dir: *dir, Progress: os.Stderr})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func buildTools(ctx context.Context) error {
	for _, tool := range controlplane.Tools() {
		dir, err := tool.Build(ctx, os.Stderr)
		if err != nil {
			return err
		}
		fmt.Println(dir)
	}
	return nil
}

func up(ctx context.Context, o controlplane.Options) error {
	cluster, err := controlplane.Start(ctx, o)
	if err != nil {
		return err
	}
	defer cluster.Stop()
	jaeger, err := controlplane.StartJaeger(ctx, o)
	if err != nil {
		return err
	}
	defer jaeger.Stop()

	fmt.Printf("export KUBECONFIG=%s\n", cluster.Kubeconfig())
	fmt.Printf("export OTEL_EXPORTER_OTLP_ENDPOINT=%s  # gRPC; over HTTP: %s\n", jaeger.OTLPGRPC(), jaeger.OTLPHTTP())
	fmt.Printf("alias kubectl=%s\n", cluster.Kubectl())
	fmt.Printf("# Jaeger's query API: %s/api/v3/services\n# Ctrl-C ends all.\n", jaeger.QueryURL())
	<-ctx.Done()
	return nil
}

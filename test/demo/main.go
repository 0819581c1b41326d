// Command demo shows what rollspan makes of three rollouts: one that is slow,
// one that fails, and the one that mends it. It needs nothing but Go: it
// starts a Kubernetes control plane and Jaeger of its own, and ends them.
//
//	go run ./test/demo
//
// With --current-cluster it does the same in the cluster that kubectl points
// to, in a namespace of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

func main() {
	var o options
	flag.StringVar(&o.rollspan, "rollspan", "", "the rollspan to run (default: built from this checkout)")
	flag.BoolVar(&o.currentCluster, "current-cluster", false, "use the cluster of the current kubeconfig")
	flag.StringVar(&o.context, "context", "", "kubeconfig context, with --current-cluster (default: its current one)")
	flag.BoolVar(&o.keep, "keep", false, "keep everything running at the end, until Ctrl-C")
	flag.Parse()
	if err := o.validate(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	// What goes wrong is returned, and told. client-go would also log each
	// request that the played kubelets give up because their pod is gone.
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the program at once, and with it its servers.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Stdout, o)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		os.Exit(130) // as a shell says of Ctrl-C
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func (o *options) validate(args []string) error {
	switch {
	case len(args) > 0:
		return fmt.Errorf("%q is one argument too many", args[0])
	case o.context != "" && !o.currentCluster:
		return errors.New("--context goes with --current-cluster")
	}
	return nil
}

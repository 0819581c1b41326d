// Command rollspan watches Kubernetes clusters and sends their rollouts as
// OpenTelemetry traces.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/rollspan/rollspan/pkg/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the next one ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// Command rollspan watches Kubernetes clusters and sends their rollouts as
// OpenTelemetry traces.
package main

import (
	"os"

	"github.com/rollspan/rollspan/pkg/cli"
)

func main() {
	os.Exit(cli.Process(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// Command rollspan watches Kubernetes clusters and sends their rollouts as
// OpenTelemetry traces.
package main

import (
	"os"

	// The public authorities, for an image in which there is nothing else. Those of the
	// system win, where there are any.
	_ "golang.org/x/crypto/x509roots/fallback"

	"github.com/rollspan/rollspan/pkg/cli"
)

func main() {
	os.Exit(cli.Process(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/watcher"
)

// version is set by release builds:
// -ldflags "-X github.com/rollspan/rollspan/pkg/cli.version=v1.2.3"
var version string

// buildVersion is the release's version, or the module's as the go command
// stamped it, or "devel".
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// userAgent is what servers are told of who asks.
func userAgent() string { return "rollspan/" + buildVersion() }

// restConfig is how to reach the API server, which is told whose requests they are.
func restConfig(c *watcher.Connection) (*rest.Config, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	config.UserAgent = userAgent()
	return config, nil
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of rollspan and of what it is built with",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(a.Out, "rollspan %s\n", buildVersion())
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return nil
			}
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					fmt.Fprintf(a.Out, "  commit %s\n", s.Value)
				}
			}
			fmt.Fprintf(a.Out, "  %s\n", info.GoVersion)
			for _, m := range info.Deps {
				switch m.Path {
				case "k8s.io/client-go", "sigs.k8s.io/controller-runtime",
					"go.opentelemetry.io/otel", "go.opentelemetry.io/proto/otlp":
					fmt.Fprintf(a.Out, "  %s %s\n", m.Path, m.Version)
				}
			}
			return nil
		},
	}
}

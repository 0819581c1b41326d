package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/doctor"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// errUnwell says that something has failed, which the report on standard output names.
var errUnwell = errors.New("something is wrong; see what failed in the report")

// examined are the flags of run that decide what is looked at. The others are taken, too, so
// that the command line of a run can be asked about as it is.
var examined = []string{
	"namespace", "kubeconfig", "context", "data-dir", "data-dir-max-bytes", "leader-elect", "leader-elect-namespace",
	"otlp-endpoint", "otlp-protocol", "otlp-headers", "otlp-headers-file", "otlp-bearer-token-file", "otlp-insecure",
	"otlp-certificate", "otlp-client-certificate", "otlp-client-key", "otlp-timeout", "otlp-compression",
}

func (a *app) doctorCommand() *cobra.Command {
	r := &run{app: a}
	format, as := reportFormat{text: reportText, run: &r.conversion.format}, ""
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Look whether rollspan can do its job, and say what to do if not",
		Long: `Look whether rollspan can do its job here, and say what to do if not: whether the API
server answers, in a version that rollspan is for, with a clock that agrees with this one; which
kinds may be read, and what traces lose without the others; whether Events, Leases and the
data directory are as they should be; and whether the collector takes spans, or its name,
port, certificate, a policy or the credentials are in the way.

It takes the flags of 'rollspan run', and looks at what a run with these would use; -o is
its own, but in a file of a run's flags (--config). It changes nothing, but for a file in
the data directory that it removes again.`,
		Example: `  # With the rights of whom kubectl is, and a collector
  rollspan doctor --otlp-endpoint http://localhost:4317

  # With the rights of the service account, where you may impersonate it
  rollspan doctor --as system:serviceaccount:rollspan:rollspan

  # In the pod, with its own network, variables and rights
  kubectl -n rollspan exec deployment/rollspan -- /rollspan doctor`,
		Args: noArguments,
		PreRunE: func(*cobra.Command, []string) error {
			r.conversion.format = cmp.Or(r.conversion.format, r.conversion.usualFormat())
			return a.usage(errors.Join(format.validate(), r.validate()))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return r.examine(cmd, format.text, as) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.VarP(&format, "output", "o", "text or json; in a file (--config) it is how the run prints, as for 'rollspan run'")
	fs.StringVar(&as, "as", "", "`USER` whose rights to look at, such as system:serviceaccount:rollspan:rollspan; default whoever the kubeconfig says")
	r.command().Flags().VisitAll(func(f *pflag.Flag) {
		if fs.Lookup(f.Name) != nil {
			return
		}
		f.Hidden = !slices.Contains(examined, f.Name)
		fs.AddFlag(f)
	})
	return cmd
}

// What -o of doctor can be.
const (
	reportText = "text"
	reportJSON = "json"
)

// reportFormat is what -o of doctor says. A file of flags is a run's, as it is: so what is there is
// how that prints, which decides whether it has a collector.
type reportFormat struct {
	text string
	run  *string
}

// String is what was given.
func (f *reportFormat) String() string { return f.text }

// Set takes what the command line has.
func (f *reportFormat) Set(value string) error {
	f.text = value
	return nil
}

// Type is how the help calls a value.
func (f *reportFormat) Type() string { return "string" }

func (f *reportFormat) setInFile(value string) { *f.run = value }

func (f *reportFormat) validate() error {
	if f.text != reportText && f.text != reportJSON {
		return fmt.Errorf("-o: %q is not one of %s, %s", f.text, reportText, reportJSON)
	}
	return nil
}

// examine looks at everything, and prints it.
func (r *run) examine(cmd *cobra.Command, format, as string) error {
	o := doctor.Options{
		Version: buildVersion(), Namespaces: r.namespaces, Elect: r.manager.LeaderElect,
		LeaseNamespace: r.manager.LeaderElectNamespace, DataDir: r.dataDir, DataDirMaxBytes: r.dataDirMost,
	}
	if o.LeaseNamespace == "" {
		o.LeaseNamespace = watcher.PodNamespace()
	}
	if o.Config, o.ConfigError = restConfig(&r.connection); o.ConfigError == nil && as != "" {
		o.Config.Impersonate = rest.ImpersonationConfig{UserName: as} // without the groups that the kubeconfig may have for another
	}
	if r.conversion.format == outputOTLP {
		o.Collector = &r.conversion.exporter
	}
	report := doctor.Examine(cmd.Context(), o)
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	var err error
	if format == reportJSON {
		encoder := json.NewEncoder(r.Out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(report)
	} else {
		err = report.WriteText(r.Out)
	}
	if err == nil && report.Status == doctor.Failed {
		err = errUnwell
	}
	return err
}

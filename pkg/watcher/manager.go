package watcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// ManagerOptions say how a Live is run. The zero value runs it at once, with
// no server.
type ManagerOptions struct {
	// LeaderElect makes replicas elect one that hands out what all of them see. Default false:
	// who runs has a Lease of its own, and hands out.
	LeaderElect bool
	// LeaderElectNamespace is where the Leases are. Default: the pod's own namespace. Outside
	// of a cluster it is required for LeaderElect, and without it there is no Lease.
	LeaderElectNamespace string
	// LeaderElectName is the Lease. Default: "rollspan". Of all that have the same one
	// hands out, so that two installations in one namespace need two names.
	LeaderElectName string
	// HealthAddress serves /healthz and /readyz, MetricsAddress /metrics;
	// host:port. Default: not served.
	HealthAddress, MetricsAddress string
	// PprofAddress serves /debug/pprof/, from which the memory of the process can be read.
	// Default: not served.
	PprofAddress string
	// Grace is how long what is going on may take to end once ctx is done. Default:
	// no time at all.
	Grace time.Duration
}

// Run runs l within a controller-runtime manager until ctx is done. It is an error if
// l, whose engine or sink may be stuck, has not ended when the grace is over; the
// goroutines of l are then left alone, and may still call the sink.
func Run(ctx context.Context, l *Live, o ManagerOptions) error {
	options := manager.Options{
		// What the manager does is of use to who debugs it; what it fails at
		// is returned.
		Logger:                 logr.FromSlogHandler(debugOnly{l.options.Log.Handler()}),
		HealthProbeBindAddress: orOff(o.HealthAddress),
		Metrics: metricsserver.Options{
			BindAddress: orOff(o.MetricsAddress),
			// The only text format that has room for exemplars.
			HandlerOpts: []func(*promhttp.HandlerOpts){func(o *promhttp.HandlerOpts) { o.EnableOpenMetrics = true }},
		},
		PprofBindAddress:        o.PprofAddress,
		GracefulShutdownTimeout: &o.Grace,
	}
	lease, err := l.lease(&o)
	if err != nil {
		return err
	}
	l.election, l.grace = lease, o.Grace
	m, err := manager.New(l.options.Config, options)
	if err != nil {
		if strings.Contains(err.Error(), "pprof") {
			return named("--pprof-address", err)
		}
		return named("--health-address", err)
	}
	if err := errors.Join(
		m.AddHealthzCheck("ping", healthz.Ping),
		m.AddHealthzCheck("engine", l.heartbeat.Check),
		m.AddReadyzCheck("first-lists", l.Ready),
		m.Add(l),
	); err != nil {
		return err
	}
	for _, c := range l.Collectors() {
		if err := metrics.Registry.Register(c); err != nil {
			return err
		}
		defer metrics.Registry.Unregister(c)
	}
	return named("--metrics-address", l.endWithin(ctx, o.Grace, m.Start))
}

// named names the flag with the address that nothing could listen on, if that is what
// an error is about.
func named(flag string, err error) error {
	var listen *net.OpError
	if errors.As(err, &listen) && listen.Op == "listen" {
		return fmt.Errorf("%s: %w", flag, listen)
	}
	return err
}

// orOff is an address as controller-runtime wants it.
func orOff(address string) string {
	if address == "" {
		return "0"
	}
	return address
}

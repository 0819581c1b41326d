package cli

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/rollspan/rollspan/pkg/otlp/export"
)

// push is whether metrics are pushed to the collector.
type push struct{ asked bool }

func (p *push) addFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&p.asked, "otlp-metrics", false,
		"push what /metrics has to the OTLP collector, too, every minute (env OTEL_METRICS_EXPORTER=otlp, OTEL_METRIC_EXPORT_INTERVAL in milliseconds)")
}

// wanted reports whether metrics are pushed. A variable that is wrong was refused: see validate.
func (p *push) wanted() bool {
	asked, _ := export.MetricsWanted()
	return p.asked || asked
}

// validate finds what is wrong with it. Whoever does not say where traces are sent to, and does not
// ask for it either, would not look for metrics on this machine.
func (p *push) validate(c *conversion) error {
	asked, err := export.MetricsWanted()
	by := "--otlp-metrics"
	if !p.asked {
		by = "OTEL_METRICS_EXPORTER=otlp"
	}
	switch {
	case err != nil:
		return err
	case !p.asked && !asked:
		return nil
	case c.format != outputOTLP && !c.exporter.MetricsConfigured():
		return fmt.Errorf("%s: no collector is named to push metrics to; name one with --otlp-endpoint or OTEL_EXPORTER_OTLP_ENDPOINT", by)
	}
	return c.exporter.ValidateMetrics()
}

// pushed has metrics pushed until next is closed, if that is asked for.
func (r *run) pushed(next output, clusterUID string) (output, error) {
	if !r.push.wanted() {
		return next, nil
	}
	of := []attribute.KeyValue{semconv.ServiceVersion(buildVersion())}
	if clusterUID != "" {
		of = append(of, semconv.K8SClusterUID(clusterUID))
	}
	if name := r.conversion.encoder.ClusterName; name != "" {
		of = append(of, semconv.K8SClusterName(name))
	}
	pushing, err := export.NewMetrics(r.conversion.exporter, ctrlmetrics.Registry, of, logr.FromSlogHandler(r.log.Handler()))
	if err != nil {
		return nil, err
	}
	r.log.Info("pushing metrics", "to", pushing.Endpoint())
	return pushedOutput{next, pushing}, nil
}

// pushedOutput pushes metrics until it is closed.
type pushedOutput struct {
	output
	metrics *export.Metrics
}

// Close pushes last what was counted until then.
func (o pushedOutput) Close(ctx context.Context) error {
	err := o.output.Close(ctx)
	o.metrics.Shutdown(ctx)
	return err
}

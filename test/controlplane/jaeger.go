package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Jaeger is a running Jaeger 2, which keeps what it is sent in memory. It is
// an OpenTelemetry Collector too: what it accepts, a Collector accepts.
type Jaeger struct {
	otlpServer
	query  int
	client *http.Client
}

// jaegerConfig has no batch processor: a span can be found as soon as its
// export was acknowledged, so tests need not guess when to look.
const jaegerConfig = `
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
  telemetry:
    metrics:
      level: none
    logs:
      level: info
extensions:
  jaeger_storage:
    backends:
      memory:
        memory:
          max_traces: 100000
  jaeger_query:
    storage:
      traces: memory
    http:
      endpoint: 127.0.0.1:QUERY
    grpc:
      endpoint: 127.0.0.1:QGRPC
  healthcheckv2:
    use_v2: true
    http:
      endpoint: 127.0.0.1:HEALTH
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:GRPC
      http:
        endpoint: 127.0.0.1:HTTP
exporters:
  jaeger_storage_exporter:
    trace_storage: memory
`

// StartJaeger builds Jaeger if need be and starts it, with these configuration files
// merged into its own. Of the Options it heeds Dir, Progress and BootTimeout.
func StartJaeger(ctx context.Context, o Options, configs ...string) (_ *Jaeger, err error) {
	bin, err := Jaeger2.Build(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withBootTimeout(ctx, o.BootTimeout)
	defer cancel()
	j := &Jaeger{client: &http.Client{Timeout: time.Minute}}
	if j.dir, j.removeDir, err = workDir(o.Dir); err != nil {
		return nil, err
	}
	config := filepath.Join(j.dir, "jaeger.yaml")
	args, err := configArgs(append([]string{config}, configs...))
	if err != nil {
		return nil, err
	}
	started := time.Now()
	var ports []int
	j.process, ports, err = server{
		name: "jaeger", binary: filepath.Join(bin, "jaeger"), dir: j.dir, ports: 5,
		prepare: func(port []int) error {
			filled := strings.NewReplacer(
				"GRPC", fmt.Sprint(port[0]), "HTTP", fmt.Sprint(port[1]),
				"QUERY", fmt.Sprint(port[2]), "QGRPC", fmt.Sprint(port[3]),
				"HEALTH", fmt.Sprint(port[4]),
			).Replace(jaegerConfig)
			return os.WriteFile(config, []byte(filled), 0o644)
		},
		args: func([]int) []string { return args },
		// The query API answers before the receivers listen; this does when
		// everything has started.
		ready: func(port []int) string { return loopback("http", port[4]) + "/status" },
	}.start(ctx)
	if err != nil {
		return nil, err
	}
	j.grpc, j.http, j.query = ports[0], ports[1], ports[2]
	newReporter(o.Progress)("Jaeger up after %s, query API at %s", time.Since(started).Round(10*time.Millisecond), j.QueryURL())
	return j, nil
}

// QueryURL is where the query API answers.
func (j *Jaeger) QueryURL() string { return loopback("http", j.query) }

package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// An OpenTelemetryCollector is a running OpenTelemetry Collector with the
// components that test/tools/collector names.
type OpenTelemetryCollector struct{ otlpServer }

// otlpServer is a running program that takes OTLP. What it has not handed on is lost when
// it is stopped.
type otlpServer struct {
	dir       string
	removeDir bool
	process   *process
	grpc      int
	http      int
}

// Stop ends the program at once, and all that it keeps.
func (s *otlpServer) Stop() {
	s.process.kill()
	if s.removeDir {
		_ = os.RemoveAll(s.dir)
	}
}

// Dir is where its configuration and its log are, and what it writes to relative paths.
func (s *otlpServer) Dir() string { return s.dir }

// KeepDir has Stop leave the directory, for a look at the log.
func (s *otlpServer) KeepDir() { s.removeDir = false }

// OTLPGRPC is the endpoint for OTLP over gRPC, as OTEL_EXPORTER_OTLP_ENDPOINT
// has it.
func (s *otlpServer) OTLPGRPC() string { return loopback("http", s.grpc) }

// OTLPHTTP is the endpoint for OTLP over HTTP, as OTEL_EXPORTER_OTLP_ENDPOINT
// has it.
func (s *otlpServer) OTLPHTTP() string { return loopback("http", s.http) }

// collectorHere is what every Collector's configuration ends with, so that it wins:
// it listens on this machine only, where nobody else does, and says when its
// pipelines have started.
const collectorHere = `
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:GRPC
      http:
        endpoint: 127.0.0.1:HTTP
extensions:
  health_check:
    endpoint: 127.0.0.1:HEALTH
service:
  extensions: [health_check]
  telemetry:
    metrics:
      level: none
`

// StartCollector builds a Collector if need be and starts it with these
// configuration files, of which later ones win: maps are merged, and lists are
// replaced. They must use the receiver otlp. Relative paths in them are below Dir.
// A processor with auth_type kubeConfig gets that kubeconfig. Of the Options
// StartCollector heeds Dir, Progress and BootTimeout.
func StartCollector(ctx context.Context, o Options, kubeconfig string, configs ...string) (_ *OpenTelemetryCollector, err error) {
	bin, err := Collector.Build(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withBootTimeout(ctx, o.BootTimeout)
	defer cancel()
	c := &OpenTelemetryCollector{}
	if c.dir, c.removeDir, err = workDir(o.Dir); err != nil {
		return nil, err
	}
	here := filepath.Join(c.dir, "here.yaml")
	args, err := configArgs(append(configs, here))
	if err != nil {
		return nil, err
	}
	started := time.Now()
	var ports []int
	c.process, ports, err = server{
		name: "collector", binary: filepath.Join(bin, "collector"), dir: c.dir, ports: 3,
		prepare: func(port []int) error {
			filled := strings.NewReplacer(
				"GRPC", fmt.Sprint(port[0]), "HTTP", fmt.Sprint(port[1]), "HEALTH", fmt.Sprint(port[2]),
			).Replace(collectorHere)
			return os.WriteFile(here, []byte(filled), 0o644)
		},
		args:  func([]int) []string { return args },
		env:   []string{"KUBECONFIG=" + kubeconfig},
		ready: func(port []int) string { return loopback("http", port[2]) },
	}.start(ctx)
	if err != nil {
		return nil, err
	}
	c.grpc, c.http = ports[0], ports[1]
	newReporter(o.Progress)("Collector up after %s, OTLP at %s", time.Since(started).Round(10*time.Millisecond), c.OTLPGRPC())
	return c, nil
}

// configArgs are the flags that give a Collector, as Jaeger is one, these files.
func configArgs(configs []string) (args []string, err error) {
	for _, config := range configs {
		if config, err = filepath.Abs(config); err != nil {
			return nil, fmt.Errorf("controlplane: %w", err)
		}
		args = append(args, "--config="+config)
	}
	return args, nil
}

// ValidateCollectorConfig has a Collector check these configuration files, of which
// later ones win, without starting anything. The error is what the Collector says.
func ValidateCollectorConfig(ctx context.Context, o Options, configs ...string) error {
	bin, err := Collector.Build(ctx, o.Progress)
	if err != nil {
		return err
	}
	args, err := configArgs(configs)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "collector"), append([]string{"validate"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("controlplane: collector validate %s: %w\n%s", strings.Join(configs, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// ReadSpans reads OTLP's JSON encoding, one message a line, as a Collector's file
// exporter writes it, and as `rollspan replay -o otlp-json` prints it. A last line
// without an end is one that is still being written, and is left out.
func ReadSpans(r io.Reader) ([]Span, error) {
	var out []Span
	for in, line := bufio.NewReader(r), 1; ; line++ {
		message, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("controlplane: OTLP JSON: %w", err)
		}
		var traces otlpTraces
		if err := json.Unmarshal(message, &traces); err != nil {
			return nil, fmt.Errorf("controlplane: OTLP JSON, line %d: %w", line, err)
		}
		spans, err := traces.spans()
		if err != nil {
			return nil, fmt.Errorf("controlplane: OTLP JSON, line %d: %w", line, err)
		}
		out = append(out, spans...)
	}
}

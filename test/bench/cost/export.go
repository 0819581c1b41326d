package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
	"github.com/rollspan/rollspan/test/bench/proc"
	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// collectorConfig has a Collector take spans and drop them: what is measured is the way
// there.
const collectorConfig = `
exporters:
  debug: {verbosity: basic, sampling_initial: 1, sampling_thereafter: 1000000}
processors:
  batch: {}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [batch], exporters: [debug]}
`

// measureExport sends so many spans into a real Collector, with each compression. The
// spans are those of the recordings, again and again, with other IDs.
func measureExport(ctx context.Context, n int) ([]Export, error) {
	checkout, err := harness.Checkout(ctx)
	if err != nil {
		return nil, err
	}
	traces, err := recorded(filepath.Join(checkout, "test", "recordings"))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rollspan-export-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it may stay
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte(collectorConfig), 0o600); err != nil {
		return nil, err
	}
	collector, err := controlplane.StartCollector(ctx, controlplane.Options{Dir: dir, Progress: os.Stderr}, "", config)
	if err != nil {
		return nil, err
	}
	defer collector.Stop()
	var out []Export
	for _, compression := range []string{"none", "gzip"} {
		e, err := send(ctx, collector.OTLPGRPC(), compression, traces, n)
		if err != nil {
			return out, fmt.Errorf("compression %s: %w", compression, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// recorded is what all recordings tell.
func recorded(dir string) (out []spans.Trace, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(fmt.Errorf("no recordings in %s", dir), err)
	}
	for _, file := range files {
		traces, err := replay(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, traces...)
	}
	return out, nil
}

func replay(path string) (out []spans.Trace, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it is only read
	engine := causality.New(causality.Options{})
	for r := watcher.NewRecordingReader(file, path); ; {
		observation, err := r.Next()
		if errors.Is(err, io.EOF) {
			return append(out, engine.Flush()...), nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, engine.Observe(observation)...)
	}
}

// send exports n spans at least, as fast as they are taken.
func send(ctx context.Context, endpoint, compression string, traces []spans.Trace, n int) (e Export, err error) {
	counted, err := startCounter(endpoint)
	if err != nil {
		return e, err
	}
	defer counted.listen.Close()
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "bench"})
	if err != nil {
		return e, err
	}
	exporter, err := export.New(export.Config{Endpoint: "http://" + counted.listen.Addr().String(), Protocol: export.ProtocolGRPC, Compression: compression}, encoder, logr.Discard())
	if err != nil {
		return e, err
	}
	used, err := proc.CPU("self")
	if err != nil {
		return e, err
	}
	began := time.Now()
	sent := 0
	for copies := 0; sent < n; copies++ {
		batch := renamed(traces, copies)
		for _, t := range batch {
			sent += len(t.Spans)
		}
		exporter.Enqueue(batch)
		// The queue drops what does not fit.
		err := poll(ctx, func() (bool, error) { return exporter.Stats().Queued < export.DefaultQueueSpans/2, nil })
		if err != nil {
			return e, err
		}
	}
	if left, err := exporter.Shutdown(ctx); err != nil || left > 0 {
		return e, fmt.Errorf("%d spans were left: %w", left, err)
	}
	stats := exporter.Stats()
	if stats.Sent != int64(sent) {
		return e, fmt.Errorf("%d of %d spans were sent; %s", stats.Sent, sent, stats.LastError)
	}
	e = Export{Compression: compression, Spans: sent, Seconds: time.Since(began).Seconds(), Bytes: counted.bytes.Load()}
	now, err := proc.CPU("self")
	e.CPUSeconds = (now - used).Seconds()
	return e, err
}

// renamed are the traces with other IDs of their own.
func renamed(traces []spans.Trace, copies int) []spans.Trace {
	out := make([]spans.Trace, len(traces))
	for i, t := range traces {
		out[i] = t
		out[i].Spans = make([]spans.Span, len(t.Spans))
		copy(out[i].Spans, t.Spans)
		for j := range out[i].Spans {
			s := &out[i].Spans[j]
			s.TraceID = spans.NewTraceID(s.TraceID.String(), fmt.Sprint(copies))
		}
	}
	return out
}

// A counter hands connections on, and counts the bytes that clients send.
type counter struct {
	listen net.Listener
	bytes  atomic.Int64
}

func startCounter(endpoint string) (*counter, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	c := &counter{}
	if c.listen, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	go func() {
		for {
			client, err := c.listen.Accept()
			if err != nil {
				return // It was closed.
			}
			go c.hand(client, u.Host)
		}
	}()
	return c, nil
}

func (c *counter) hand(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return // The client sees that its connection ends.
	}
	defer server.Close()
	go func() { _, _ = io.Copy(client, server) }() // it ends with the connections
	_, _ = io.Copy(counting{server, &c.bytes}, client)
}

// counting counts what is written.
type counting struct {
	io.Writer
	bytes *atomic.Int64
}

// Write writes and counts.
func (c counting) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.bytes.Add(int64(n))
	return n, err
}

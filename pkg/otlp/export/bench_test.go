package export_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// recorded are the traces of all recordings of the tests.
func recorded(b testing.TB) (traces []spans.Trace) {
	b.Helper()
	files, err := filepath.Glob("../../../test/recordings/*.jsonl")
	if err != nil || len(files) == 0 {
		b.Fatal("no recordings", err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = f.Close() }() // only read
		engine := causality.New(causality.Options{})
		for r := watcher.NewRecordingReader(f, file); ; {
			o, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
			traces = append(traces, engine.Observe(o)...)
		}
		traces = append(traces, engine.Close()...)
	}
	return traces
}

// BenchmarkExport is what a span costs from Enqueue until the collector has it, in processor
// time of this process, and in bytes of requests, with and without compression. The spans are
// those of the recordings, in requests of as many spans as are made of one trace (one), and as
// many as a request may have (512). The collector reads them and thinks nothing.
func BenchmarkExport(b *testing.B) {
	traces := recorded(b)
	count := 0
	for i := range traces {
		count += len(traces[i].Spans)
	}
	for _, compression := range []string{"none", "gzip"} {
		for name, groups := range map[string][][]spans.Trace{"one": each(traces), "512": {traces}} {
			b.Run(name+"/"+compression, func(b *testing.B) { benchmarkExport(b, groups, count, compression) })
		}
	}
}

// each are groups of one.
func each(traces []spans.Trace) (groups [][]spans.Trace) {
	for i := range traces {
		groups = append(groups, traces[i:i+1])
	}
	return groups
}

func benchmarkExport(b *testing.B, groups [][]spans.Trace, count int, compression string) {
	var wire atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body) // what is missing would be counted
		wire.Add(n)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "production", ClusterUID: "0b2e2f5d-6a55-4d14-9d3b-0a5b6f3c1d11", Version: "v1.0.0"})
	if err != nil {
		b.Fatal(err)
	}
	gone := make(chan int)
	e, err := export.New(export.Config{Endpoint: collector.URL, Protocol: export.ProtocolHTTP, Compression: compression,
		Acknowledged: func([]*spans.Span) {},
		Gone:         func(list []*otlp.Packed) { gone <- len(list) },
	}, encoder, logr.Discard())
	if err != nil {
		b.Fatal(err)
	}
	before := cpu(b)
	for b.Loop() {
		for _, g := range groups {
			left := 0
			for i := range g {
				left += len(g[i].Spans)
			}
			e.Enqueue(g)
			for left > 0 {
				left -= <-gone
			}
		}
	}
	total := float64(b.N) * float64(count)
	b.ReportMetric(float64(cpu(b)-before)/total, "cpu-ns/span")
	b.ReportMetric(float64(wire.Load())/total, "wire-B/span")
	if left, err := e.Shutdown(b.Context()); left > 0 || err != nil {
		b.Fatal(left, err)
	}
}

// cpu is what this process has used of processors.
func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

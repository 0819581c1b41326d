package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Report is all that was measured. Times are in seconds, and sizes in bytes.
type Report struct {
	Date    string   `json:"date"`
	Machine Machine  `json:"machine"`
	Runs    []Run    `json:"runs,omitempty"`
	Starts  []Start  `json:"starts,omitempty"`
	Export  []Export `json:"export,omitempty"`
	Engine  []Series `json:"engine,omitempty"`
}

// Machine is where it was measured.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes int64  `json:"memoryBytes"`
	OS          string `json:"os"`
	Go          string `json:"go"`
	// LoadBefore is the load average of the minute before: what else ran.
	LoadBefore string `json:"loadBefore"`
}

// Run is what became of so many pods that were created, rolled and deleted.
type Run struct {
	Pods        int `json:"pods"`
	Deployments int `json:"deployments"`
	Nodes       int `json:"nodes"`
	// With says which flags rollspan had: "defaults", or a variant.
	With string `json:"with"`
	// LoadSeconds is from the first write until the last pod is gone.
	LoadSeconds float64 `json:"loadSeconds"`
	// Floor is the do-nothing watcher's, and Rollspan rollspan's, from the first write of
	// the load until all is told. The peak is since the start.
	Floor    Cost `json:"floor"`
	Rollspan Cost `json:"rollspan"`
	// Of what there was, the rollouts at rest included, so much was told.
	Starts   Told `json:"podStarts"`
	Stops    Told `json:"podStops"`
	Rollouts Told `json:"rollouts"`
	Deletes  Told `json:"deletes"`

	LagAtRest    Lag `json:"lagAtRest"`
	LagUnderLoad Lag `json:"lagUnderLoad"`
	// EventsLate is how long after what they tell of the Events of the load came. rollspan
	// waits for longer than the settle period while they come later than that.
	EventsLate Lag `json:"eventsLate"`

	// SpansInLoad came over OTLP, in BytesInLoad of gRPC messages.
	SpansInLoad int   `json:"spansInLoad"`
	BytesInLoad int64 `json:"bytesInLoad"`
	// GzipShare is what gzip makes of these bytes.
	GzipShare          float64 `json:"gzipShare"`
	SpansPerSecond     float64 `json:"spansPerSecond"`
	MostSpansPerSecond int     `json:"mostSpansPerSecond"`
	// WatchBytes came from the API server to the do-nothing watcher, in TLS, until all
	// was told.
	WatchBytes   int64 `json:"watchBytes"`
	Observations int64 `json:"observations"`
	QueueWaits   int64 `json:"queueWaits"`
	Relists      int64 `json:"relists"`
	JournalBytes int64 `json:"journalBytes,omitempty"`
	// LogRecords came over OTLP, in LogBytes of gRPC messages.
	LogRecords int       `json:"logRecords,omitempty"`
	LogBytes   int64     `json:"logBytes,omitempty"`
	Requests   []Request `json:"requests"`
	// Steps are what both took until all was created, rolled, deleted and told.
	Steps []Step `json:"steps"`
}

// Step is what the programs took from one time of the load to the next.
type Step struct {
	Until           string  `json:"until"`
	Seconds         float64 `json:"seconds"`
	CPUSeconds      float64 `json:"cpuSeconds"`
	FloorCPUSeconds float64 `json:"floorCPUSeconds"`
}

// Cost is what a process needed.
type Cost struct {
	CPUSeconds float64 `json:"cpuSeconds"`
	PeakBytes  int64   `json:"peakBytes"`
	EndBytes   int64   `json:"endBytes"`
}

// Told is how many there were, and how many of these were told.
type Told struct {
	There int `json:"there"`
	Told  int `json:"told"`
}

// Lag is how long after the end of a rollout its root arrived, less the settle period.
type Lag struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// newLag takes what is sorted. A percentile is the smallest value that so many are not
// above.
func newLag(sorted []float64) (l Lag) {
	if l.N = len(sorted); l.N == 0 {
		return l
	}
	at := func(p float64) float64 { return sorted[max(0, int(math.Ceil(p*float64(l.N)))-1)] }
	l.P50, l.P99, l.Max = at(0.5), at(0.99), at(1)
	return l
}

// Start is what it took a program to start where there were so many pods.
type Start struct {
	Pods            int     `json:"pods"`
	What            string  `json:"what"`
	Seconds         float64 `json:"seconds"`
	CPUSeconds      float64 `json:"cpuSeconds"`
	PeakBytes       int64   `json:"peakBytes"`
	RecoverySeconds float64 `json:"recoverySeconds,omitempty"`
	Recovered       int64   `json:"recovered,omitempty"`
}

// Export is what it took to send spans into a Collector.
type Export struct {
	Compression string  `json:"compression"`
	Spans       int     `json:"spans"`
	Seconds     float64 `json:"seconds"`
	CPUSeconds  float64 `json:"cpuSeconds"`
	Bytes       int64   `json:"bytes"` // as the client wrote them, HTTP/2 included
}

func newReport() *Report {
	r := &Report{Date: time.Now().Format(time.DateOnly), Machine: Machine{
		CPU: procLine("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
	}}
	var kib int64
	if _, err := fmt.Sscan(procLine("/proc/meminfo", "MemTotal"), &kib); err == nil {
		r.Machine.MemoryBytes = kib << 10
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.Machine.LoadBefore, _, _ = strings.Cut(string(load), " ")
	}
	return r
}

// procLine is the value of the first line of that name, or "unknown".
func procLine(path, name string) string {
	text, _ := os.ReadFile(path) // without it nothing is known
	for line := range strings.SplitSeq(string(text), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// write writes the table and the figures into a directory.
func (r *Report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	var table strings.Builder
	if err := r.table(&table); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "cost.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cost.md"), []byte(table.String()), 0o644)
}

// table writes all of it for people, in Markdown.
func (r *Report) table(w io.Writer) error {
	m := r.Machine
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s, %d cores, %d GiB, %s, %s; load average before: %s\n\n", r.Date, m.CPU, m.Cores, m.MemoryBytes>>30, m.OS, m.Go, m.LoadBefore)
	b.WriteString("| measure | ratio | aim | rollspan | beside it |\n|---|---|---|---|---|\n")
	for _, row := range r.rows() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.measure, formatRatio(row.ratio), row.aim, row.ours, row.beside)
	}
	r.requests(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// formatRatio rounds, but not to 1 what is not 1: one pod of ten thousand matters.
func formatRatio(r float64) string {
	if math.IsNaN(r) {
		return "–"
	}
	out := fmt.Sprintf("%.2f", r)
	if out == all && r != 1 {
		out = fmt.Sprintf("%.6g", r)
	}
	return out
}

// requests says what the programs asked the API server for, in the first run: the others
// ask for the same.
func (r *Report) requests(b *strings.Builder) {
	if len(r.Runs) == 0 {
		return
	}
	run := r.Runs[0]
	fmt.Fprintf(b, "\nRequests to the API server, %d pods, %s:\n\n| program | verb | resource | requests |\n|---|---|---|---|\n", run.Pods, run.With)
	for _, q := range run.Requests {
		one := ""
		if q.OneObject {
			one = " (one object)"
		}
		fmt.Fprintf(b, "| %s | %s | %s%s | %d |\n", q.User, q.Verb, q.Resource, one, q.Count)
	}
}

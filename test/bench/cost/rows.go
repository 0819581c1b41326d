package main

import (
	"fmt"
	"math"
	"strings"
)

// A row is a line of the table. The ratio is NaN where there is nothing to compare with.
type row struct {
	measure      string
	ratio        float64
	aim          string
	ours, beside string
}

// The aims.
const (
	mostCPU, mostMemory = "≤ 1.25", "≤ 0.60"
	all                 = "1.00"
	most2, most1        = "≤ 2.00", "≤ 1.10"
)

func (r *Report) rows() (out []row) {
	for i := range r.Runs {
		out = append(out, r.Runs[i].rows()...)
	}
	for _, s := range r.Starts {
		out = append(out, s.row(r.Starts))
	}
	for i, e := range r.Export {
		out = append(out, e.rows(r.Export[0], i == 0)...)
	}
	for _, s := range r.Engine {
		out = append(out, s.row())
		if s.Name == throughput && s.Unit == perObservation {
			out = append(out, s.throughput())
		}
	}
	return out
}

func (r *Run) rows() []row {
	name := func(what string) string { return fmt.Sprintf("%s, %d pods, %s", what, r.Pods, r.With) }
	toldRow := func(what string, t Told) row {
		return row{name(what), ratio(float64(t.Told), float64(t.There)), all, fmt.Sprint(t.Told, " told"), fmt.Sprint(t.There, " there were")}
	}
	lag := func(what string, load, rest float64) row {
		return row{name(what), ratio(load, rest), "–", fmt.Sprintf("%.2f s under load", load), fmt.Sprintf("%.2f s at rest", rest)}
	}
	rows := []row{
		{name("CPU"), ratio(r.Rollspan.CPUSeconds, r.Floor.CPUSeconds), mostCPU, seconds(r.Rollspan.CPUSeconds), seconds(r.Floor.CPUSeconds) + " do-nothing watcher"},
		{name("peak memory"), ratio(float64(r.Rollspan.PeakBytes), float64(r.Floor.PeakBytes)), mostMemory, mib(r.Rollspan.PeakBytes), mib(r.Floor.PeakBytes) + " do-nothing watcher"},
		{name("memory when all is deleted"), ratio(float64(r.Rollspan.EndBytes), float64(r.Floor.EndBytes)), "–", mib(r.Rollspan.EndBytes), mib(r.Floor.EndBytes) + " do-nothing watcher"},
		toldRow("pod starts", r.Starts), toldRow("pod stops", r.Stops), toldRow("rollouts", r.Rollouts), toldRow("deletes", r.Deletes),
		lag("lag p50", r.LagUnderLoad.P50, r.LagAtRest.P50), lag("lag p99", r.LagUnderLoad.P99, r.LagAtRest.P99),
		{name("lag p99 to the lateness of Events"), ratio(r.LagUnderLoad.P99, r.EventsLate.P99), "–", fmt.Sprintf("%.2f s", r.LagUnderLoad.P99), fmt.Sprintf("%.2f s", r.EventsLate.P99)},
		{
			name("bytes sent to those received"), ratio(float64(r.BytesInLoad), float64(r.WatchBytes)), "–",
			fmt.Sprintf("%s of OTLP, %d spans, %.0f spans/s, %d at most", mib(r.BytesInLoad), r.SpansInLoad, r.SpansPerSecond, r.MostSpansPerSecond),
			mib(r.WatchBytes) + " from the API server",
		},
	}
	for _, s := range r.Steps {
		rows = append(rows, row{
			name("CPU until all is " + s.Until), ratio(s.CPUSeconds, s.FloorCPUSeconds), "–",
			seconds(s.CPUSeconds) + " in " + seconds(s.Seconds), seconds(s.FloorCPUSeconds) + " do-nothing watcher",
		})
	}
	if r.SpansInLoad > 0 {
		rows = append(rows, row{name("bytes a span, gzip"), r.GzipShare, "–", fmt.Sprintf("%.0f", r.GzipShare*r.bytesPerSpan()), fmt.Sprintf("%.0f without", r.bytesPerSpan())})
	}
	if r.JournalBytes > 0 {
		rows = append(rows, row{name("journal"), math.NaN(), "–", mib(r.JournalBytes) + " at the end", "–"})
	}
	if r.LogRecords > 0 {
		rows = append(rows, row{name("log records"), math.NaN(), "–", fmt.Sprintf("%d, %.0f bytes each", r.LogRecords, ratio(float64(r.LogBytes), float64(r.LogRecords))), "–"})
	}
	return rows
}

func (r *Run) bytesPerSpan() float64 { return ratio(float64(r.BytesInLoad), float64(r.SpansInLoad)) }

// row compares with what the do-nothing watcher needs to start with as many pods.
func (s Start) row(all []Start) row {
	out := row{fmt.Sprintf("%s, %d pods", s.What, s.Pods), math.NaN(), "–", fmt.Sprintf("%s, %s CPU, peak %s", seconds(s.Seconds), seconds(s.CPUSeconds), mib(s.PeakBytes)), "–"}
	if s.Recovered > 0 {
		out.ours += fmt.Sprintf("; of it %s for %d observations", seconds(s.RecoverySeconds), s.Recovered)
	}
	for _, floor := range all {
		if floor.Pods == s.Pods && floor.What == firstListsOfFloor && s.What != firstListsOfFloor {
			out.ratio = ratio(s.CPUSeconds, floor.CPUSeconds)
			out.beside = seconds(floor.CPUSeconds) + " CPU do-nothing watcher"
		}
	}
	return out
}

// rows compare with no compression.
func (e Export) rows(none Export, first bool) []row {
	perSecond := func(e Export) float64 { return float64(e.Spans) / e.Seconds }
	bytes := func(e Export) float64 { return float64(e.Bytes) / float64(e.Spans) }
	cpu := func(e Export) float64 { return e.CPUSeconds / float64(e.Spans) * 1e6 }
	rows := []row{
		{"spans a second into a Collector, " + e.Compression, ratio(perSecond(e), perSecond(none)), "–", fmt.Sprintf("%.0f", perSecond(e)), fmt.Sprintf("%.0f", perSecond(none))},
		{"bytes a span, " + e.Compression, ratio(bytes(e), bytes(none)), "–", fmt.Sprintf("%.0f", bytes(e)), fmt.Sprintf("%.0f", bytes(none))},
		{"CPU to send a span, " + e.Compression, ratio(cpu(e), cpu(none)), "–", fmt.Sprintf("%.1f µs", cpu(e)), fmt.Sprintf("%.1f µs", cpu(none))},
	}
	for i := range rows {
		if first {
			rows[i].ratio, rows[i].beside = math.NaN(), "–"
		} else {
			rows[i].beside += " without"
		}
	}
	return rows
}

// row compares the largest size with the smallest.
func (s Series) row() row {
	first, last := s.Points[0], s.Points[len(s.Points)-1]
	aim := most1 // of what is looked at
	if strings.Contains(s.Unit, "ns/") || strings.Contains(s.Unit, "µs/") {
		aim = most2 // of time
	}
	at := func(p Point) string {
		if p.Value >= 1000 {
			return fmt.Sprintf("%.0f %s with %g", p.Value, s.Unit, p.N)
		}
		return fmt.Sprintf("%.3g %s with %g", p.Value, s.Unit, p.N)
	}
	return row{fmt.Sprintf("%s, %s=%g…%g", s.Name, s.Of, first.N, last.N), s.growth(), aim, at(last), at(first)}
}

// What the engine's throughput is measured by: a million observations of real life.
const (
	throughput, perObservation = "BenchmarkMultiplied", "ns/observation"
	leastThroughput            = 200_000 // observations a second, on one core
)

// throughput compares with the aim.
func (s Series) throughput() row {
	perSecond := 1e9 / s.Points[len(s.Points)-1].Value
	return row{
		"engine alone, observations a second", perSecond / leastThroughput, "≥ 1.00",
		fmt.Sprintf("%.0f", perSecond), fmt.Sprintf("%d aimed at", leastThroughput),
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

func seconds(s float64) string { return fmt.Sprintf("%.2f s", s) }

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

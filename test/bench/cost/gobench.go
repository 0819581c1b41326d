package main

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Series is how a Go benchmark grows with what its last name says, "pods=100".
type Series struct {
	Name string `json:"name"` // "BenchmarkRollout"
	Of   string `json:"of"`   // "pods"
	Unit string `json:"unit"` // "ns/observation"
	// Points are by size.
	Points []Point `json:"points"`
}

// Point is the median of what was measured at one size.
type Point struct {
	N     float64 `json:"n"`
	Value float64 `json:"value"`
}

// growth is how many times the value of the largest size is that of the smallest.
func (s Series) growth() float64 {
	return s.Points[len(s.Points)-1].Value / s.Points[0].Value
}

var sized = regexp.MustCompile(`^(Benchmark\S*)/(\w+)=(\d+)(?:-\d+)?$`)

// parseGoBench reads Go's benchmark format (golang.org/design/14313-benchmark-format) and
// returns what was measured at several sizes. What is told of an operation as a whole,
// such as ns/op, has to grow, so only units that a benchmark itself reports count. Of
// several runs the median does.
func parseGoBench(text string) []Series {
	type key struct{ name, of, unit string }
	values := map[key]map[float64][]float64{}
	var order []key
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		name := sized.FindStringSubmatch(fields[0])
		if name == nil {
			continue
		}
		size, err := strconv.ParseFloat(name[3], 64)
		if err != nil {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			unit := fields[i+1]
			if err != nil || strings.HasSuffix(unit, "/op") {
				continue
			}
			k := key{name[1], name[2], unit}
			if values[k] == nil {
				values[k] = map[float64][]float64{}
				order = append(order, k)
			}
			values[k][size] = append(values[k][size], value)
		}
	}
	var out []Series
	for _, k := range order {
		s := Series{Name: k.name, Of: k.of, Unit: k.unit}
		for size, measured := range values[k] {
			slices.Sort(measured)
			s.Points = append(s.Points, Point{size, measured[len(measured)/2]})
		}
		slices.SortFunc(s.Points, func(a, b Point) int { return cmp.Compare(a.N, b.N) })
		if len(s.Points) > 1 && s.Points[0].Value > 0 {
			out = append(out, s)
		}
	}
	return out
}

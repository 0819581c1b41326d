package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// story is a report of one run in which a pod's stop was not told.
func story() *Report {
	return &Report{
		Date: "2026-01-02", Machine: Machine{CPU: "slow", Cores: 2, MemoryBytes: 8 << 30, OS: "linux/amd64", Go: "go1.26", LoadBefore: "0.10"},
		Runs: []Run{{
			Pods: 2000, Deployments: 20, With: "defaults",
			Floor: Cost{CPUSeconds: 10, PeakBytes: 100 << 20, EndBytes: 50 << 20}, Rollspan: Cost{CPUSeconds: 12.5, PeakBytes: 40 << 20, EndBytes: 40 << 20},
			Starts: Told{4000, 4000}, Stops: Told{4000, 3999}, Rollouts: Told{40, 40}, Deletes: Told{20, 20},
			LagAtRest: Lag{25, 0.5, 1, 1}, LagUnderLoad: Lag{40, 1, 4, 5},
			SpansInLoad: 1024, BytesInLoad: 1 << 20, GzipShare: 0.25, WatchBytes: 4 << 20,
			Requests: []Request{{rollspanUser, "get", "namespaces kube-system", true, 1}, {rollspanUser, "watch", "pods", false, 2}},
		}},
		Starts: []Start{
			{Pods: 2000, What: firstListsOfFloor, Seconds: 2, CPUSeconds: 1, PeakBytes: 1 << 20},
			{Pods: 2000, What: "recovery", Seconds: 3, CPUSeconds: 1.5, PeakBytes: 2 << 20, RecoverySeconds: 1, Recovered: 9},
		},
		Export: []Export{
			{Compression: "none", Spans: 1000, Seconds: 1, CPUSeconds: 0.02, Bytes: 600_000},
			{Compression: "gzip", Spans: 1000, Seconds: 2, CPUSeconds: 0.03, Bytes: 60_000},
		},
		Engine: []Series{
			{"BenchmarkRollout", "pods", perObservation, []Point{{100, 5000}, {5000, 6000}}},
			{throughput, "copies", perObservation, []Point{{3, 4000}, {300, 4000}}},
		},
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := story().table(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2026-01-02; slow, 2 cores, 8 GiB, linux/amd64, go1.26; load average before: 0.10\n",
		"| CPU, 2000 pods, defaults | 1.25 | ≤ 1.25 | 12.50 s | 10.00 s do-nothing watcher |\n",
		"| peak memory, 2000 pods, defaults | 0.40 | ≤ 0.60 | 40.0 MiB | 100.0 MiB do-nothing watcher |\n",
		// One of 4,000 must not be rounded away.
		"| pod stops, 2000 pods, defaults | 0.99975 | 1.00 | 3999 told | 4000 there were |\n",
		"| rollouts, 2000 pods, defaults | 1.00 | 1.00 | 40 told | 40 there were |\n",
		"| lag p99, 2000 pods, defaults | 4.00 | – | 4.00 s under load | 1.00 s at rest |\n",
		"| bytes a span, gzip, 2000 pods, defaults | 0.25 | – | 256 | 1024 without |\n",
		"| recovery, 2000 pods | 1.50 | – | 3.00 s, 1.50 s CPU, peak 2.0 MiB; of it 1.00 s for 9 observations | 1.00 s CPU do-nothing watcher |\n",
		"| first lists, do-nothing watcher, 2000 pods | – | – | 2.00 s, 1.00 s CPU, peak 1.0 MiB | – |\n",
		"| spans a second into a Collector, gzip | 0.50 | – | 500 | 1000 without |\n",
		"| CPU to send a span, none | – | – | 20.0 µs | – |\n",
		"| BenchmarkRollout, pods=100…5000 | 1.20 | ≤ 2.00 | 6000 ns/observation with 5000 | 5000 ns/observation with 100 |\n",
		"| engine alone, observations a second | 1.25 | ≥ 1.00 | 250000 | 200000 aimed at |\n",
		"| rollspan | get | namespaces kube-system (one object) | 1 |\n",
		"| rollspan | watch | pods | 2 |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table does not have\n%sbut is\n%s", want, &out)
		}
	}
}

// TestWritten reads back what was written.
func TestWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := story().write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "cost.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, story()) {
		t.Errorf("got %+v, want %+v", got, story())
	}
}

// TestWithoutFigures has nothing to divide by.
func TestWithoutFigures(t *testing.T) {
	var out strings.Builder
	if err := (&Report{Runs: []Run{{Pods: 100}}, Starts: []Start{{Pods: 100, What: "recovery"}}}).table(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "NaN") || strings.Contains(out.String(), "Inf") {
		t.Errorf("the table has what is no number:\n%s", &out)
	}
}

func TestGoBench(t *testing.T) {
	got := parseGoBench(`goos: linux
cpu: slow
BenchmarkRollout/pods=100-2     	     500	   2300000 ns/op	      7000 ns/observation	   10 B/op	  1 allocs/op
BenchmarkRollout/pods=100-2     	     500	   2400000 ns/op	      7200 ns/observation	   10 B/op	  1 allocs/op
BenchmarkRollout/pods=100-2     	     500	   2400000 ns/op	      9900 ns/observation	   10 B/op	  1 allocs/op
BenchmarkRollout/pods=5000-2    	       5	 230000000 ns/op	     10800 ns/observation	   10 B/op	  1 allocs/op
BenchmarkFlaps/of=node/pods=10  	       5	       100 ns/op	         4 looked/observation
BenchmarkFlaps/of=node/pods=1000	       5	       100 ns/op	         5 looked/observation
BenchmarkEncode-2               	     500	      2300 ns/op
BenchmarkAlone/pods=100-2       	     500	      2300 ns/op	       1 ns/observation
PASS
`)
	want := []Series{
		{"BenchmarkRollout", "pods", "ns/observation", []Point{{100, 7200}, {5000, 10800}}},
		{"BenchmarkFlaps/of=node", "pods", "looked/observation", []Point{{10, 4}, {1000, 5}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for i, growth := range []float64{1.5, 1.25} {
		if g := want[i].growth(); g != growth {
			t.Errorf("%s grows %g times, want %g", want[i].Name, g, growth)
		}
	}
	for unit, aim := range map[string]string{"work/observation": most1, "looked/observation": most1, "ns/observation": most2, "cpu-µs/observation": most2} {
		if got := (Series{Unit: unit, Points: []Point{{1, 1}, {2, 1}}}).row().aim; got != aim {
			t.Errorf("the aim of %s is %s, want %s", unit, got, aim)
		}
	}
}

func TestLag(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for _, c := range []struct {
		of   []float64
		want Lag
	}{
		{nil, Lag{}},
		{[]float64{3}, Lag{1, 3, 3, 3}},
		{[]float64{1, 2}, Lag{2, 1, 2, 2}},
		{hundred, Lag{100, 50, 99, 100}},
	} {
		if got := newLag(c.of); got != c.want {
			t.Errorf("of %v: got %+v, want %+v", c.of, got, c.want)
		}
	}
}

// TestAudit has a watch in two lines, a request of package controlplane's, and a line
// that is still being written.
func TestAudit(t *testing.T) {
	got, err := parseAudit(strings.NewReader(`{"auditID":"1","stage":"ResponseStarted","verb":"watch","requestURI":"/apis/apps/v1/replicasets?watch=true","user":{"username":"system:serviceaccount:bench:rollspan"},"objectRef":{"resource":"replicasets","apiGroup":"apps"}}
{"auditID":"1","stage":"ResponseComplete","verb":"watch","requestURI":"/apis/apps/v1/replicasets?watch=true","user":{"username":"system:serviceaccount:bench:rollspan"},"objectRef":{"resource":"replicasets","apiGroup":"apps"}}
{"auditID":"2","verb":"get","requestURI":"/api/v1/namespaces/kube-system","user":{"username":"system:serviceaccount:bench:rollspan"},"objectRef":{"resource":"namespaces","name":"kube-system"}}
{"auditID":"3","verb":"create","requestURI":"/apis","userAgent":"rollspan-test","user":{"username":"system:serviceaccount:bench:rollspan"},"objectRef":{"resource":"selfsubjectaccessreviews"}}
{"auditID":"4","verb":"list","requestURI":"/api/v1/pods?fieldSelector=metadata.name%3Dweb","user":{"username":"system:serviceaccount:bench:floor"},"objectRef":{"resource":"pods"}}
{"auditID":"5","verb":"get","requestURI":"/apis/apps?timeout=32s","user":{"username":"system:serviceaccount:bench:floor"}}
{"auditID":"6","ver`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Request{
		{floorUser, "get", "/apis/apps", false, 1},
		{floorUser, "list", "pods ", true, 1},
		{rollspanUser, "get", "namespaces kube-system", true, 1},
		{rollspanUser, "watch", "replicasets.apps", false, 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if err := sameWatches(got); err == nil || !strings.Contains(err.Error(), "replicasets.apps") {
		t.Errorf("one of them does not watch ReplicaSets; got the error %v", err)
	}
}

func TestRatioOfNothing(t *testing.T) {
	if r := ratio(1, 0); !math.IsNaN(r) {
		t.Errorf("got %g", r)
	}
}

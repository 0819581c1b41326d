// Command lists measures what memory rollspan needs to start on a large cluster:
// its first lists, and what it keeps of them. It starts the real program against
//
//   - a list server that is part of it (see listServer): HTTP, TLS and protobuf as
//     the API server speaks them, and objects that are made up while they are sent.
//     There is no etcd behind it, and nothing changes after the lists;
//   - with -cluster, the real API server and etcd, with pods written to them.
//
// It prints the peak of the resident memory, the live heap after the lists, and the
// time until rollspan is ready. Times depend on the machine more than memory does.
// The peak is the kernel's (VmHWM), so it needs Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/rollspan/rollspan/test/bench/proc"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

func main() {
	rollspan := flag.String("rollspan", "bin/rollspan", "the rollspan to measure")
	sizes := flag.String("pods", "10000,50000,150000", "numbers of pods")
	pages := flag.Bool("pages", false, "let the list server not stream lists: they come in pages")
	cluster := flag.Bool("cluster", false, "measure on the real API server")
	limit := flag.String("gomemlimit", "", "GOMEMLIMIT of rollspan (default: none)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *rollspan, strings.Split(*sizes, ","), *limit, *pages, *cluster)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rollspan string, sizes []string, limit string, pages, cluster bool) error {
	var counts []int
	for _, s := range sizes {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("-pods: %q is not a number of pods", s)
		}
		counts = append(counts, n)
	}
	rollspan, err := filepath.Abs(rollspan)
	if err != nil {
		return err
	}
	fmt.Printf("%s, %d cores, %s, GOMEMLIMIT=%q; a pod has %d bytes, a ReplicaSet %d, an Event %d\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), limit, size(pod(0)), size(replicaSet(0)), size(event(0)))
	for _, n := range counts {
		m, err := measureOn(ctx, rollspan, n, limit, pages, cluster)
		if err != nil {
			return fmt.Errorf("%d pods: %w", n, err)
		}
		fmt.Printf("%7d pods: peak RSS %4d MiB, live heap %4d MiB, ready after %s\n", n, m.peak>>20, m.heap>>20, m.ready.Round(100*time.Millisecond))
	}
	return nil
}

func measureOn(ctx context.Context, rollspan string, pods int, limit string, pages, cluster bool) (measured, error) {
	dir, err := os.MkdirTemp("", "rollspan-lists-")
	if err != nil {
		return measured{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it may stay
	var kubeconfig string
	if cluster {
		plane, err := startCluster(ctx, pods)
		if err != nil {
			return measured{}, err
		}
		defer plane.Stop()
		kubeconfig = plane.Kubeconfig()
	} else {
		server := startListServer(pods, !pages)
		defer server.Close()
		if kubeconfig, err = server.kubeconfig(dir); err != nil {
			return measured{}, err
		}
	}
	return measure(ctx, rollspan, kubeconfig, limit)
}

// size is how long an object is on the wire.
func size(object k8sruntime.Object) int {
	return object.(interface{ Size() int }).Size()
}

// measured is what a run needed.
type measured struct {
	// peak is the highest resident memory and heap the live heap, in bytes.
	peak, heap int64
	ready      time.Duration
}

// measure runs rollspan until its first lists are through, and what they brought.
func measure(ctx context.Context, rollspan, kubeconfig, limit string) (m measured, err error) {
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer collector.Close()
	addresses, err := harness.FreeAddresses(2)
	if err != nil {
		return m, err
	}
	health, metrics := addresses[0], addresses[1]
	program := exec.Command(rollspan, "run", "--kubeconfig", kubeconfig, "--log-level", "warn",
		"--health-address", health, "--metrics-address", metrics,
		"--otlp-endpoint", collector.URL, "--otlp-protocol", "http/protobuf")
	program.Stderr = os.Stderr
	program.Env = append(os.Environ(), "GOMEMLIMIT="+limit)
	if limit == "" {
		program.Env = append(os.Environ(), "GOMEMLIMIT=off")
	}
	started := time.Now()
	if err := program.Start(); err != nil {
		return m, err
	}
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	defer func() {
		_ = program.Process.Signal(syscall.SIGTERM)
		if end := <-ended; err == nil && end != nil {
			err = fmt.Errorf("rollspan: %w", end)
		}
	}()

	if err := eventually(ctx, ended, func() bool {
		response, err := http.Get("http://" + health + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}); err != nil {
		return m, err
	}
	m.ready = time.Since(started)

	// The queue is empty, and the heap was collected since.
	var collections float64
	for i := range 2 {
		if err := eventually(ctx, ended, func() bool {
			values, err := proc.Scrape(ctx, metrics)
			now := values["go_gc_duration_seconds_count"]
			if err != nil || values["rollspan_queue_length"] > 0 || now <= collections && i > 0 {
				return false
			}
			collections, m.heap = now, int64(values["go_memstats_heap_alloc_bytes"])
			return now > 0
		}); err != nil {
			return m, err
		}
	}
	m.peak, _, err = proc.Memory(program.Process.Pid)
	return m, err
}

// eventually waits for a condition. It fails if the program ends before.
func eventually(ctx context.Context, ended chan error, condition func() bool) error {
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Hour, true, func(context.Context) (bool, error) {
		select {
		case err := <-ended:
			ended <- err
			return false, fmt.Errorf("rollspan ended before it was ready: %w", errors.Join(err, errors.New("see above")))
		default:
			return condition(), nil
		}
	})
}

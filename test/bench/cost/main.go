// Command cost measures what rollspan costs beside a program that only lists and watches
// the same kinds (test/bench/floor), on a real API server with kwok's nodes, and reads
// what the engine's Go benchmarks found alone. It prints one table, by ratio, and writes
// the figures as JSON.
//
// Of each size there is a run: so many pods, a hundred a Deployment, are created, rolled
// and deleted, all at once. Both programs watch the same control plane at the same time.
// Ratios depend on the machine much less than figures do; still, nothing else should run
// on it. Processes are read from /proc, so it needs Linux.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

// options are the flags.
type options struct {
	rollspan string
	sizes    []int
	nodes    int
	with     []variant
	restarts bool
	profile  bool
	export   int
	engine   string
	out      string
	limit    time.Duration
}

// A variant is a rollspan with other flags than by default.
type variant struct {
	name  string
	flags []string
	// profile is the file for a profile of it while Deployments are rolled; empty for none.
	profile string
}

// dataDirFlag stands for a directory that a run makes, in the flags of a variant.
const dataDirFlag = "{dir}"

func main() {
	o, err := parse()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, o)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

func parse() (o options, err error) {
	o.with = []variant{{name: "defaults"}}
	sizes := flag.String("pods", "2000", "numbers of pods, each a run; none for no cluster")
	flag.StringVar(&o.rollspan, "rollspan", "bin/rollspan", "the rollspan to measure")
	flag.IntVar(&o.nodes, "nodes", 40, "how many nodes kwok plays")
	flag.Func("with", "`NAME=FLAGS` of one more run of each size; "+dataDirFlag+" is a directory of its own; repeatable", func(s string) error {
		name, flags, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return errors.New("write NAME=FLAGS")
		}
		o.with = append(o.with, variant{name: name, flags: strings.Fields(flags)})
		return nil
	})
	flag.BoolVar(&o.restarts, "restarts", false, "after each run measure the first lists, and the recovery where the variant has a "+dataDirFlag)
	flag.BoolVar(&o.profile, "profile", false, "profile rollspan's CPU for half a minute of each run while Deployments are rolled, and while they are deleted, into cpu-*.pprof")
	flag.IntVar(&o.export, "export", 0, "send so many `SPANS` into a real Collector, with gzip and without")
	flag.StringVar(&o.engine, "engine", "", "`FILE` that the engine's Go benchmarks wrote")
	flag.StringVar(&o.out, "o", "bin/bench", "`DIRECTORY` for the table and the figures")
	flag.DurationVar(&o.limit, "limit", 30*time.Minute, "how long a run may take")
	flag.Parse()
	for s := range strings.SplitSeq(*sizes, ",") {
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < podsPerDeployment || n%podsPerDeployment != 0 {
			return o, fmt.Errorf("-pods: %q is not a multiple of %d", s, podsPerDeployment)
		}
		o.sizes = append(o.sizes, n)
	}
	return o, nil
}

func run(ctx context.Context, o options) error {
	report := newReport()
	if o.engine != "" {
		text, err := os.ReadFile(o.engine)
		if err != nil {
			return err
		}
		report.Engine = parseGoBench(string(text))
	}
	if o.export > 0 {
		exports, err := measureExport(ctx, o.export)
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		report.Export = exports
	}
	if err := measureRuns(ctx, o, report); err != nil {
		// What was measured before is not lost.
		return errors.Join(err, report.write(o.out))
	}
	if err := report.write(o.out); err != nil {
		return err
	}
	return report.table(os.Stdout)
}

func measureRuns(ctx context.Context, o options, report *Report) error {
	if len(o.sizes) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp("", "rollspan-cost-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it may stay
	programs, err := build(ctx, dir, o.rollspan)
	if err != nil {
		return err
	}
	for _, pods := range o.sizes {
		for _, v := range o.with {
			fmt.Fprintf(os.Stderr, "cost: %d pods, %s\n", pods, v.name)
			run := fmt.Sprintf("%d-%s", pods, v.name)
			if o.profile {
				v.profile = filepath.Join(o.out, "cpu-"+run+".pprof")
			}
			limited, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not over within -limit %s", o.limit))
			r, starts, err := measureRun(limited, programs, filepath.Join(dir, run), pods, o.nodes, v, o.restarts)
			cancel()
			if r != nil {
				report.Runs = append(report.Runs, *r)
			}
			report.Starts = append(report.Starts, starts...)
			if err != nil {
				return fmt.Errorf("%d pods, %s: %w", pods, v.name, err)
			}
		}
	}
	return nil
}

// programs are what is measured, and what the checkout has that it needs.
type programs struct{ rollspan, floor, checkout string }

func build(ctx context.Context, dir, rollspan string) (p programs, err error) {
	if p.checkout, err = harness.Checkout(ctx); err != nil {
		return p, err
	}
	if p.rollspan, err = filepath.Abs(rollspan); err != nil {
		return p, err
	}
	if _, err := os.Stat(p.rollspan); err != nil {
		return p, fmt.Errorf("-rollspan: %w; make build builds it", err)
	}
	p.floor = filepath.Join(dir, "floor")
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", p.floor, "./test/bench/floor")
	command.Dir = p.checkout
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return p, fmt.Errorf("build the do-nothing watcher: %w\n%s", err, out)
	}
	return p, nil
}

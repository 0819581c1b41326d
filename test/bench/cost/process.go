package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/rollspan/rollspan/test/bench/proc"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// A program is a process that is measured.
type program struct {
	*harness.Program
	name    string
	started time.Time
	stdout  harness.Output
}

// launch starts a program with Go's and OpenTelemetry's defaults.
func launch(binary string, args ...string) (*program, error) {
	env := slices.DeleteFunc(harness.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return name == "GOGC" || name == "GOMEMLIMIT" || name == "GOMAXPROCS"
	})
	p := &program{name: filepath.Base(binary), started: time.Now()}
	var err error
	p.Program, err = harness.StartIn(env, binary, &p.stdout, args...)
	return p, err
}

// until waits for a condition. It fails if the program ends before.
func (p *program) until(ctx context.Context, condition func() bool) error {
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		select {
		case <-p.Exited():
			return false, fmt.Errorf("%s ended with code %d:\n%s", p.name, p.ExitCode(), p.Stderr())
		default:
			return condition(), nil
		}
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s: %w; it said:\n%s", p.name, context.Cause(ctx), p.Stderr())
	}
	return err
}

// end asks the program to end, and waits.
func (p *program) end() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("a minute is over"))
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		return fmt.Errorf("%w; it said:\n%s", err, p.Stderr())
	}
	return nil
}

// startFloor starts the do-nothing watcher, and returns when it has listed all.
func startFloor(ctx context.Context, binary, kubeconfig string) (*program, error) {
	p, err := launch(binary, "-kubeconfig", kubeconfig)
	if err != nil {
		return nil, err
	}
	err = p.until(ctx, func() bool { return strings.HasPrefix(p.stdout.String(), "ready\n") })
	if err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// received is what the API server sent to a do-nothing watcher that has ended, in bytes.
func (p *program) received() (int64, error) {
	return strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(p.stdout.String(), "ready\n")), 10, 64)
}

// A watching is a rollspan that is measured.
type watching struct {
	*program
	metrics string
}

// startRollspan starts a rollspan, and returns when it is ready.
func startRollspan(ctx context.Context, binary, kubeconfig, endpoint string, flags []string) (*watching, error) {
	// An address that was free can be taken before rollspan listens there.
	for attempt := 1; ; attempt++ {
		addresses, err := harness.FreeAddresses(2)
		if err != nil {
			return nil, err
		}
		p, err := launch(binary, append([]string{
			"run", "--kubeconfig", kubeconfig, "--otlp-endpoint", endpoint,
			"--health-address", addresses[0], "--metrics-address", addresses[1],
		}, flags...)...)
		if err != nil {
			return nil, err
		}
		err = p.until(ctx, func() bool {
			response, err := http.Get("http://" + addresses[0] + "/readyz")
			if err != nil {
				return false
			}
			response.Body.Close()
			return response.StatusCode == http.StatusOK
		})
		if err == nil {
			return &watching{p, addresses[1]}, nil
		}
		p.Kill()
		if attempt == 5 || !strings.Contains(err.Error(), "address already in use") {
			return nil, err
		}
	}
}

// cpu is the processor time that the program has used.
func (p *program) cpu() (time.Duration, error) { return proc.CPU(strconv.Itoa(p.Pid())) }

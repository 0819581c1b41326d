package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/rollspan/rollspan/test/child"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// A program is a process that is measured.
type program struct {
	cmd     *exec.Cmd
	started time.Time
	exited  chan struct{}

	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// launch starts a program with Go's and OpenTelemetry's defaults.
func launch(binary string, args ...string) (*program, error) {
	p := &program{cmd: exec.Command(binary, args...), started: time.Now(), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &locked{&p.mu, &p.stdout}, &locked{&p.mu, &p.stderr}
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "OTEL_") || name == "GOGC" || name == "GOMEMLIMIT" || name == "GOMAXPROCS"
	})
	if err := child.Start(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	return p, nil
}

// locked is a buffer that two goroutines use.
type locked struct {
	mu     *sync.Mutex
	buffer *bytes.Buffer
}

// Write appends.
func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(b)
}

func (p *program) said() (stdout, stderr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String(), p.stderr.String()
}

// until waits for a condition. It fails if the program ends before.
func (p *program) until(ctx context.Context, condition func() bool) error {
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		select {
		case <-p.exited:
			_, stderr := p.said()
			return false, fmt.Errorf("%s ended, %s:\n%s", p.cmd.Path, p.cmd.ProcessState, stderr)
		default:
			return condition(), nil
		}
	})
	if err != nil && ctx.Err() != nil {
		_, stderr := p.said()
		return fmt.Errorf("%s: %w; it said:\n%s", p.cmd.Path, context.Cause(ctx), stderr)
	}
	return err
}

// end asks the program to end, and waits.
func (p *program) end() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		p.kill()
		return fmt.Errorf("%s did not end within a minute", p.cmd.Path)
	}
	if !p.cmd.ProcessState.Success() {
		_, stderr := p.said()
		return fmt.Errorf("%s: %s:\n%s", p.cmd.Path, p.cmd.ProcessState, stderr)
	}
	return nil
}

// kill ends it at once.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// startFloor starts the do-nothing watcher, and returns when it has listed all.
func startFloor(ctx context.Context, binary, kubeconfig string) (*program, error) {
	p, err := launch(binary, "-kubeconfig", kubeconfig)
	if err != nil {
		return nil, err
	}
	err = p.until(ctx, func() bool {
		stdout, _ := p.said()
		return strings.HasPrefix(stdout, "ready\n")
	})
	if err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// received is what the API server sent to a do-nothing watcher that has ended, in bytes.
func (p *program) received() (int64, error) {
	stdout, _ := p.said()
	return strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(stdout, "ready\n")), 10, 64)
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
		p.kill()
		if attempt == 5 || !strings.Contains(err.Error(), "address already in use") {
			return nil, err
		}
	}
}

// scrape returns the metrics, those with the same name added up.
func (w *watching) scrape(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.metrics+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	values := map[string]float64{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			name, _, _ = strings.Cut(name, "{")
			values[name] += v
		}
	}
	return values, lines.Err()
}

// cpu is the processor time that the program has used, its own and the kernel's for it.
func (p *program) cpu() (time.Duration, error) { return cpuOf(strconv.Itoa(p.cmd.Process.Pid)) }

// cpuOf is that of a process ID, or "self". Its children's is not in it.
func cpuOf(pid string) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, err
	}
	return parseStat(string(stat))
}

// parseStat reads utime and stime, the 14th and 15th field of proc_pid_stat(5). The
// second one is a name in parentheses, and may have spaces. A tick is 10 ms on all
// platforms that Go has Linux for.
func parseStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// memory is what the program has in memory, in bytes: the most ever, and now.
func (p *program) memory() (peak, now int64, err error) {
	// Not the rusage of the child: the kernel has in that what its parent had.
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
		switch name {
		case "VmHWM":
			peak = kib << 10
		case "VmRSS":
			now = kib << 10
		}
	}
	if peak == 0 {
		return 0, 0, errors.New("/proc/PID/status has no VmHWM")
	}
	return peak, now, nil
}

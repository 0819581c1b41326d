package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rollspan/rollspan/test/child"
)

// Checkout is the root of the checkout around the working directory.
func Checkout(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	gomod := strings.TrimSpace(string(out))
	if filepath.Base(gomod) != "go.mod" {
		return "", errors.New("the working directory is not in a rollspan checkout")
	}
	return filepath.Dir(gomod), nil
}

// BuildTags are those that the Makefile has, so that what is tested is what is shipped.
const BuildTags = "grpcnotrace"

// Build compiles rollspan from the checkout into dir and returns the program's
// path.
func Build(ctx context.Context, dir string) (string, error) {
	root, err := Checkout(ctx)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "rollspan")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	build := exec.CommandContext(ctx, "go", "build", "-tags", BuildTags, "-o", binary, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build rollspan: %w\n%s", err, bytes.TrimSpace(out))
	}
	return binary, nil
}

// A Program is a rollspan, or what is measured beside it, that was started.
type Program struct {
	cmd    *exec.Cmd
	stderr Output
	exited chan struct{}
}

// Start runs rollspan. It sees nothing of this machine's own telemetry
// settings: where it sends is in its arguments. Standard output goes to stdout,
// if that is not nil.
func Start(binary string, stdout io.Writer, args ...string) (*Program, error) {
	return StartIn(Environ(), binary, stdout, args...)
}

// Environ is this machine's environment without its telemetry settings.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "OTEL_")
	})
}

// StartIn is Start in an environment, for rollspan or another program.
func StartIn(env []string, binary string, stdout io.Writer, args ...string) (*Program, error) {
	p := &Program{cmd: exec.Command(binary, args...), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, stdout, &p.stderr
	if err := child.Start(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name(), err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	return p, nil
}

func (p *Program) name() string { return filepath.Base(p.cmd.Path) }

// Pid is its process ID.
func (p *Program) Pid() int { return p.cmd.Process.Pid }

// Stderr is what the program has written to standard error so far.
func (p *Program) Stderr() string { return p.stderr.String() }

// Exited is closed when the program has ended.
func (p *Program) Exited() <-chan struct{} { return p.exited }

// WaitReady waits until a `rollspan run` that sends to a collector, and serves
// its health on that address, has seen all there is and watches what comes.
func (p *Program) WaitReady(ctx context.Context, health string) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := p.checkReady(ctx, health)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("rollspan ended with code %d:\n%s", p.ExitCode(), p.Stderr())
		case <-ctx.Done():
			return fmt.Errorf("rollspan is not ready: %w (%w); it said:\n%s", err, context.Cause(ctx), p.Stderr())
		case <-ticker.C:
		}
	}
}

func (p *Program) checkReady(ctx context.Context, health string) error {
	// One that has not been elected yet is ready too, for its turn.
	if !strings.Contains(p.Stderr(), "sending traces") {
		return errors.New("it does not watch")
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+health+path, http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", path, response.Status)
		}
	}
	return nil
}

// FreeAddresses are addresses on this machine that nobody listens on. Their ports are
// below those that systems give to who asks for any, as each new connection does: what
// listens there later, or again, finds them free still.
func FreeAddresses(n int) (addresses []string, err error) {
	const first, ports, attempts = 20000, 10000, 100
	for range attempts {
		if len(addresses) == n {
			return addresses, nil
		}
		l, listenErr := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(ports)))
		if listenErr != nil {
			err = listenErr
			continue
		}
		// Not before all are found, or one could be found twice.
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return nil, fmt.Errorf("no port is free: %w", err)
}

// ExitCode is how a program ended that has; -1 says by a signal.
func (p *Program) ExitCode() int {
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// Stop asks the program to end, as Ctrl-C does, and waits until it has. If ctx
// ends first the program is killed, and Stop fails.
func (p *Program) Stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.Kill()
		return fmt.Errorf("stop %s: %w", p.name(), err)
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("%s did not stop: %w", p.name(), context.Cause(ctx))
	}
	if code := p.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with code %d when it was stopped", p.name(), code)
	}
	return nil
}

// Kill ends the program with SIGKILL, so that it can do nothing more, and
// waits until it is gone.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.exited
}

// Output is a buffer that can be read while it is written to.
type Output struct {
	mu      sync.Mutex
	content bytes.Buffer
}

// Write appends.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.content.Write(p)
}

// String is what was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.content.String()
}

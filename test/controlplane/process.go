package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rollspan/rollspan/test/child"
)

// A process is a server that runs beside this one.
type process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{} // closed once the process is gone and reaped
	// again starts it once more at the same addresses, and returns once it is ready.
	again func(ctx context.Context) (*process, error)
}

func startProcess(name, binary, dir string, args, env []string) (*process, error) {
	p := &process{
		name:   name,
		log:    filepath.Join(dir, name+".log"),
		cmd:    exec.Command(binary, args...),
		exited: make(chan struct{}),
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := child.Start(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	return p, nil
}

// kill ends the process at once and waits until it is gone. None of these
// servers has anything to save: their data goes with the cluster.
func (p *process) kill() {
	select {
	case <-p.exited:
		return
	default:
	}
	_ = child.Kill(p.cmd.Process)
	<-p.exited
}

// failure says what went wrong, with enough of the log that most readers need
// not open it.
func (p *process) failure(what string) error {
	content, err := os.ReadFile(p.log)
	if err != nil {
		content = []byte(err.Error())
	}
	return fmt.Errorf("controlplane: %s %s; the end of %s:\n%s", p.name, what, p.log, lastLines(content, 20))
}

// A server says how to start a process that listens on ports which are free.
type server struct {
	name   string
	binary string
	dir    string
	ports  int
	// prepare, if it is set, writes what the server reads at its start.
	prepare func(ports []int) error
	args    func(ports []int) []string
	// env is what it has in its environment beside what this process has.
	env []string
	// ready is a URL that answers 200 once the server can be used.
	ready func(ports []int) string
}

// start runs the server and returns once it is ready. A port is found free by
// binding and releasing it, so another process can take it before the server
// does: then other ports are tried.
func (s server) start(ctx context.Context) (*process, []int, error) {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		ports, err := freePorts(s.ports)
		if err != nil {
			return nil, nil, fmt.Errorf("controlplane: %s: %w", s.name, err)
		}
		if s.prepare != nil {
			if err := s.prepare(ports); err != nil {
				return nil, nil, fmt.Errorf("controlplane: %s: %w", s.name, err)
			}
		}
		_ = os.Remove(filepath.Join(s.dir, s.name+".log"))
		p, err := startProcess(s.name, s.binary, s.dir, s.args(ports), s.env)
		if err != nil {
			return nil, nil, fmt.Errorf("controlplane: start %s: %w", s.name, err)
		}
		err = p.waitReady(ctx, s.ready(ports))
		if err == nil {
			p.again = func(ctx context.Context) (*process, error) { return s.startAt(ctx, ports) }
			return p, ports, nil
		}
		p.kill()
		if attempt < attempts && strings.Contains(err.Error(), "address already in use") {
			continue
		}
		return nil, nil, err
	}
}

// startAt runs the server once more, at the ports that it had.
func (s server) startAt(ctx context.Context, ports []int) (*process, error) {
	p, err := startProcess(s.name, s.binary, s.dir, s.args(ports), s.env)
	if err != nil {
		return nil, fmt.Errorf("controlplane: start %s again: %w", s.name, err)
	}
	if err := p.waitReady(ctx, s.ready(ports)); err != nil {
		p.kill()
		return nil, err
	}
	p.again = func(ctx context.Context) (*process, error) { return s.startAt(ctx, ports) }
	return p, nil
}

func (p *process) waitReady(ctx context.Context, url string) error {
	// The certificates are made by the servers themselves, and are on this
	// machine's loopback only; nothing secret goes over this client.
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	}
	var last string
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		select {
		case <-p.exited:
			return false, p.failure("ended before it was ready: " + p.cmd.ProcessState.String())
		default:
		}
		resp, err := client.Get(url)
		if err != nil {
			last = err.Error()
			return false, nil
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		last = fmt.Sprintf("%s: %s", resp.Status, bytes.TrimSpace(body))
		return resp.StatusCode == http.StatusOK, nil
	})
	if err != nil && ctx.Err() != nil {
		return p.failure(fmt.Sprintf("was not ready in time (%v); %s said %q", err, url, last))
	}
	return err
}

// poll calls done until it is true or fails, or the context ends.
func poll(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if ok, err := done(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// taken are the ports that freePorts has found. Until its server listens, a port
// would be found free again, by the start of another server at the same time:
// then one could be taken for ready because the other answers.
var taken sync.Map

// freePorts finds ports that nobody listens on, and never the same twice. It holds
// all the listeners open until it has them all.
func freePorts(n int) (ports []int, err error) {
	for len(ports) < n {
		l, listenErr := net.Listen("tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, listenErr
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		port := l.Addr().(*net.TCPAddr).Port
		if _, found := taken.LoadOrStore(port, true); !found {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

func lastLines(content []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

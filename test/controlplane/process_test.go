//go:build linux

package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// orphanEnv makes the test binary play a test that dies with a server running.
const orphanEnv = "ROLLSPAN_TEST_ORPHAN"

func TestServersDieWithProcess(t *testing.T) {
	if how := os.Getenv(orphanEnv); how != "" {
		dieWithServer(t, how)
		return
	}
	for _, how := range []string{"panic", "kill", "terminate"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServersDieWithProcess$")
			cmd.Env = append(os.Environ(), orphanEnv+"="+how, "TMPDIR="+t.TempDir())
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := 0
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if text, ok := strings.CutPrefix(lines.Text(), "server "); ok {
					if pid, err = strconv.Atoi(text); err != nil {
						t.Fatal(err)
					}
					if !groupAlive(pid) {
						t.Error("the server was not running")
					}
					switch how {
					case "panic":
						_ = in.Close()
					case "kill":
						_ = cmd.Process.Kill()
					case "terminate":
						_ = cmd.Process.Signal(syscall.SIGTERM)
					}
				}
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the process did not die")
			}
			if pid == 0 {
				t.Fatal("the process started no server")
			}
			eventually(t, "server gone", func() (bool, string) { return !groupAlive(pid), "alive" })
		})
	}
}

func dieWithServer(t *testing.T, how string) {
	p, _, err := testEtcd(t, t.TempDir(), nil).start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("server %d\n", p.cmd.Process.Pid)
	if how == "panic" {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test has seen the server run
		panic("as a test's time limit does")
	}
	<-p.exited // until this process is killed
}

func TestTakenPortIsTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	calls := 0
	p, ports, err := testEtcd(t, t.TempDir(), func(ports []int) {
		if calls++; calls == 1 {
			ports[0] = taken.Addr().(*net.TCPAddr).Port
		}
	}).start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	if calls < 2 || ports[0] == taken.Addr().(*net.TCPAddr).Port {
		t.Errorf("started at the attempt %d on port %d", calls, ports[0])
	}
}

func TestUnreadyServerIsReported(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var asked atomic.Int32
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 { // what the first answer was is known
			cancel(errors.New("out of patience"))
		}
		http.NotFound(w, r)
	}))
	defer page.Close()
	s := testEtcd(t, t.TempDir(), nil)
	s.ready = func([]int) string { return page.URL }
	_, _, err := s.start(ctx)
	if err == nil {
		t.Fatal("a server without its readiness page was taken for ready")
	}
	for _, want := range []string{"etcd was not ready in time (out of patience)", "404", "etcd.log"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error: %v", want, err)
		}
	}
}

func testEtcd(t *testing.T, dir string, adjust func(ports []int)) server {
	t.Helper()
	bin, err := Etcd.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return server{
		name: "etcd", binary: filepath.Join(bin, "etcd"), dir: dir, ports: 2,
		args: func(ports []int) []string {
			if adjust != nil {
				adjust(ports)
			}
			return etcdArgs(dir, ports)
		},
		ready: etcdReady,
	}
}

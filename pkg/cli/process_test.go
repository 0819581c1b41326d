//go:build unix

package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// spinning makes the test binary a program whose work never ends, see spin.
const spinning = "spinning"

// spin supervises a command that does not end, as one whose engine spins. The first
// argument is how long it may take to.
func spin(s Streams) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	l := newLife(s)
	drain, err := time.ParseDuration(os.Args[1])
	if err != nil {
		panic(err)
	}
	l.drains(drain-drainMargin, func() []any { return []any{"at", "spinning"} })
	return l.supervise(signals, func(context.Context) int {
		fmt.Fprintln(s.Err, "spinning")
		for n := 0; ; n++ {
			_ = n
		}
	})
}

// startSpinning starts that program, and returns when it spins.
func startSpinning(t *testing.T, within string) *command {
	t.Helper()
	c := startAs(t, spinning, nil, within)
	until(t, "the program to spin", func() bool { return strings.Contains(c.errs.String(), "spinning") })
	return c
}

func (c *command) send(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// kill ends the command at once.
func (c *command) kill(t *testing.T) {
	t.Helper()
	c.send(t, os.Kill)
	_ = c.cmd.Wait() // it was killed
}

// ends waits for the command and checks its exit code.
func (c *command) ends(t *testing.T, code int) {
	t.Helper()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil && code == ExitOK:
	case !errors.As(err, &exit) || exit.ExitCode() != code:
		t.Errorf("it ended with %v, want exit code %d\n%s", err, code, c.errs.String())
	}
}

// A signal ends the process in its time whatever it does, and says what is lost.
func TestASignalEndsAProcessThatSpins(t *testing.T) {
	c := startSpinning(t, "100ms")
	c.send(t, syscall.SIGTERM)
	c.ends(t, ExitError)
	if want := `msg="rollspan did not end in time, and exits" after=100ms at=spinning`; !strings.Contains(c.errs.String(), want) {
		t.Errorf("no %s:\n%s", want, c.errs.String())
	}
}

// A second signal ends it at once.
func TestASecondSignalEndsAProcessAtOnce(t *testing.T) {
	for second, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		c := startSpinning(t, "1h")
		c.send(t, syscall.SIGTERM)
		until(t, "the first signal to be heard", func() bool { return strings.Contains(c.errs.String(), "SIGTERM: stopping") })
		c.send(t, second)
		c.ends(t, code)
	}
}

// oneRollout is an API server that has nothing when it is asked first, and then lets
// a recording happen.
type oneRollout struct {
	t *testing.T
	// frames are the recording's watch events, by resource, and version is the latest in any.
	frames  map[string][]string
	version int

	mu sync.Mutex
	// seen are the resources of which a watch was ended after all of its frames,
	// and another one asked for: whoever watches has taken them all in.
	sent, seen map[string]bool
}

// resources are what the kinds of the recording are called in paths.
var resources = map[string]string{"Deployment": "deployments", "ReplicaSet": "replicasets", "Pod": "pods", "Event": "events"}

// serveRollout returns such a server, and a kubeconfig for it.
func serveRollout(t *testing.T, recording string) (api *oneRollout, kubeconfig string) {
	t.Helper()
	api = &oneRollout{t: t, frames: map[string][]string{}, sent: map[string]bool{}, seen: map[string]bool{}}
	f, err := os.Open(recordings + recording)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	version := regexp.MustCompile(`"resourceVersion":"(\d+)"`)
	for lines.Scan() {
		for _, found := range version.FindAllStringSubmatch(lines.Text(), -1) {
			n, _ := strconv.Atoi(found[1])
			api.version = max(api.version, n)
		}
		var line struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		var kind metav1.TypeMeta
		if err := json.Unmarshal(line.Object, &kind); err != nil {
			t.Fatal(err)
		}
		if resource := resources[kind.Kind]; resource != "" {
			api.frames[resource] = append(api.frames[resource], fmt.Sprintf("{\"type\":%q,\"object\":%s}\n", line.Type, line.Object))
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	content := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- {name: c, cluster: {server: %q}}\n"+
		"contexts:\n- {name: c, context: {cluster: c, user: u}}\nusers:\n- {name: u, user: {}}\n", server.URL)
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return api, kubeconfig
}

func (a *oneRollout) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	resource := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch {
	case r.URL.Path == "/api/v1/namespaces/kube-system":
		_, _ = fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"cluster"}}`)
	case resource == "selfsubjectaccessreviews":
		_, _ = fmt.Fprint(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
	case query.Get("sendInitialEvents") != "": // lists are not streamed here
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status:   metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity,
		})
	case query.Get("watch") != "":
		w.WriteHeader(http.StatusOK)
		if a.first(resource) {
			_, _ = io.WriteString(w, strings.Join(a.frames[resource], ""))
			return
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	default:
		_, _ = fmt.Fprintf(w, `{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"%d"},"items":[]}`, a.at(resource))
	}
}

// at is the version that a list of a resource is of.
func (a *oneRollout) at(resource string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sent[resource] {
		return a.version
	}
	return 1
}

// first reports whether a resource is watched for the first time.
func (a *oneRollout) first(resource string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.sent[resource] {
		a.sent[resource] = true
		return true
	}
	a.seen[resource] = true
	return false
}

// over reports whether all of the recording was taken in.
func (a *oneRollout) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for resource := range a.frames {
		if !a.seen[resource] {
			return false
		}
	}
	return true
}

// hasSeen waits until a command that runs has taken in all of a recording, and the
// empty lists of what else it watches.
func (c *command) hasSeen(t *testing.T, api *oneRollout) {
	t.Helper()
	until(t, "the rollout to be over", api.over)
	until(t, "the first lists", func() bool { return strings.Contains(c.errs.String(), `msg="watching; `) })
}

// A rollout that is over when the process is asked to end is told by it: it would not
// have settled for an hour.
func TestTheEndTellsWhatIsOver(t *testing.T) {
	api, kubeconfig := serveRollout(t, "slow-image-pull.jsonl")
	c := start(t, "run", "--kubeconfig", kubeconfig, "-o", "tree", "--settle=1h", "--quiet=1h")
	c.hasSeen(t, api)
	c.send(t, syscall.SIGTERM)
	c.ends(t, ExitOK)
	if out := c.out.String(); !strings.Contains(out, "Deployment rollout  deployment/big  revision 1  complete") || !strings.Contains(out, "pull image") {
		t.Errorf("it told\n%s", out)
	}
	if errs := c.errs.String(); !strings.Contains(errs, "early=1 open=0") {
		t.Errorf("it said\n%s", errs)
	}
}

// Nobody reads what is told: the process ends all the same, and says what it was at.
func TestTheEndDoesNotWaitForAReader(t *testing.T) {
	api, kubeconfig := serveRollout(t, "slow-image-pull.jsonl")
	reader, full, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(reader.Close(), full.Close()) }() // the test is over
	fill(t, full)
	c := startAs(t, "rollspan", full, "run", "--kubeconfig", kubeconfig, "-o", "tree", "--settle=1h", "--quiet=1h", "--drain-timeout=3s")
	c.hasSeen(t, api)
	c.send(t, syscall.SIGTERM)
	c.ends(t, ExitError)
	if errs := c.errs.String(); !strings.Contains(errs, "rollspan: the watch did not end in time (3s): ") ||
		!strings.Contains(errs, "delivering Deployment rollout of deployment/big") {
		t.Errorf("it said\n%s", errs)
	}
}

// fill writes to a pipe until it takes no more.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for failed == nil {
			_, failed = syscall.Write(int(fd), []byte{'\n'})
		}
		return true
	})
	if err != nil || !errors.Is(failed, syscall.EAGAIN) {
		t.Fatalf("%v, %v", err, failed)
	}
}

// What the collector has not taken in time is lost, and the process says so.
func TestTheEndSaysWhatTheCollectorDidNotTake(t *testing.T) {
	api, kubeconfig := serveRollout(t, "slow-image-pull.jsonl")
	c := start(t, "run", "--kubeconfig", kubeconfig, "--otlp-endpoint=http://127.0.0.1:1", "--settle=1h", "--quiet=1h", "--drain-timeout=3s")
	c.hasSeen(t, api)
	c.send(t, syscall.SIGTERM)
	c.ends(t, ExitError)
	if errs := c.errs.String(); !strings.Contains(errs, " spans were not delivered to http://127.0.0.1:1 (grpc)") {
		t.Errorf("it said\n%s", errs)
	}
}

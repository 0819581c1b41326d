package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rollspan/rollspan/test/child"
)

// ToolsDirEnv names the environment variable that says where built tools are
// kept, for machines whose user cache is small or does not outlive a job.
const ToolsDirEnv = "ROLLSPAN_TOOLS_DIR"

// A Tool is a set of programs that one module below test/tools builds.
type Tool string

// KubernetesEnv names the environment variable that says which control plane to take in place of
// Kubernetes, for make compat: a Tool such as kubernetes-1.34, which has a folder in test/tools.
const KubernetesEnv = "ROLLSPAN_KUBERNETES"

// The tools a test may need.
const (
	Etcd       Tool = "etcd"
	Kubernetes Tool = "kubernetes"
	Jaeger2    Tool = "jaeger"
	Collector  Tool = "collector"
	Helm       Tool = "helm"
	Alerts     Tool = "alerts"
	// Helm3 is the release before, which renders the chart, too, and helm-unittest, which is made
	// of it.
	Helm3     Tool = "helm3"
	Kustomize Tool = "kustomize"
	// TraceQL is Grafana's grammar of that, which the documentation's queries are checked with.
	TraceQL Tool = "traceql"
	// Grafana has the types of Grafana's dashboards, which the chart's are read with.
	Grafana Tool = "grafana"
	// Monitoring makes the resource definitions of Prometheus' operator: MonitoringForTest.
	Monitoring Tool = "monitoring"
)

// Kwok plays the nodes of the benchmarks. No test needs it, so Tools leaves it out.
const Kwok Tool = "kwok"

// Tools lists every tool that a test needs, those that build fastest first.
func Tools() []Tool {
	return []Tool{Etcd, TraceQL, Grafana, Monitoring, Alerts, Kustomize, Helm, Helm3, Kubernetes, Collector, Jaeger2}
}

// program is the name of an executable and the main package it is built from.
type program struct{ name, pkg string }

var ofKubernetes = []program{
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
	{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
}

var programs = map[Tool][]program{
	Etcd:       {{"etcd", "go.etcd.io/etcd/server/v3"}},
	Kubernetes: ofKubernetes,
	Jaeger2:    {{"jaeger", "github.com/jaegertracing/jaeger/cmd/jaeger"}},
	Collector:  {{"collector", "."}},
	Kwok:       {{"kwok", "sigs.k8s.io/kwok/cmd/kwok"}},
	Helm:       {{"helm", "helm.sh/helm/v4/cmd/helm"}},
	Helm3:      {{"helm", "helm.sh/helm/v3/cmd/helm"}, {"helm-unittest", "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"}},
	Monitoring: {{"controller-gen", "sigs.k8s.io/controller-tools/cmd/controller-gen"}},
	Kustomize:  {{"kustomize", "sigs.k8s.io/kustomize/kustomize/v5"}},
	Alerts:     {{"alerts", "."}},
	TraceQL:    {{"traceql", "."}},
	Grafana:    {{"grafana", "."}},
}

// programs are what a tool has; those of another release of Kubernetes are the same.
func (tool Tool) programs() []program {
	if strings.HasPrefix(string(tool), string(Kubernetes)+"-") {
		tool = Kubernetes
	}
	return programs[tool]
}

// layout is part of every cache key; raise it when the way tools are built
// changes but neither their go.mod nor the Go version does.
const layout = "1"

// Build returns the directory that holds the tool's programs, after building
// them if this machine has not yet done so with this Go version and these
// module versions. Only one process at a time builds a tool, the others wait
// for its result. Progress is written to progress, if that is not nil.
func (tool Tool) Build(ctx context.Context, progress io.Writer) (string, error) {
	if other := os.Getenv(KubernetesEnv); tool == Kubernetes && other != "" {
		tool = Tool(other)
	}
	module, err := moduleDir(ctx, tool)
	if err != nil {
		return "", err
	}
	key, err := cacheKey(ctx, module, tool)
	if err != nil {
		return "", err
	}
	root, err := toolsRoot()
	if err != nil {
		return "", err
	}
	target := filepath.Join(root, fmt.Sprintf("%s-%s", tool, key))
	if isDir(target) {
		return target, nil
	}

	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("controlplane: %w", err)
	}
	say := newReporter(progress)
	unlock, err := lockFile(ctx, filepath.Join(root, string(tool)+".lock"), func() {
		say("waiting for another process that builds %s", tool)
	})
	if err != nil {
		return "", fmt.Errorf("controlplane: lock %s: %w", root, err)
	}
	defer unlock()
	if isDir(target) {
		return target, nil
	}

	// The programs appear under their final name all at once: a build that
	// was interrupted must not look like a finished one.
	unfinished, err := os.MkdirTemp(root, string(tool)+"-unfinished-")
	if err != nil {
		return "", fmt.Errorf("controlplane: %w", err)
	}
	defer func() { _ = os.RemoveAll(unfinished) }() // renamed by then, if all went well
	started := time.Now()
	for _, p := range tool.programs() {
		if err := buildProgram(ctx, module, p, filepath.Join(unfinished, p.name), say); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(unfinished, 0o755); err != nil {
		return "", fmt.Errorf("controlplane: %w", err)
	}
	if err := os.Rename(unfinished, target); err != nil {
		return "", fmt.Errorf("controlplane: %w", err)
	}
	say("built %s in %s, kept in %s", tool, time.Since(started).Round(time.Second), target)
	return target, nil
}

func buildProgram(ctx context.Context, module string, p program, out string, say func(string, ...any)) error {
	ldflags := "-s -w"
	if version := kubernetesVersion(module); version != "" {
		// An unstamped apiserver calls itself v0.0.0-master, and clients
		// that look at versions (as controller-runtime's do) believe it.
		part := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
		const pkg = "k8s.io/component-base/version"
		ldflags += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s",
			pkg, version, part[0], part[1])
	}
	// VCS stamping would ask for a repository around the module, and a
	// workspace or a vendor flag of the caller's is not meant for this module.
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false",
		"-ldflags", ldflags, "-o", out, p.pkg)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	// go build is a parent of compilers, which must end with it.
	cmd.Cancel = func() error { return child.Kill(cmd.Process) }
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output

	started := time.Now()
	say("building %s", p.name)
	if err := child.Start(cmd); err != nil {
		return fmt.Errorf("controlplane: build %s: %w", p.name, err)
	}
	finished := make(chan error, 1)
	go func() { finished <- cmd.Wait() }()
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-finished:
			switch {
			case ctx.Err() != nil:
				return fmt.Errorf("controlplane: build %s: %w", p.name, context.Cause(ctx))
			case err != nil:
				return fmt.Errorf("controlplane: build %s in %s: %w\n%s", p.name, module, err, lastLines(output.Bytes(), 30))
			}
			return nil
		case <-tick.C:
			say("building %s: %s so far (all tools together take about 15 minutes the first time, and none later)",
				p.name, time.Since(started).Round(time.Second))
		}
	}
}

var kubernetesLine = regexp.MustCompile(`(?m)^\s*(?:require )?k8s\.io/kubernetes (v\S+)`)

// kubernetesVersion reads the version to stamp from the tool's go.mod, so that
// a new one is written in one place only. It is empty for other tools.
func kubernetesVersion(module string) string {
	mod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return ""
	}
	if m := kubernetesLine.FindSubmatch(mod); m != nil {
		return string(m[1])
	}
	return ""
}

// moduleDir finds the tool's module in the checkout around the working
// directory. `go test` and `go run` both leave it inside; the path of this
// source file, which the compiler could tell, is lost under -trimpath.
func moduleDir(ctx context.Context, t Tool) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("controlplane: go env GOMOD: %w", err)
	}
	for dir := filepath.Dir(strings.TrimSpace(string(out))); ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, "test", "tools", string(t))
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("controlplane: no test/tools/%s/go.mod above the working directory: run this inside a rollspan checkout", t)
		}
	}
}

func cacheKey(ctx context.Context, module string, t Tool) (string, error) {
	h := sha256.New()
	var sources []string
	for _, pattern := range []string{"*.go", "*/*.cjs"} {
		found, err := filepath.Glob(filepath.Join(module, pattern))
		if err != nil {
			return "", fmt.Errorf("controlplane: %w", err)
		}
		sources = append(sources, found...)
	}
	for _, file := range append([]string{filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum")}, sources...) {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("controlplane: %w", err)
		}
		name := filepath.Base(file)
		fmt.Fprintf(h, "%s %d\n%s", name, len(content), content)
	}
	env := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH")
	env.Dir = module
	version, err := env.Output()
	if err != nil {
		return "", fmt.Errorf("controlplane: go env: %w", err)
	}
	fmt.Fprintf(h, "%s\n%s\n%v", layout, version, t.programs())
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// toolsRoot is the directory that built tools are kept in.
func toolsRoot() (string, error) {
	if dir := os.Getenv(ToolsDirEnv); dir != "" {
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("controlplane: no place to keep the built tools, set %s: %w", ToolsDirEnv, err)
	}
	return filepath.Join(cache, "rollspan", "tools"), nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// newReporter returns a printf for progress lines; with no writer it is silent.
func newReporter(w io.Writer) func(format string, args ...any) {
	return func(format string, args ...any) {
		if w != nil {
			fmt.Fprintf(w, "controlplane: "+format+"\n", args...)
		}
	}
}

// errLocked is what tryLock answers while another process holds the lock.
var errLocked = errors.New("locked by another process")

// lockFile takes an advisory lock on path and returns what gives it back. The
// kernel gives it back too when this process dies, so no lock is ever stale.
func lockFile(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	release := func() { _ = file.Close() } // nothing was written
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for first := true; ; first = false {
		err := tryLock(file)
		if err == nil {
			return release, nil
		}
		if !errors.Is(err, errLocked) {
			release()
			return nil, err
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			release()
			return nil, context.Cause(ctx)
		case <-poll.C:
		}
	}
}

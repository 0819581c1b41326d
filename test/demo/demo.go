package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

type options struct {
	rollspan       string
	currentCluster bool
	context        string
	keep           bool
}

// A target is the cluster that the demonstration uses.
type target struct {
	client kubernetes.Interface
	// args has rollspan watch it.
	args []string
	// app is what is rolled out there.
	app app
	// hints are what somebody can do with the cluster while it is kept.
	hints []string
}

type demo struct {
	options
	out    io.Writer
	client kubernetes.Interface
	app    app
	jaeger *controlplane.Jaeger
	// program is the rollspan that is shown.
	program *harness.Program
	// last is the trace that was shown last.
	last string
	// undo is what is to be done at the end, the last first.
	undo []func(context.Context) error
}

// run shows it all, and leaves nothing behind, however it ends.
func run(ctx context.Context, out io.Writer, o options) (err error) {
	d := &demo{options: o, out: out}
	defer func() { err = errors.Join(err, d.cleanUp(ctx)) }()
	dir, err := os.MkdirTemp("", "rollspan-demo-")
	if err != nil {
		return err
	}
	d.later(func(context.Context) error { return os.RemoveAll(dir) })
	t, err := d.target(ctx)
	if err != nil {
		return err
	}
	d.client, d.app = t.client, t.app
	if d.jaeger, err = controlplane.StartJaeger(ctx, controlplane.Options{Progress: buildsOnly{out}}); err != nil {
		return err
	}
	d.later(func(context.Context) error { d.jaeger.Stop(); return nil })
	if err := d.createNamespace(ctx); err != nil {
		return err
	}
	if err := d.startRollspan(ctx, dir, t.args); err != nil {
		return err
	}
	if err := d.show(ctx); err != nil {
		return err
	}
	d.more(t.hints)
	if o.keep {
		d.say("Everything keeps running. Ctrl-C ends it.")
		<-ctx.Done()
	}
	return nil
}

// later has something done at the end, before what was asked for earlier.
func (d *demo) later(undo func(context.Context) error) { d.undo = append(d.undo, undo) }

// cleanUpTime bounds each step of the end.
const cleanUpTime = time.Minute

// cleanUp does its work although ctx may be over, and goes on after failures,
// of which it tells at once: somebody who pressed Ctrl-C should know too.
func (d *demo) cleanUp(ctx context.Context) error {
	d.say("Cleaning up")
	var errs []error
	for _, undo := range slices.Backward(d.undo) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
		if err := undo(ctx); err != nil {
			d.note("%v", err)
			errs = append(errs, err)
		}
		cancel()
	}
	return errors.Join(errs...)
}

// show rolls out three times.
func (d *demo) show(ctx context.Context) error {
	d.say("1. A new app. %s", d.app.slowness)
	d.note("like: kubectl create deployment %s --image=%s", appName, d.app.image(good))
	if err := d.create(ctx); err != nil {
		return err
	}
	if err := d.showRollout(ctx, 1); err != nil {
		return err
	}
	d.say("2. An update to an image that does not exist, with a progress deadline of %d s", deadline)
	d.note("like: kubectl set image deployment/%s %[1]s=%s", appName, d.app.image(bad))
	if err := d.update(ctx, bad, deadline); err != nil {
		return err
	}
	if err := d.showRollout(ctx, 2); err != nil {
		return err
	}
	d.say("3. The fix")
	d.note("like: kubectl set image deployment/%s %[1]s=%s", appName, d.app.image(fixed))
	if err := d.update(ctx, fixed, patience); err != nil {
		return err
	}
	return d.showRollout(ctx, 3)
}

// more says where to look next.
func (d *demo) more(hints []string) {
	d.say("More")
	if d.keep {
		d.note("Jaeger has all of it. Its query API (the web page is not in its Go module):")
		d.note("  curl '%s/api/v3/traces/%s?raw_traces=true'", d.jaeger.QueryURL(), d.last)
		d.note("  curl '%s/api/traces?service=deployment-controller&limit=20&tags=%%7B%%22rollspan.change%%22%%3A%%22rollout%%22%%7D'", d.jaeger.QueryURL())
		for _, h := range hints {
			d.note("%s", h)
		}
	} else {
		d.note("Jaeger has all of it, and can be asked with:  make demo-cluster DEMO_ARGS=--keep")
	}
	d.note("Other rollouts that were recorded, as trees:  bin/rollspan replay test/recordings/crash-loop.jsonl")
	d.note("Your own cluster, as trees:                   bin/rollspan run")
	d.note("What the spans and attributes mean:           docs/traces.md")
}

// startRollspan runs the real program, as somebody would by hand.
func (d *demo) startRollspan(ctx context.Context, dir string, args []string) (err error) {
	binary := d.rollspan
	if binary == "" {
		if binary, err = harness.Build(ctx, dir); err != nil {
			return err
		}
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	health, err := harness.FreeAddresses(1)
	if err != nil {
		return err
	}
	args = append(append([]string{"run"}, args...), "--otlp-endpoint", d.jaeger.OTLPGRPC(), "--health-address", health[0])
	d.say("Starting rollspan, which sends to Jaeger")
	d.note("rollspan %s", strings.Join(args, " "))
	if d.program, err = harness.Start(binary, nil, args...); err != nil {
		return err
	}
	d.later(func(ctx context.Context) error {
		if err := d.program.Stop(ctx); err != nil {
			return fmt.Errorf("%w; it said:\n%s", err, d.program.Stderr())
		}
		return nil
	})
	ctx, cancel := context.WithTimeoutCause(ctx, patience*time.Second, fmt.Errorf("it took more than %d s", patience))
	defer cancel()
	return d.program.WaitReady(ctx, health[0])
}

// showRollout waits until Jaeger has a revision's trace, and prints it.
func (d *demo) showRollout(ctx context.Context, revision int64) error {
	d.note("(the trace comes when the rollout is over and had 5 s for late Events)")
	ctx, cancel := context.WithTimeoutCause(ctx, patience*time.Second, fmt.Errorf("no trace of revision %d after %d s", revision, patience))
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		found, err := d.jaeger.FindTraces(ctx, "deployment-controller", "",
			map[string]string{"k8s.namespace.name": namespace, "rollspan.change": "rollout"}, time.Hour)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for i := range found {
			if t := &found[i]; t.Root().Attributes["rollspan.revision"] == revision {
				d.last = t.ID
				fmt.Fprintln(d.out)
				err := harness.WriteTree(d.out, t)
				fmt.Fprintln(d.out)
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-d.program.Exited():
			return fmt.Errorf("rollspan ended with code %d:\n%s", d.program.ExitCode(), d.program.Stderr())
		case <-ctx.Done():
			return fmt.Errorf("%w; rollspan said:\n%s", context.Cause(ctx), d.program.Stderr())
		}
	}
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "==> "+format+"\n", args...)
}

func (d *demo) note(format string, args ...any) {
	fmt.Fprintf(d.out, "    "+format+"\n", args...)
}

// buildsOnly passes on what is said of the first build, which takes minutes,
// and keeps back what every start says.
type buildsOnly struct{ io.Writer }

// Write takes a whole line.
func (w buildsOnly) Write(line []byte) (int, error) {
	text := strings.TrimPrefix(string(line), "controlplane: ")
	if strings.HasPrefix(text, "built ") || strings.HasPrefix(text, "building ") || strings.HasPrefix(text, "waiting ") {
		fmt.Fprint(w.Writer, "    ", text)
	}
	return len(line), nil
}

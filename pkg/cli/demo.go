package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollspan/rollspan/pkg/demo"
	"github.com/rollspan/rollspan/pkg/watcher"
)

func (a *app) demoCommand() *cobra.Command {
	d := &demonstration{run: run{app: a}}
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "Show rollouts that were recorded, without a cluster",
		Long: `Show what rollspan makes of rollouts in a real cluster: one with a large image, one
whose image is not there, one that waits for a ConfigMap, and others. It takes no
cluster: an API server inside the program plays recordings, and rollspan watches it
as it would any other. What is printed are the durations that were recorded; playing
is faster, by --speed.

They are on a page, too. At a terminal it is there until Ctrl-C, and everywhere where
--ui-address names where; with --ui-address= there is none. Otherwise the demonstration
ends by itself. With --otlp-endpoint the traces are sent to a collector
as well, such as that of Jaeger.`,
		Example: `  # As trees and on a page, which takes some twenty seconds
  rollspan demo

  # As it happened, in two minutes and a half
  rollspan demo --speed 1

  # In Jaeger as well
  rollspan demo --otlp-endpoint http://localhost:4317`,
		Args: noArguments,
		PreRunE: func(*cobra.Command, []string) error {
			d.conversion.format = d.conversion.usualFormat()
			d.trees = d.conversion.format == outputOTLP
			return a.usage(d.validate())
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return d.show(cmd.Context()) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.Float64Var(&d.speed, "speed", 10, "how many times faster than it was recorded all is played")
	d.page.addFlags(fs, pageAddress)
	d.page.about = "recorded rollouts"
	d.conversion.addFlags(fs, 0, 10*time.Second)
	d.webhook.AddFlags(fs)
	return cmd
}

// demonstration is a run whose cluster is played.
type demonstration struct {
	run
	speed float64
}

// mostSpeed is where a tick of the clock would be more than what a change settles in.
const mostSpeed = 100

func (d *demonstration) validate() error {
	if !(d.speed > 0 && d.speed <= mostSpeed) {
		return fmt.Errorf("--speed: %v is not a speed to play at; it must be more than 0, and at most %d", d.speed, mostSpeed)
	}
	return errors.Join(d.conversion.validate(), d.page.validate(), d.webhook.Validate())
}

// stays reports whether the page is served until somebody ends it: where one was asked for, or
// there is a terminal at which somebody sits. A script waits for the end of what it started.
func (d *demonstration) stays() bool {
	return d.page.on() && (d.page.address != d.page.usual || d.atTerminal)
}

func (d *demonstration) show(ctx context.Context) error {
	played, err := demo.New(d.speed)
	if err != nil {
		return err
	}
	defer func() { _ = played.Close() }() // it ends with the program at the latest
	d.say("This was recorded in a real cluster. It is played %g times faster; the times are those of the recording.", d.speed)
	hide, err := d.keep(ctx)
	if err != nil {
		return err
	}
	defer hide()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- played.Play(watching)
		stop()
	}()
	err = d.watch(watching, watcher.LiveOptions{Config: played.Config(), Clock: played, Observed: played.Observed})
	stop()
	if unplayed := <-ended; err == nil && ctx.Err() == nil && !errors.Is(unplayed, context.Canceled) {
		err = unplayed // else it was told to stop
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	d.over.Store(true)
	fmt.Fprint(d.Err, `Each tree is one trace: when a span began, how long it took, what it was, and to which
object. The critical path is what the change waited for; its parts add up to the whole.

  rollspan why deployment/web -n shop                 says why that one's last rollout was slow
  rollspan run                                        watches the cluster that kubectl points to
  rollspan run --otlp-endpoint http://localhost:4317  sends it to a collector
  rollspan help                                       has the rest
`)
	if d.stays() {
		d.say("All of it is on the page. Press Ctrl-C to end.")
		<-ctx.Done()
	}
	return nil
}

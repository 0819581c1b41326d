package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/ui"
)

func (a *app) uiCommand() *cobra.Command {
	u := looking{replay: replay{feeder: feeder{app: a}}}
	cmd := &cobra.Command{
		Use:   "ui [flags] PATH...",
		Short: "Look at recordings, or dumps of a cluster, on a page",
		Long: `Show what recordings (see rollspan record) and dumps tell on a page: the list of
changes, what each waited for, and what happened at the same time. PATH is what
rollspan replay takes. The page is there until Ctrl-C. It needs no network, and nothing
is written.`,
		Example: `  # A recording
  rollspan ui rollout.jsonl

  # A support bundle, with all of the week before it
  rollspan ui --since 168h support-bundle.tar.gz`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no recording or dump named; for example: rollspan ui rollout.jsonl")
			}
			return nil
		},
		PreRunE: func(*cobra.Command, []string) error {
			u.conversion.format = outputTree
			return a.usage(errors.Join(u.validate(), u.page.validateShown()))
		},
		RunE: func(cmd *cobra.Command, args []string) error { return u.look(cmd.Context(), args) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	u.page.addFlags(fs, pageAddress)
	u.addSince(fs, "show")
	u.addMaxMemory(fs)
	u.conversion.addFlags(fs, 0, time.Minute)
	return cmd
}

// looking is a replay onto a page.
type looking struct {
	replay
	page page
}

// validateShown is validate for a command that is nothing without its page.
func (p *page) validateShown() error {
	if !p.on() {
		return errors.New("--ui-address: it is empty, so there would be no page; rollspan replay prints traces")
	}
	return p.validate()
}

// look serves the page while the files are read, and after that until ctx is done.
func (u *looking) look(ctx context.Context, paths []string) error {
	store := history.NewMemory(history.Options{MaxAge: -1, MaxBytes: u.memory.most / 2})
	defer func() { _ = store.Close(context.WithoutCancel(ctx)) }() // it is in memory
	u.into = &historyOutput{ctx: ctx, store: store}
	about := filepath.Base(paths[0])
	if len(paths) > 1 {
		about = counted(len(paths), "file")
	}
	for _, path := range paths { // before anybody is told of a page
		if _, err := os.Stat(path); path != "-" && err != nil {
			return fmt.Errorf("recording or dump: %w", err)
		}
	}
	hide, err := u.page.serve(ctx, u.app, ui.Options{
		History: store, About: about, API: &history.API{Reader: store, Status: func() history.StatusJSON {
			return history.StatusJSON{Version: buildVersion(), Ready: true, At: "showing " + about}
		}}, Empty: fmt.Sprintf("Nothing in %s proves a change.", about),
	})
	if err != nil {
		return err
	}
	defer hide()
	err = u.run(ctx, paths)
	if ctx.Err() != nil {
		return nil // who asked for the end has seen enough
	}
	if err != nil {
		if page, empty := store.List(ctx, history.Query{Limit: 1}); empty != nil || len(page.Changes) == 0 {
			return err
		}
		u.say("%v", err) // and what was read can be looked at
	}
	u.say("Press Ctrl-C to end.")
	<-ctx.Done()
	return err
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// snapshot is what all dumps of a command line are together.
type snapshot struct {
	*replay
	dump  *watcher.Dump
	names []string
}

func newSnapshot(r *replay) *snapshot {
	return &snapshot{replay: r, dump: watcher.NewDump(func(err error) { fmt.Fprintln(r.Err, err) })}
}

func (s *snapshot) stats() watcher.DumpStats { return s.dump.Stats() }

func (s *snapshot) add(in io.Reader, name string) {
	s.names = append(s.names, name)
	s.dump.Add(in, name)
}

func (s *snapshot) addFolder(ctx context.Context, name string) error {
	s.names = append(s.names, name)
	if err := s.dump.AddPath(ctx, name); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	return nil
}

// tellPast tells the past of the snapshot, if there is one.
func (s *snapshot) tellPast(ctx context.Context) error {
	if len(s.names) == 0 {
		return nil
	}
	label, stats := strings.Join(s.names, ", "), s.stats()
	objects := s.dump.Objects()
	fmt.Fprintf(s.Err, "%s: %s in %d files, %d files passed over, %d broken objects\n",
		label, orNone(watcher.CountKinds(objects)), stats.Files, stats.PassedOver, stats.Broken)
	if stats.Recordings > 0 {
		fmt.Fprintf(s.Err, "%s: %d of the files passed over are recordings; to replay one, name it\n", label, stats.Recordings)
	}
	if len(objects) == 0 {
		return errors.New("the dump holds no objects of a cluster")
	}
	history := causality.Reconstruct(objects, s.since, time.Now())
	to := s.newOutput(ctx)
	for _, o := range objects {
		to.notice(o)
	}
	err := errors.Join(s.feed(ctx, history, to), to.close())
	fmt.Fprintf(s.Err, "snapshot of %s: %d changes; not told: %d rollouts that began more than %s earlier, %d that nothing dates\n",
		history.End.UTC().Format(time.RFC3339), to.changes, history.Earlier, s.since, history.Undated)
	return err
}

func (s *snapshot) feed(ctx context.Context, history causality.History, to *replayOutput) error {
	options := s.conversion.engine
	options.InProgressAfter = 0 // nobody was there to say what was going on
	engine := causality.New(options)
	for _, o := range history.Observations {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := to.deliver(engine.Observe(o)); err != nil {
			return err
		}
	}
	if err := to.deliver(engine.Advance(history.End)); err != nil {
		return err
	}
	return to.deliver(engine.Flush())
}

func orNone(s string) string {
	if s == "" {
		return "no objects"
	}
	return s
}

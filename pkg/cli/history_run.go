package cli

import (
	"context"
	"path/filepath"
	"time"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
)

// historyShare is what part of --data-dir-max-bytes the history takes at most, where it is kept
// there; the rest is shared out as without it.
const historyShare = 3

// historyBytes is how much the history may take on the disk; 0 where it is not kept there.
func (r *run) historyBytes() int64 {
	if !r.page.on() || r.dataDir == "" {
		return 0
	}
	return min(history.DefaultDiskBytes, r.dataDirMost/historyShare)
}

// openHistory begins to keep what is told for who looks at it later: in the data directory if
// there is one, else in memory. A disk that does not do costs what was kept, and not the run.
func (r *run) openHistory() history.Store {
	o := history.Options{Log: r.log, InProgress: r.inProgress}
	if r.dataDir == "" {
		return history.NewMemory(o)
	}
	onDisk := o
	onDisk.MaxBytes = r.historyBytes()
	store, err := history.Open(filepath.Join(r.dataDir, "history"), onDisk)
	if err != nil {
		r.log.Error("what is told is kept in memory alone, for who looks at it later; all else goes on", "error", err)
		return history.NewMemory(o)
	}
	return store
}

// inProgress is what the watch says of what is open.
func (r *run) inProgress(ctx context.Context) ([]spans.Trace, error) {
	if live := r.live.Load(); live != nil {
		return live.Preview(ctx)
	}
	return nil, nil
}

// fares says how the run does: see history.API.
func (r *run) fares() history.StatusJSON {
	s := history.StatusJSON{Version: buildVersion(), Namespaces: r.namespaces}
	if uid := r.clusterUID.Load(); uid != nil {
		s.Cluster = *uid
	}
	if live := r.live.Load(); live != nil {
		w := live.Status()
		s.Server, s.Ready, s.Watched, s.Without, s.At = w.Server, w.Ready, w.Watched, w.Without, w.At
		if r.over.Load() {
			s.Ready, s.At = true, "nothing more: the demonstration is over"
		}
		s.LastObserved, s.ObservationsWaiting = timeOrNone(w.LastObserved), w.Waiting
	}
	if exporter := r.exporter.Load(); exporter != nil {
		x := exporter.Stats()
		s.Collector = &history.CollectorJSON{
			Endpoint: exporter.Endpoint(), Down: x.Down, LastError: x.LastError, LastErrorTime: timeOrNone(x.LastErrorTime),
			Sent: x.Sent, Rejected: x.Rejected, Dropped: x.Dropped.Total(),
			Queued: x.Queued, QueuedBytes: x.QueuedBytes, Behind: x.Behind,
		}
	}
	return s
}

// closeHistory keeps what waits to be kept, for a while.
func closeHistory(ctx context.Context, store history.Store) error {
	const grace = 2 * time.Second
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return store.Close(closing)
}

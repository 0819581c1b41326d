package watcher

import (
	"context"
	"errors"
	"log/slog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// reportedLock reports how requests for the leader election's lease fare. The
// elector itself logs each failure, every two seconds.
type reportedLock struct {
	resourcelock.Interface
	trouble *trouble
	name    string
}

// Get reads the lease.
func (l *reportedLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	l.report(err)
	return record, raw, err
}

// Create creates the lease.
func (l *reportedLock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Create(ctx, r)
	l.report(err)
	return err
}

// Update renews or takes the lease.
func (l *reportedLock) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Update(ctx, r)
	l.report(err)
	return err
}

func (l *reportedLock) report(err error) {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		l.trouble.worked(l.name)
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		// Nobody held it yet, or another replica was faster.
	case apierrors.IsForbidden(err):
		l.trouble.failed(slog.LevelWarn, l.name, err, "the leader election needs the permission to get, create, update leases.coordination.k8s.io")
	case clusterWide(err) != "", errors.As(err, &status):
		l.trouble.failed(slog.LevelWarn, l.name, err, "")
	default:
		// The elector's time is over before the request was sent: it says so.
	}
}

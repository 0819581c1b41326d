package watcher

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// failingLock is a lock whose requests fail.
type failingLock struct {
	resourcelock.Interface
	err error
}

func (l *failingLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return nil, nil, l.err
}
func (l *failingLock) Create(context.Context, resourcelock.LeaderElectionRecord) error { return l.err }
func (l *failingLock) Update(context.Context, resourcelock.LeaderElectionRecord) error { return l.err }

// What keeps a replica from being elected is said once, and a permission is asked
// for only where it is missing.
func TestReportedLock(t *testing.T) {
	log, messages := testLog(slog.LevelInfo)
	inner := &failingLock{}
	lock := &reportedLock{inner, newTrouble(log, "host"), "leases"}
	leases := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	for _, test := range []struct {
		err  error
		want []string
	}{
		{nil, nil},
		{apierrors.NewNotFound(leases, "rollspan"), nil},
		{apierrors.NewConflict(leases, "rollspan", errors.New("changed")), nil},
		{apierrors.NewAlreadyExists(leases, "rollspan"), nil},
		{apierrors.NewForbidden(leases, "rollspan", errors.New("RBAC")),
			[]string{`level=WARN msg="cannot read leases; the leader election needs the permission to get, create, update leases.coordination.k8s.io; trying again"`}},
		{nil, []string{`level=INFO msg="reading leases again"`}},
		{apierrors.NewInternalError(errors.New("etcd")), []string{`level=WARN msg="cannot read leases; trying again"`}},
		{nil, []string{`level=INFO msg="reading leases again"`}},
		{&url.Error{Op: "Put", URL: "https://host", Err: syscall.ECONNREFUSED},
			[]string{`level=WARN msg="the API server does not answer; trying again until it does"`}},
		{errors.New("client rate limiter Wait returned an error: rate: Wait(n=1) would exceed context deadline"), nil},
		{nil, []string{`level=INFO msg="the API server answers again"`}},
	} {
		inner.err = test.err
		for range 3 {
			if _, _, err := lock.Get(t.Context()); !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if err := lock.Create(t.Context(), resourcelock.LeaderElectionRecord{}); !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
			if err := lock.Update(t.Context(), resourcelock.LeaderElectionRecord{}); !errors.Is(err, test.err) {
				t.Errorf("got %v, want %v", err, test.err)
			}
		}
		if got := messages(); !slices.Equal(got, test.want) {
			t.Errorf("%v: said %q, want %q", test.err, got, test.want)
		}
	}
}

package watcher

import (
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What keeps a replica from being elected is said once, and a permission is asked
// for only where it is missing.
func TestLeaseReports(t *testing.T) {
	log, messages := testLog(slog.LevelInfo)
	reports := &leaseReports{trouble: newTrouble(log, "host"), name: "leases", elect: true}
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
			[]string{`level=WARN msg="cannot read leases; the leader election needs the permission to get, list, create, update leases.coordination.k8s.io; trying again"`}},
		{nil, []string{`level=INFO msg="reading leases again"`}},
		{apierrors.NewInternalError(errors.New("etcd")), []string{`level=WARN msg="cannot read leases; trying again"`}},
		{nil, []string{`level=INFO msg="reading leases again"`}},
		{&url.Error{Op: "Put", URL: "https://host", Err: syscall.ECONNREFUSED},
			[]string{`level=WARN msg="the API server does not answer; trying again until it does"`}},
		{errors.New("client rate limiter Wait returned an error: rate: Wait(n=1) would exceed context deadline"), nil},
		{nil, []string{`level=INFO msg="the API server answers again"`}},
	} {
		for range 3 {
			reports.report(test.err)
		}
		if got := messages(); !slices.Equal(got, test.want) {
			t.Errorf("%v: said %q, want %q", test.err, got, test.want)
		}
	}
}

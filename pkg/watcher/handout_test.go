package watcher

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
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

// Whatever the flags say of how long is waited, what has ended is told within what a watermark is behind: else it is
// lost where the process is replaced meanwhile. Here the stream ends anywhere, so that pods stop for ever.
func TestWhatHasEndedIsToldWithinTheLag(t *testing.T) {
	for _, o := range []causality.Options{
		{}, {Settle: time.Minute}, {Linger: 10 * time.Minute}, {Quiet: 10 * time.Minute}, {Linger: 5 * time.Minute, Quiet: 5 * time.Minute},
	} {
		flags := fmt.Sprintf("settle %s, linger %s, quiet %s", o.Settle, o.Linger, o.Quiet)
		longest := time.Duration(0)
		for _, name := range []string{"superseded-rollouts.jsonl", "crash-loop.jsonl", "pod-deleted-and-evicted.jsonl", "jobs-and-cronjob.jsonl"} {
			obs := recorded(t, name)
			for end := 5; end < len(obs); end += max(len(obs)/7, 7) {
				for _, d := range delays(&o, obs[:end]) {
					if longest = max(longest, d); d > lagOf(&o) {
						t.Errorf("%s: of %s up to %d something is told after %s", flags, name, end, d)
					}
				}
			}
		}
		if least := max(o.Linger, o.Quiet); longest < least {
			t.Errorf("%s: all is told within %s, which tries nothing", flags, longest)
		}
	}
}

// delays are how long after it had ended each change is told, or what happened beside changes.
func delays(o *causality.Options, obs []causality.Observation) (all []time.Duration) {
	e := causality.New(*o)
	now := obs[0].Time
	note := func(told []spans.Trace) {
		for i := range told {
			if root := told[i].Root(); !told[i].Late {
				all = append(all, now.Sub(root.End))
			}
		}
	}
	pass := func(until time.Time) {
		for now = now.Add(time.Second); now.Before(until); now = now.Add(time.Second) {
			note(e.Advance(now))
		}
		now = until
	}
	for _, in := range obs {
		pass(in.Time)
		note(e.Observe(in))
	}
	pass(now.Add(time.Hour))
	return all
}

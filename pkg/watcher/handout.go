package watcher

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/failover"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// handoutLag is how long after it has ended a change is handed out at the latest, beside the
// settle period, if nothing comes late: pods that stop are waited for during a minute, and
// Events about anything else, which may lag by half a minute, for another one.
const handoutLag = 3 * time.Minute

// defaultLinger and defaultQuiet are what handoutLag is for: the defaults of causality.Options.
const (
	defaultLinger = time.Minute
	defaultQuiet  = 30 * time.Second
)

// lagOf is how long after it has ended a change is handed out at the latest by an engine with such options, if
// nothing comes late. Quiet counts twice: Events wait for as long for others, and then, where the streams lag, to
// settle.
func lagOf(o *causality.Options) time.Duration {
	return handoutLag + o.Settle + max(0, o.Linger-defaultLinger) + 2*max(0, o.Quiet-defaultQuiet)
}

// handout is how a Live hands out where there is a Lease: what it has recorded there before.
type handout struct {
	election *failover.Election
	outbox   *failover.Outbox
	// flush is how long what waits may take to be recorded in the end.
	flush time.Duration

	stop    context.CancelFunc
	running sync.WaitGroup
}

// PodNamespace is the namespace of the pod that this process runs in; empty outside of one.
func PodNamespace() string {
	own, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(own))
}

// lease returns how to hold the Lease that ManagerOptions ask for; nil where there is to be
// none, as nobody says in which namespace.
func (l *Live) lease(o *ManagerOptions) (*failover.Election, error) {
	namespace := o.LeaderElectNamespace
	if namespace == "" {
		namespace = PodNamespace()
	}
	if namespace == "" {
		if !o.LeaderElect {
			return nil, nil
		}
		return nil, errors.New("--leader-elect: outside of a pod it needs --leader-elect-namespace, where the Lease is to be")
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	config := rest.AddUserAgent(l.options.Config, "leader-election")
	config.Timeout = failover.RenewDeadline / 2 // one request that hangs must not lose the election
	client, err := coordinationclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	e := &failover.Election{
		Client: client.Leases(namespace), Namespace: namespace, Identity: host + "_" + string(uuid.NewUUID()),
		Scope: l.scope(), Log: l.options.Log,
		Report: (&leaseReports{trouble: l.streams.trouble, name: "leases in namespace " + namespace, elect: o.LeaderElect}).report,
	}
	if o.LeaderElect {
		e.Name = cmp.Or(o.LeaderElectName, failover.DefaultLease)
		l.options.Log.Info("waiting to be elected", "lease", namespace+"/"+e.Name)
	}
	return e, nil
}

// handOver makes what hands out, once there is where to. It has a goroutine of its own, of which
// the heartbeat of the loop knows nothing.
func (l *Live) handOver(sink Sink) error {
	if l.election == nil {
		return nil
	}
	writer, err := l.writer()
	if err != nil {
		return err
	}
	h := &handout{election: l.election, flush: l.grace / 2}
	h.outbox = failover.NewOutbox(failover.Options{
		Writer: writer, Log: l.options.Log, Lag: lagOf(&l.options.Engine),
		Deliver: func(t spans.Trace) error {
			err := sink.Deliver(t)
			if err == nil && !l.options.Acknowledges {
				l.Acknowledge(journal.KeysOf(&t)...)
			}
			return err
		},
		Taken: func(keys ...journal.SpanKey) {
			if k := l.keeper.Load(); k != nil && len(keys) > 0 {
				k.Acknowledge(keys...)
			}
		},
	})
	h.election.Outbox = h.outbox
	l.handout.Store(h)
	return nil
}

// begin has the Lease held, and what is recorded there handed out, until end.
func (h *handout) begin(ctx context.Context, keeper *journal.Keeper) {
	if h == nil {
		return
	}
	if keeper.Resumes() {
		h.outbox.Resume(keptUntil(keeper))
	}
	// What is over in the end is recorded, too. What the elector says is reported, or of use to
	// nobody but who debugs it.
	ctx, h.stop = context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), logr.FromSlogHandler(debugOnly{h.election.Log.Handler()})))
	h.running.Go(func() { h.outbox.Run(ctx) })
	h.running.Go(func() { h.election.Run(ctx) })
}

// conclude waits for what waits, for a while. The Lease is held on, until end. The error is the
// sink's.
func (h *handout) conclude() error {
	if h == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), h.flush)
	defer cancel()
	err := h.outbox.Flush(ctx)
	if left := h.outbox.Stats(); left.Leading && left.Waiting > 0 {
		h.election.Log.Warn("there was no time to record in the Lease, and to send, all that is over; the rest is left to the next run", "spans", left.Waiting)
	}
	return err
}

// releaseWithin is how long it may take to give the Lease up. Where the API server is away, it
// runs out.
const releaseWithin = time.Second

// end gives the Lease up.
func (h *handout) end() {
	if h == nil || h.stop == nil {
		return
	}
	h.stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.running.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(releaseWithin):
	}
}

// writer is whose record this process writes into a Lease: that of its data directory, or
// of itself.
func (l *Live) writer() (string, error) {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	fresh := hex.EncodeToString(b[:])
	if l.options.DataDir == "" {
		return fresh, nil
	}
	path := filepath.Join(l.options.DataDir, "writer")
	content, err := os.ReadFile(path)
	switch name := strings.TrimSpace(string(content)); {
	case err == nil && len(name) == len(fresh):
		return name, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("--data-dir: %w", err)
	}
	if err := journal.WriteFile(path, []byte(fresh)); err != nil {
		l.options.Log.Warn("the data directory has no name in the Lease; what was sent in the second before a crash may be missing", "error", err)
	}
	return fresh, nil
}

// handoutStats are the counters of what hands out.
func (l *Live) handoutStats() failover.Stats {
	if h := l.handout.Load(); h != nil {
		return h.outbox.Stats()
	}
	return failover.Stats{Leading: l.started.Load()}
}

// Leading reports whether this process hands out what it sees.
func (l *Live) Leading() bool { return l.handoutStats().Leading }

// others is how many other processes watch the same.
func (l *Live) others() int {
	if h := l.handout.Load(); h != nil {
		return h.election.Others()
	}
	return 0
}

// leaseReports report how requests for Leases fare. The elector itself logs each failure,
// every two seconds.
type leaseReports struct {
	trouble *trouble
	name    string
	// elect says that nothing is handed out without the Lease.
	elect bool
}

func (l *leaseReports) report(err error) {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		l.trouble.worked(l.name)
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		// Nobody held it yet, or another replica was faster.
	case apierrors.IsForbidden(err):
		level := slog.LevelInfo
		what := "without them a restart does not tell what ended meanwhile, and another rollspan is not noticed; " +
			"for them rollspan needs the permission to get, list, create, update leases.coordination.k8s.io"
		if l.elect {
			level, what = slog.LevelWarn, "the leader election needs the permission to get, list, create, update leases.coordination.k8s.io"
		}
		l.trouble.failed(level, l.name, err, what)
	case clusterWide(err) != "", errors.As(err, &status):
		l.trouble.failed(slog.LevelWarn, l.name, err, "")
	default:
		// The elector's time is over before the request was sent: it says so.
	}
}

package failover

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// How long a Lease is held, how long its holder tries to renew it, and how often: the defaults
// of controller-runtime and of Kubernetes' own components.
const (
	LeaseDuration = 15 * time.Second
	RenewDeadline = 10 * time.Second
	RetryPeriod   = 2 * time.Second
)

// refusals is how often a process that was just installed asks again where it is refused: it
// takes a moment until a role counts.
const refusals = 2

// refusalsLater is the same of a process that has held a Lease: an API server that has just begun refuses
// everything until it has read the roles, for minutes where these are many. It asks twice every RetryPeriod.
const refusalsLater = 300

// lookEvery is how often a process looks for others.
const lookEvery = 30 * time.Second

// Every Lease of rollspan has this label, so that they are found.
const leaseLabel, leaseLabelValue = "app.kubernetes.io/name", "rollspan"

// allLeases is what finds them.
var allLeases = metav1.ListOptions{LabelSelector: leaseLabel + "=" + leaseLabelValue}

// Election has an Outbox lead while a Lease is held.
type Election struct {
	// Client is for Leases of a namespace.
	Client coordinationclient.LeaseInterface
	// Namespace is that one, and Name the Lease that replicas compete for. Without a name each
	// process has one of its own, which it takes over from one that is gone.
	Namespace, Name string
	// Identity is the process's name.
	Identity string
	// Scope is what it watches: namespaces, with commas; empty for all.
	Scope string
	// Outbox hands out while the Lease is held. Required.
	Outbox *Outbox
	// Report is told how each request has fared.
	Report func(error)
	// Log is where messages go. Required.
	Log *slog.Logger

	refused int           // requests since a Lease was written last; of one goroutine
	retry   time.Duration // between these; default RetryPeriod
	blind   bool          // it was said that others are not seen; of the goroutine that looks

	mu sync.Mutex
	// held is the Lease that this process holds, or waits for.
	held string
	// others are the processes that were noticed, by their names.
	others map[string]bool
}

// Others is how many other processes were seen, at the last look, to watch the same without
// knowing of this one.
func (e *Election) Others() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.others)
}

// Run holds a Lease, or waits for it, until ctx is done. Then it is given up.
func (e *Election) Run(ctx context.Context) {
	looking, stop := context.WithCancel(ctx)
	defer stop()
	go e.look(looking)
	name := e.Name
	if name == "" {
		var ok bool
		if name, ok = e.own(ctx); !ok {
			return
		}
	}
	e.hold(ctx, name, nil)
}

// hold competes for a Lease until ctx is done. To lose it is no reason to end: nothing is
// handed out until it is held again. The function alive is called where another renews it.
func (e *Election) hold(ctx context.Context, name string, alive func(holder string)) {
	e.mu.Lock()
	e.held = name
	e.mu.Unlock()
	l := &lock{
		client: e.Client, namespace: e.Namespace, name: name, identity: e.Identity, outbox: e.Outbox, alive: alive, yields: e.Name != "",
		labels: map[string]string{leaseLabel: leaseLabelValue}, annotations: map[string]string{scopeAnnotation: e.Scope, purposeAnnotation: e.purpose()},
	}
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: &reported{l, e.report, e.wrote}, Name: name, ReleaseOnCancel: true,
			LeaseDuration: LeaseDuration, RenewDeadline: RenewDeadline, RetryPeriod: RetryPeriod,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(leading context.Context) {
					e.Log.Info("the lease is held: what changes is sent from here", "lease", l.Describe())
					e.Outbox.Lead(leading, l.save)
					if ctx.Err() == nil {
						e.Log.Warn("the lease is lost: nothing is sent until it is held again", "lease", l.Describe())
					}
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			e.Log.Error("the leader election is set up wrongly, which is a mistake in rollspan", "error", err)
			return
		}
		elector.Run(ctx)
	}
}

// own returns the name of a Lease for this process alone: that of one that was here before it
// and is gone, or a new one. It reports false when ctx is done, or where there can be none.
func (e *Election) own(ctx context.Context) (name string, ok bool) {
	leases, ok := e.list(ctx)
	if !ok {
		return "", false
	}
	fresh := ownPrefix + rand.String(8)
	before := e.before(leases)
	if before == nil {
		e.Outbox.absorbNone()
		return fresh, true
	}
	// Whether it is gone, or only slow, is known when it has not renewed its Lease for long.
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	other := ""
	e.hold(waiting, before.Name, func(holder string) {
		other = holder
		stop()
	})
	if ctx.Err() != nil || other == "" {
		return "", false
	}
	e.notice(map[string]bool{other: true})
	e.Outbox.IgnoreBefore(time.Now()) // the other tells that
	return fresh, true
}

// list lists the Leases of all processes. It reports false when ctx is done, or where they may
// not be read: then what is seen is sent, whoever else does.
func (e *Election) list(ctx context.Context) ([]coordinationv1.Lease, bool) {
	for {
		leases, err := e.Client.List(ctx, allLeases)
		e.report(err)
		switch {
		case err == nil:
			return leases.Items, true
		case isRefusal(err):
			if e.refused > refusals {
				return nil, false
			}
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(cmp.Or(e.retry, RetryPeriod)):
		}
	}
}

// before is the Lease of a process that watched the same, and was there last; nil for none.
func (e *Election) before(leases []coordinationv1.Lease) (last *coordinationv1.Lease) {
	for i := range leases {
		l := &leases[i]
		if scope, ok := l.Annotations[scopeAnnotation]; !ok || scope != e.Scope || !isOwn(l) || l.Spec.RenewTime == nil {
			continue
		}
		if last == nil || last.Spec.RenewTime.Before(l.Spec.RenewTime) {
			last = l
		}
	}
	return last
}

// purpose says what a Lease is for.
func (e *Election) purpose() string {
	if e.Name == "" {
		return purposeOwn
	}
	return purposeElection
}

// isOwn says whether a Lease is one process's own, and not one that replicas compete for under
// whatever name: who took that over would lead them. Versions that did not say what a Lease is
// for gave a process's own a name that they made up.
func isOwn(l *coordinationv1.Lease) bool {
	purpose, said := l.Annotations[purposeAnnotation]
	return purpose == purposeOwn || !said && madeUp.MatchString(l.Name)
}

// madeUp are the names of processes' own Leases: of the characters that rand.String makes names of
// (k8s.io/apimachinery/pkg/util/rand), which spell no word, as "rollspan-checkout" does.
var madeUp = regexp.MustCompile(`^` + ownPrefix + `[bcdfghjklmnpqrstvwxz2456789]{8}$`)

const ownPrefix = "rollspan-"

// DefaultLease is the Lease that replicas compete for where they are not told another.
const DefaultLease = "rollspan"

// look looks for others from time to time.
func (e *Election) look(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		e.lookNow(ctx)
	}
}

// lookNow looks once. That it may not is said once: it costs nothing but that others are not
// noticed. An API server that is away is noticed by the renewals.
func (e *Election) lookNow(ctx context.Context) {
	leases, err := e.Client.List(ctx, allLeases)
	switch {
	case err == nil:
		e.blind = false
		e.notice(e.overlapping(leases.Items, time.Now()))
	case isRefusal(err) && !e.blind:
		e.blind = true
		e.Log.Warn("the Leases of others cannot be listed: another rollspan that watches the same, and does not know of this one, "+
			"is not noticed; for that the Role needs list for leases.coordination.k8s.io", "namespace", e.Namespace, "error", err)
	}
}

// overlapping are the holders of other Leases that watch some of what this process watches.
func (e *Election) overlapping(leases []coordinationv1.Lease, now time.Time) map[string]bool {
	found := map[string]bool{}
	e.mu.Lock()
	own := e.held
	e.mu.Unlock()
	for i := range leases {
		l := &leases[i]
		scope, ok := l.Annotations[scopeAnnotation]
		if !ok || l.Name == own || holderOf(l) == "" || l.Spec.RenewTime == nil {
			continue
		}
		if now.Sub(l.Spec.RenewTime.Time).Abs() < 2*LeaseDuration && overlap(scope, e.Scope) {
			found[holderOf(l)] = true
		}
	}
	return found
}

func overlap(a, b string) bool {
	if a == "" || b == "" {
		return true
	}
	in := strings.Split(b, ",")
	return slices.ContainsFunc(strings.Split(a, ","), func(namespace string) bool { return slices.Contains(in, namespace) })
}

// notice says once of each who else is there.
func (e *Election) notice(found map[string]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, holder := range slices.Sorted(maps.Keys(found)) {
		if !e.others[holder] {
			e.Log.Warn("another rollspan watches the same, and does not know of this one: what both see is sent twice; "+
				"start all of them with --leader-elect and the same --leader-elect-name, so that one sends", "other", holder)
		}
	}
	e.others = found
}

// report notes how a request has fared. Without the permission a process that need not be
// elected hands out what it sees, whoever else does.
func (e *Election) report(err error) {
	if e.Name == "" && isRefusal(err) {
		e.refused++
		if e.refused > refusalsLater || e.refused > refusals && !e.Outbox.hasLed() {
			e.Outbox.LeadAlone()
		}
	}
	e.Report(err)
}

// wrote notes that a Lease was written: it may. That it may be read says nothing of that.
func (e *Election) wrote() { e.refused = 0 }

func isRefusal(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsMethodNotSupported(err)
}

// reported reports how requests for a Lease fare, and that it was written.
type reported struct {
	resourcelock.Interface
	report func(error)
	wrote  func()
}

// Get reads the Lease.
func (l *reported) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	l.report(err)
	return record, raw, err
}

// Create makes the Lease.
func (l *reported) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Create(ctx, r)
	if l.report(err); err == nil {
		l.wrote()
	}
	return err
}

// Update renews or takes the Lease.
func (l *reported) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Update(ctx, r)
	if l.report(err); err == nil {
		l.wrote()
	}
	return err
}

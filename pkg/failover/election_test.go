package failover

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

var leasesResource = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

// leases is an API server that has Leases, and compares versions.
type leases struct {
	coordinationclient.LeaseInterface
	refuses bool
	// after is called behind each update, with what it has come to.
	after func(error) error

	mu      sync.Mutex
	version int
	byName  map[string]*coordinationv1.Lease
}

func (l *leases) refused() error {
	if l.refuses {
		return apierrors.NewForbidden(leasesResource, "", errors.New("RBAC"))
	}
	return nil
}

func (l *leases) Get(_ context.Context, name string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lease := l.byName[name]; lease != nil {
		return lease.DeepCopy(), l.refused()
	}
	return nil, apierrors.NewNotFound(leasesResource, name)
}

func (l *leases) List(context.Context, metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := &coordinationv1.LeaseList{}
	for _, name := range slices.Sorted(maps.Keys(l.byName)) {
		list.Items = append(list.Items, *l.byName[name].DeepCopy())
	}
	return list, l.refused()
}

func (l *leases) put(lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	l.version++
	lease = lease.DeepCopy()
	lease.ResourceVersion = strconv.Itoa(l.version)
	l.byName[lease.Name] = lease
	return lease.DeepCopy(), nil
}

func (l *leases) Create(_ context.Context, lease *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName[lease.Name] != nil {
		return nil, apierrors.NewAlreadyExists(leasesResource, lease.Name)
	}
	return l.put(lease)
}

func (l *leases) Update(_ context.Context, lease *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch before := l.byName[lease.Name]; {
	case before == nil:
		return nil, apierrors.NewNotFound(leasesResource, lease.Name)
	case before.ResourceVersion != lease.ResourceVersion:
		return nil, apierrors.NewConflict(leasesResource, lease.Name, errors.New("changed"))
	}
	lease, err := l.put(lease)
	if l.after != nil {
		err = l.after(err)
	}
	if err != nil {
		return nil, err
	}
	return lease, nil
}

// box is an Outbox, with what it has handed out.
func box(writer string) (*Outbox, *[]spans.Trace) {
	out := &[]spans.Trace{}
	return NewOutbox(Options{Writer: writer, Log: slog.New(slog.DiscardHandler), Deliver: func(t spans.Trace) error {
		*out = append(*out, t)
		return nil
	}}), out
}

// Who has lost the Lease, and does not know it yet, cannot record, and so sends nothing.
func TestWhoHasLostTheLeaseRecordsNothing(t *testing.T) {
	ctx := t.Context()
	api := &leases{byName: map[string]*coordinationv1.Lease{}}
	as := func(name string) (*lock, *[]spans.Trace) {
		b, out := box(name)
		return &lock{client: api, name: "rollspan", identity: name, outbox: b}, out
	}
	record := func(holder string) resourcelock.LeaderElectionRecord {
		return resourcelock.LeaderElectionRecord{HolderIdentity: holder, LeaseDurationSeconds: 15, RenewTime: metav1.Now()}
	}
	first, sent := as("first")
	if err := first.Create(ctx, record("first")); err != nil {
		t.Fatal(err)
	}
	first.outbox.lead(first.save)
	one, two := traceOf(1, 2, recorded), traceOf(2, 3, recorded)
	if err := first.outbox.Put([]spans.Trace{one}); err != nil {
		t.Fatal(err)
	}
	first.outbox.step(ctx)
	if len(*sent) != 1 {
		t.Fatalf("the leader has sent %d traces", len(*sent))
	}
	first.outbox.Acknowledge(journal.KeysOf(&one)...)

	second, taken := as("second")
	if err := second.outbox.Put([]spans.Trace{one, two}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := second.Get(ctx); err != nil {
		t.Fatal(err)
	}
	if err := second.Update(ctx, record("second")); err != nil {
		t.Fatal(err)
	}
	first.outbox.saved = time.Time{} // it is time for the next
	if err := first.outbox.Put([]spans.Trace{two}); err != nil {
		t.Fatal(err)
	}
	if first.outbox.step(ctx); len(*sent) != 1 || first.outbox.Stats().Waiting != 3 {
		t.Errorf("without the Lease it has sent %d traces, and %d spans wait", len(*sent), first.outbox.Stats().Waiting)
	}
	second.outbox.lead(second.save)
	second.outbox.step(ctx)
	if len(*taken) != 1 || (*taken)[0].Root().TraceID != two.Root().TraceID {
		t.Errorf("the other has sent %v", *taken)
	}
	// What the first had sent was not known to have arrived, as no renewal has said so.
	if got := second.outbox.Stats().Missing; got != 2 {
		t.Errorf("%d spans may be missing, want 2", got)
	}
}

// What a process has recorded itself, and has a journal of, it sends again; another does not.
func TestAJournalKnowsBetter(t *testing.T) {
	one := traceOf(1, 2, recorded)
	acknowledged := traceOf(2, 1, recorded)
	settled := entryOf(&acknowledged)
	settled.Open = false
	text := (&Record{Watermark: recorded.Add(time.Second), Writer: "disk", Entries: []Entry{settled, entryOf(&one)}}).encode()
	for _, test := range []struct {
		writer  string
		resumes bool
		left    int64
		missing int64
	}{{"disk", true, 2, 0}, {"disk", false, 0, 2}, {"other", true, 0, 2}} {
		b, _ := box(test.writer)
		if test.resumes {
			b.Resume(recorded)
		}
		if err := b.Put([]spans.Trace{one, acknowledged}); err != nil {
			t.Fatal(err)
		}
		b.Absorb(text)
		b.lead(nil)
		if got := b.Stats(); got.Waiting != test.left || got.Missing != test.missing {
			t.Errorf("%+v: %d spans wait, %d may be missing", test, got.Waiting, got.Missing)
		}
	}
}

// Without the permission a process that need not be elected hands out what it sees; one that
// must be does not.
func TestWithoutPermissionForLeases(t *testing.T) {
	b, _ := box("alone")
	said := 0
	e := &Election{Client: &leases{refuses: true}, Outbox: b, Log: slog.New(slog.DiscardHandler), Report: func(error) { said++ }, retry: time.Nanosecond}
	e.Run(t.Context())
	if !b.Stats().Leading || said != refusals+1 {
		t.Errorf("it hands out: %t; it has asked %d times", b.Stats().Leading, said)
	}
	if _, read := b.Watermark(); !read {
		t.Error("it waits for what a Lease says")
	}
	b, _ = box("elected")
	e = &Election{Name: "rollspan", Outbox: b, Report: func(error) {}}
	for range 10 {
		e.report(apierrors.NewForbidden(leasesResource, "", errors.New("RBAC")))
	}
	if b.Stats().Leading {
		t.Error("it hands out without having been elected")
	}
}

// An API server that has just begun refuses everything until it has read the roles. Who held a Lease waits for that,
// however often it happens, and where it takes too long, goes on with the Lease as soon as it has it again.
func TestALeaseThatIsRefusedForAMoment(t *testing.T) {
	b, _ := box("lone")
	e := &Election{Outbox: b, Report: func(error) {}}
	refuse := func(times int) {
		for range times {
			e.report(apierrors.NewForbidden(leasesResource, "", errors.New("RBAC")))
		}
	}
	refuse(refusals)
	e.report(nil) // it may be read, and not be written
	if refuse(1); !b.Stats().Leading {
		t.Error("it waits for a Lease that it may not write")
	}
	e.wrote()
	b.resign(b.lead(nil))
	for range 5 {
		refuse(100)
		e.wrote()
	}
	if b.Stats().Leading {
		t.Error("it hands out without the Lease that it had")
	}
	refuse(refusalsLater + 1)
	if !b.Stats().Leading {
		t.Error("it waits for ever")
	}
	b.resign(b.lead(nil))
	if b.Stats().Leading {
		t.Error("it goes on without the Lease that it had again, and lost")
	}
}

// Others are those that watch some of the same, and were there just now; each is said once.
func TestOthersAreNoticed(t *testing.T) {
	var said strings.Builder
	e := &Election{Scope: "shop,bank", held: "mine", Log: slog.New(slog.NewTextHandler(&said, nil))}
	lease := func(name, scope string, ago time.Duration) coordinationv1.Lease {
		at := metav1.NewMicroTime(recorded.Add(-ago))
		return coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{scopeAnnotation: scope}},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, RenewTime: &at},
		}
	}
	list := []coordinationv1.Lease{
		lease("mine", "shop,bank", 0), lease("elsewhere", "till", 0), lease("gone", "shop", time.Hour),
		lease("everywhere", "", time.Second), lease("beside", "till,bank", time.Second), {ObjectMeta: metav1.ObjectMeta{Name: "foreign"}},
	}
	for range 2 {
		e.notice(e.overlapping(list, recorded))
	}
	if e.Others() != 2 || strings.Count(said.String(), "other=everywhere") != 1 || strings.Count(said.String(), "other=beside") != 1 || strings.Count(said.String(), "\n") != 2 {
		t.Errorf("%d others; it said\n%s", e.Others(), said.String())
	}
}

// A process without election goes on where one was that had a Lease of its own, and leaves the
// Lease that replicas compete for, under whatever name, to them.
func TestReplicasKeepTheirLease(t *testing.T) {
	e := &Election{Scope: "shop"}
	lease := func(name, purpose string, ago time.Duration) coordinationv1.Lease {
		at := metav1.NewMicroTime(recorded.Add(-ago))
		l := coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{scopeAnnotation: "shop"}},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, RenewTime: &at},
		}
		if purpose != "" {
			l.Annotations[purposeAnnotation] = purpose
		}
		return l
	}
	const before = "" // what versions have said that did not say it
	for _, test := range []struct {
		leases []coordinationv1.Lease
		want   string
	}{
		{[]coordinationv1.Lease{lease("rollspan", before, 0), lease("checkout", before, 0)}, ""},
		{[]coordinationv1.Lease{lease("rollspan-checkout", before, 0), lease("rollspan-payments", before, 0)}, ""},
		{[]coordinationv1.Lease{lease("checkout", purposeElection, 0), lease("rollspan-bcdfghjk", purposeElection, 0)}, ""},
		{[]coordinationv1.Lease{lease("checkout", purposeElection, 0), lease("rollspan-bcdfghjk", before, time.Hour)}, "rollspan-bcdfghjk"},
		{[]coordinationv1.Lease{lease("rollspan-bcdfghjk", purposeOwn, time.Hour), lease("rollspan-xcdfghjk", purposeOwn, time.Minute)}, "rollspan-xcdfghjk"},
	} {
		got := ""
		if l := e.before(test.leases); l != nil {
			got = l.Name
		}
		if got != test.want {
			t.Errorf("of %v it goes on with %q, want %q", test.leases, got, test.want)
		}
	}
}

// The Lease says whose it is, so that the next process knows.
func TestALeaseSaysWhatItIsFor(t *testing.T) {
	for _, test := range []struct{ name, want string }{{"", purposeOwn}, {"checkout", purposeElection}} {
		ctx, stop := context.WithCancel(t.Context())
		api := &leases{byName: map[string]*coordinationv1.Lease{}}
		b, _ := box("alone")
		e := &Election{Client: api, Name: test.name, Identity: "here", Outbox: b, Log: slog.New(slog.DiscardHandler), Report: func(err error) {
			if list, _ := api.List(ctx, metav1.ListOptions{}); err == nil && len(list.Items) > 0 {
				stop()
			}
		}}
		e.Run(ctx)
		list, _ := api.List(ctx, metav1.ListOptions{})
		if got := list.Items[0].Annotations[purposeAnnotation]; got != test.want {
			t.Errorf("the Lease of --leader-elect-name=%q is of %q, want %q", test.name, got, test.want)
		}
		stop()
	}
}

// Who may not list Leases says once what that costs.
func TestOthersThatCannotBeSeen(t *testing.T) {
	var said strings.Builder
	api := &leases{refuses: true}
	e := &Election{Name: "rollspan", Client: api, Log: slog.New(slog.NewTextHandler(&said, nil))}
	for range 3 {
		e.lookNow(t.Context())
	}
	if n := strings.Count(said.String(), "is not noticed"); n != 1 {
		t.Errorf("it was said %d times, want once:\n%s", n, said.String())
	}
	api.refuses = false
	e.lookNow(t.Context())
	api.refuses = true
	e.lookNow(t.Context())
	if n := strings.Count(said.String(), "is not noticed"); n != 2 {
		t.Errorf("it was said %d times, want again after it was put right:\n%s", n, said.String())
	}
}

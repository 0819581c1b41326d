package failover

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
)

const (
	// recordAnnotation has the Record.
	recordAnnotation = "rollspan.io/handed-out"
	// scopeAnnotation says of a Lease of one process what it watches.
	scopeAnnotation = "rollspan.io/watches"
	// purposeAnnotation says what a Lease is for: one process's own, or for replicas to
	// compete for.
	purposeAnnotation = "rollspan.io/lease-of"
	purposeOwn        = "process"
	purposeElection   = "replicas"
)

// errNotHeld says that a Lease is not this process's.
var errNotHeld = errors.New("the Lease is not held")

// errGone says that a Lease was deleted that another held just now.
var errGone = errors.New("the Lease was deleted, and may be made anew by who held it")

// lock is a Lease with a Record in it: resourcelock.LeaseLock with an annotation. Each write
// of it writes the record, too, and names the version that it changes.
type lock struct {
	client              coordinationclient.LeaseInterface
	namespace, name     string
	identity            string
	labels, annotations map[string]string
	outbox              *Outbox

	mu    sync.Mutex
	lease *coordinationv1.Lease // as it was read or written last
	asked time.Time             // when it was written last, or tried to be; zero where it was given up
	gone  time.Time             // since when it is not there that another held; zero where it is
	// alive is called when the one who holds the Lease has renewed it since it was read.
	alive func(holder string)
	// yields says that others may wait for the Lease, and renewed is who was seen to write it last.
	yields  bool
	renewed string
}

// yieldFor is how much longer a process leaves the Lease to others that has not seen its holder renew it:
// it has begun to watch when that one was gone, or hardly before. A standby that has watched for longer
// knows more of what is under way. It reads the Lease every 2 to 4.4 s, and later on a busy machine.
const yieldFor = 10 * time.Second

// Get reads the Lease, and has the Outbox absorb what others have recorded.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lease, err := l.client.Get(ctx, l.name, metav1.GetOptions{})
	if err != nil {
		return nil, nil, l.notYet(err)
	}
	l.gone = time.Time{}
	before := l.lease
	l.lease = lease
	record := resourcelock.LeaseSpecToLeaderElectionRecord(&lease.Spec)
	if before != nil && record.HolderIdentity != l.identity && record.HolderIdentity != "" && !before.Spec.RenewTime.Equal(lease.Spec.RenewTime) {
		l.renewed = record.HolderIdentity // or it has taken it
		if l.alive != nil && holderOf(before) == record.HolderIdentity {
			l.alive(record.HolderIdentity)
		}
	}
	if l.yields && record.HolderIdentity != l.identity && record.HolderIdentity != l.renewed {
		record.LeaseDurationSeconds += int(yieldFor / time.Second) // by which the elector goes
	}
	raw, err := json.Marshal(record)
	if err != nil {
		return nil, nil, err
	}
	if record.HolderIdentity != l.identity {
		l.outbox.Absorb(lease.Annotations[recordAnnotation])
		l.outbox.renewed(record.RenewTime.Time)
	}
	return record, raw, nil
}

// notYet has a Lease that somebody deleted be there until its holder has had the time to make it anew,
// with all that it has recorded since this process read it last.
func (l *lock) notYet(err error) error {
	if !apierrors.IsNotFound(err) {
		l.gone = time.Time{} // whoever holds it could not make it anew meanwhile
		return err
	}
	if l.lease == nil || holderOf(l.lease) == l.identity || holderOf(l.lease) == "" {
		return err
	}
	now := l.outbox.options.Now()
	if l.gone.IsZero() {
		l.gone = now
	}
	if now.Sub(l.gone) < LeaseDuration {
		return errGone
	}
	return err
}

// holderOf is who holds a Lease; empty for nobody.
func holderOf(lease *coordinationv1.Lease) string { return ptr.Deref(lease.Spec.HolderIdentity, "") }

// Create makes the Lease.
func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outbox.absorbNone()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: l.name},
		Spec:       resourcelock.LeaderElectionRecordToLeaseSpec(&record),
	}
	return l.keep(l.client.Create(ctx, l.written(lease), metav1.CreateOptions{}))
}

// Update takes the Lease, renews it, or gives it up.
func (l *lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease == nil {
		return errNotHeld
	}
	lease := l.lease.DeepCopy()
	lease.Spec = resourcelock.LeaderElectionRecordToLeaseSpec(&record)
	lease = l.written(lease)
	if record.HolderIdentity != l.identity { // it is given up
		l.asked = time.Time{}
	}
	return l.keep(l.client.Update(ctx, lease, metav1.UpdateOptions{}))
}

// save writes the record, which renews the Lease. It fails where the Lease is not held, or was
// written by somebody else since.
func (l *lock) save(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease == nil || holderOf(l.lease) != l.identity {
		return errNotHeld
	}
	lease := l.lease.DeepCopy()
	lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
	return l.keep(l.client.Update(ctx, l.written(lease), metav1.UpdateOptions{}))
}

// written is a Lease as it is to be written.
func (l *lock) written(lease *coordinationv1.Lease) *coordinationv1.Lease {
	lease.Labels, lease.Annotations = with(lease.Labels, l.labels), with(lease.Annotations, l.annotations)
	lease.Annotations[recordAnnotation] = l.outbox.content()
	l.asked = l.outbox.options.Now()
	return lease
}

func with(m, more map[string]string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	maps.Copy(m, more)
	return m
}

func (l *lock) keep(lease *coordinationv1.Lease, err error) error {
	l.outbox.wrote(l.asked, err)
	if err == nil {
		l.lease = lease
	}
	return err
}

// RecordEvent does nothing: the role needs no more than the Lease itself.
func (l *lock) RecordEvent(string) {}

// Describe is the Lease's name.
func (l *lock) Describe() string { return l.namespace + "/" + l.name }

// Identity is whose lock this is.
func (l *lock) Identity() string { return l.identity }

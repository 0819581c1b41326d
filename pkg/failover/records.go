package failover

import (
	"time"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Log records are not recorded in the Lease, which has no room for one of each Event. The leader
// hands them out at once. A standby keeps those that came since that one wrote the Lease last, by its
// clock, and hands them out when it has taken the Lease, however long that takes. So what the leader
// handed out between that write, which is made every RetryPeriod, and its death comes twice, with the
// same UID, and nothing is lost.

const (
	// recordSlack is by how much the clocks of two processes are taken to differ at most, and how
	// much later the one may have made a record than the other.
	recordSlack = 2 * time.Second
	// mostRecords is how many it keeps at most.
	mostRecords = 20000
)

// PutRecords takes log records to be handed out.
func (o *Outbox) PutRecords(records []spans.Trace) {
	if len(records) == 0 {
		return
	}
	o.mu.Lock()
	now := o.options.Now()
	for _, t := range records {
		o.records = append(o.records, item{Trace: t, put: now})
	}
	var taken []journal.SpanKey
	if !o.leading {
		taken = append(o.dropToldRecords(), o.dropRecords(max(0, len(o.records)-mostRecords))...)
	}
	leading := o.leading
	o.mu.Unlock()
	o.options.Taken(taken...)
	if leading {
		o.signal()
	}
}

// dropRecords drops the oldest log records. The caller holds the lock.
func (o *Outbox) dropRecords(n int) (taken []journal.SpanKey) {
	for i := range o.records[:n] {
		taken = append(taken, journal.KeysOf(&o.records[i].Trace)...)
	}
	clear(o.records[:n])
	o.records = o.records[n:]
	return taken
}

// renewed notes when another process wrote the Lease last, by its clock. That time has passed when
// it is seen first: of a clock that is ahead of this one's, nobody can have handed out what is put
// here later.
func (o *Outbox) renewed(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at.Equal(o.otherWrote) {
		return
	}
	o.otherWrote = at
	o.otherUntil = latest(o.otherUntil, earliest(at, o.options.Now()))
}

// RecordsSince is from when on no other process has handed out log records, as far as is known;
// zero where no other was there.
func (o *Outbox) RecordsSince() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.recordsSince()
}

func (o *Outbox) recordsSince() time.Time {
	if o.otherUntil.IsZero() {
		return o.otherUntil
	}
	return o.otherUntil.Add(-recordSlack)
}

// dropToldRecords drops the log records that another process has handed out. The caller holds the lock.
func (o *Outbox) dropToldRecords() (taken []journal.SpanKey) {
	since, told := o.recordsSince(), 0
	for told < len(o.records) && o.records[told].put.Before(since) {
		told++
	}
	return o.dropRecords(told)
}

// stepRecords hands log records out, if this process leads. Of spans the write of the Lease says that it
// still does. Nothing is written for a record: so one that stood still waits for the next renewal.
func (o *Outbox) stepRecords() {
	o.mu.Lock()
	if !o.leading || o.ended || o.failed != nil || len(o.records) == 0 || !o.holds(o.options.Now()) {
		o.mu.Unlock()
		return
	}
	taken := o.dropToldRecords()
	batch := o.records
	o.records = nil
	o.handing = true
	o.mu.Unlock()
	o.options.Taken(taken...)
	o.hand(batch)
}

package failover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// replicas share a Lease and a clock.
type replicas struct {
	t   *testing.T
	api *leases
	now time.Time
	log strings.Builder
}

// replica is one of them, as its elector uses it, and what it has sent.
type replica struct {
	*lock
	of   *replicas
	sent []string
}

func newReplicas(t *testing.T) *replicas {
	return &replicas{t: t, api: &leases{byName: map[string]*coordinationv1.Lease{}}, now: recorded}
}

func (r *replicas) start(identity, writer string) *replica {
	one := &replica{of: r}
	one.lock = &lock{client: r.api, name: "rollspan", identity: identity, outbox: NewOutbox(Options{
		Writer: writer, Log: slog.New(slog.NewTextHandler(&r.log, nil)), Now: func() time.Time { return r.now },
		Deliver: func(t spans.Trace) error {
			if t.Record != nil {
				one.sent = append(one.sent, t.Record.Message)
			} else {
				one.sent = append(one.sent, strconv.FormatUint(binary.BigEndian.Uint64(t.Root().TraceID[:])-1, 10)) // see traceOf
			}
			return nil
		},
	})}
	return one
}

func (r *replica) record() resourcelock.LeaderElectionRecord {
	return resourcelock.LeaderElectionRecord{HolderIdentity: r.identity, LeaseDurationSeconds: 15, RenewTime: metav1.NewTime(r.of.now)}
}

// renew does what the elector does each time, who holds the Lease or is to take it.
func (r *replica) renew() {
	r.of.t.Helper()
	ctx := r.of.t.Context()
	_, _, err := r.Get(ctx)
	if apierrors.IsNotFound(err) {
		err = r.Create(ctx, r.record())
	} else if err == nil {
		err = r.Update(ctx, r.record())
	}
	if err != nil {
		r.of.t.Fatal(err)
	}
}

func (r *replica) put(traces ...spans.Trace) {
	r.of.t.Helper()
	if err := r.outbox.Put(traces); err != nil {
		r.of.t.Fatal(err)
	}
}

// takeOver has it hold the Lease, lead, and hand out what there is.
func (r *replica) takeOver() {
	r.of.t.Helper()
	r.renew()
	r.outbox.lead(r.save)
	for r.outbox.step(r.of.t.Context()) {
	}
}

func (r *replica) read() {
	r.of.t.Helper()
	if _, _, err := r.Get(r.of.t.Context()); err != nil {
		r.of.t.Fatal(err)
	}
}

func (r *replica) is(what, sent string, missing int64) {
	r.of.t.Helper()
	if got := strings.Join(r.sent, " "); got != sent {
		r.of.t.Errorf("%s: %s has sent %q, want %q", what, r.identity, got, sent)
	}
	if got := r.outbox.Stats().Missing; got != missing {
		r.of.t.Errorf("%s: %s says that %d spans may be missing, want %d", what, r.identity, got, missing)
	}
}

// A write of the Lease may have happened though its answer never came. What it says is sent by who goes
// on to lead, once, and by nobody where that one dies.
func TestAWriteThatHappenedWithoutAnAnswer(t *testing.T) {
	for _, dies := range []bool{false, true} {
		all := newReplicas(t)
		first, second := all.start("first", "1"), all.start("second", "2")
		first.takeOver()
		second.put(traceOf(1, 2, recorded))
		first.put(traceOf(1, 2, recorded))
		all.api.after = func(error) error { return errors.New("deadline exceeded") }
		first.outbox.step(t.Context())
		first.is("without an answer", "", 0)
		all.now = all.now.Add(saveEvery)
		first.outbox.step(t.Context()) // a conflict with its own write
		first.is("in conflict with itself", "", 0)
		all.api.after = nil
		if dies {
			all.now = all.now.Add(LeaseDuration)
			second.takeOver()
			second.is("the leader is dead", "", 2)
			continue
		}
		all.now = all.now.Add(saveEvery)
		first.renew()
		first.outbox.step(t.Context())
		first.is("renewed", "1", 0)
		second.read()
		if n := second.outbox.Stats().Waiting; n > 0 {
			t.Errorf("%d spans wait of what was sent", n)
		}
	}
}

// One that dies as it takes the Lease over, before it leads, leaves what the one before had recorded to be
// counted by the next, be that itself with its journal, which knows nothing of it.
func TestTwoLeadersDieInSuccession(t *testing.T) {
	for _, again := range []bool{false, true} {
		all := newReplicas(t)
		first, second := all.start("first", "1"), all.start("second", "2")
		first.takeOver()
		first.put(traceOf(1, 2, recorded))
		first.outbox.step(t.Context())
		first.is("the leader", "1", 0)
		all.now = all.now.Add(LeaseDuration)
		second.renew()
		all.now = all.now.Add(LeaseDuration)
		third := all.start("third", "3")
		if again {
			third = all.start("second, again", "2")
			third.outbox.Resume(all.now)
		}
		third.put(traceOf(1, 2, recorded), traceOf(2, 3, recorded))
		third.takeOver()
		third.is("the third", "2", 2)
	}
}

// What one that leads again has counted of another is not counted by the next, whatever of its own is on its
// way yet from when it led before.
func TestOneThatLeadsAgainCountsOthersOnce(t *testing.T) {
	all := newReplicas(t)
	first, second, third := all.start("first", "1"), all.start("second", "2"), all.start("third", "3")
	first.takeOver()
	first.put(traceOf(1, 2, recorded))
	first.outbox.step(t.Context())
	all.now = all.now.Add(LeaseDuration)
	second.takeOver()
	second.put(traceOf(2, 3, recorded))
	second.outbox.step(t.Context())
	second.is("the second", "2", 2)
	all.now = all.now.Add(LeaseDuration)
	first.takeOver()
	first.is("the first again", "1", 3)
	first.renew()
	all.now = all.now.Add(LeaseDuration)
	third.takeOver()
	third.is("the third", "", 0)
}

// A process with a journal that dies twice, the second time before it has sent again what it had recorded,
// sends that when it begins for the third time. Where there is nothing to send again, the Lease says so.
func TestAJournalThatIsReadTwice(t *testing.T) {
	all := newReplicas(t)
	runs := 0
	run := func(again ...spans.Trace) *replica {
		runs++
		r := all.start(fmt.Sprint("run ", runs), "disk")
		r.outbox.Resume(all.now)
		r.put(again...)
		return r
	}
	one := traceOf(1, 2, recorded)
	first := run(one)
	first.takeOver()
	first.is("the first run", "1", 0)
	second := run(one)
	second.renew()
	second.outbox.lead(second.save)
	second.renew()
	third := run(one)
	third.takeOver()
	third.is("the third run", "1", 0)

	idle := run() // the journal says that it has arrived
	idle.takeOver()
	idle.outbox.Passed(all.now)
	idle.renew()
	other := all.start("other", "other")
	other.put(one)
	other.takeOver()
	other.is("after one that had nothing to send", "", 0)
}

// A leader that was stopped, or whose machine slept, hands no log records out until it has renewed the
// Lease: another may have taken it.
func TestRecordsOfALeaderThatStoodStill(t *testing.T) {
	all := newReplicas(t)
	record := func(message string) []spans.Trace {
		return []spans.Trace{{Record: &spans.Record{UID: spans.NewTraceID(message), Message: message}}}
	}
	first, second := all.start("first", "1"), all.start("second", "2")
	first.takeOver()
	second.read()
	all.now = all.now.Add(20 * time.Second)
	for _, r := range []*replica{first, second} {
		r.outbox.PutRecords(record("meanwhile"))
		r.outbox.stepRecords()
	}
	first.is("it goes on", "", 0)
	second.takeOver()
	second.outbox.stepRecords()
	second.is("the other leads", "meanwhile", 0)
	all.now = all.now.Add(5 * time.Second)
	second.renew()
	first.outbox.resign(first.outbox.term)
	first.read()
	first.outbox.PutRecords(record("later"))
	all.now = all.now.Add(LeaseDuration)
	first.takeOver() // as the other dies
	first.outbox.stepRecords()
	first.is("it leads again", "later", 0)
	first.sent = nil
	all.now = all.now.Add(20 * time.Second)
	first.outbox.PutRecords(record("at last"))
	first.outbox.stepRecords()
	first.is("it goes on again", "", 0)
	first.renew() // nobody had taken the Lease
	first.outbox.stepRecords()
	first.is("renewed", "at last", 0)
}

// Who holds a Lease that somebody deletes makes it anew, with what it has recorded. The others wait for
// that, as long as it may take to see that the holder is gone.
func TestALeaseThatIsDeleted(t *testing.T) {
	for _, dead := range []bool{false, true} {
		all := newReplicas(t)
		first, second := all.start("first", "1"), all.start("second", "2")
		first.takeOver()
		second.read()
		one := traceOf(1, 2, recorded)
		for _, r := range []*replica{first, second} {
			r.put(one)
		}
		all.now = all.now.Add(saveEvery)
		first.outbox.step(t.Context())
		if dead {
			second.read()
		}
		delete(all.api.byName, "rollspan")
		if _, _, err := second.Get(t.Context()); err == nil || apierrors.IsNotFound(err) {
			t.Fatalf("another would make the Lease: %v", err)
		}
		if dead {
			all.now = all.now.Add(LeaseDuration)
			second.takeOver()
			second.is("the holder is dead", "", 2)
			continue
		}
		first.renew()
		first.outbox.Acknowledge(journal.KeysOf(&one)...)
		first.renew()
		second.read()
		all.now = all.now.Add(LeaseDuration)
		second.takeOver()
		second.is("after one that has made it anew", "", 0)
	}
}

// What was read of the annotation counts on where somebody deletes it, or writes what is no record. What
// the leader may have handed out since is not sent, and counted.
func TestAnAnnotationThatWasChanged(t *testing.T) {
	ahead := (&Record{Watermark: recorded.Add(10 * 365 * 24 * time.Hour)}).encode()
	for _, text := range []string{"", "true", ahead} {
		all := newReplicas(t)
		first, second := all.start("first", "1"), all.start("second", "2")
		first.takeOver()
		first.put(traceOf(1, 2, recorded))
		first.outbox.step(t.Context())
		second.read()
		second.put(traceOf(1, 2, recorded), traceOf(2, 3, recorded))
		all.now = all.now.Add(10 * time.Second)
		first.renew()
		all.api.byName["rollspan"].Annotations[recordAnnotation] = text
		all.now = all.now.Add(5 * time.Second)
		second.put(traceOf(3, 4, recorded))
		for range 3 {
			second.read()
		}
		if n := strings.Count(all.log.String(), "cannot be read: "); n != 1 {
			t.Errorf("%q: it is said %d times:\n%s", text, n, all.log.String())
		}
		all.now = all.now.Add(LeaseDuration)
		second.takeOver()
		second.is("annotation "+text, "3", 2+3)
	}
}

// Who begins when the leader is gone leaves the Lease to a standby that has seen it alive, and so has
// watched for longer: it takes it for held for ten seconds more.
func TestWhoHasWatchedForLongerLeads(t *testing.T) {
	all := newReplicas(t)
	leader, veteran := all.start("leader", "1"), all.start("veteran", "2")
	leader.yields, veteran.yields = true, true
	held := func(r *replica) int {
		t.Helper()
		record, _, err := r.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return record.LeaseDurationSeconds
	}
	leader.renew()
	if got := held(veteran); got != 25 {
		t.Errorf("who has not seen the leader renew the Lease takes it for held for %d s", got)
	}
	all.now = all.now.Add(2 * time.Second)
	leader.renew()
	if got := held(veteran); got != 15 {
		t.Errorf("who has seen it takes it for held for %d s", got)
	}
	newcomer := all.start("newcomer", "3")
	newcomer.yields = true
	for range 3 { // which has died by now
		all.now = all.now.Add(4 * time.Second)
		if got := held(newcomer); got != 25 {
			t.Errorf("who came later takes it for held for %d s", got)
		}
	}
	veteran.renew()
	if got := held(veteran); got != 15 {
		t.Errorf("who holds it takes it for held for %d s", got)
	}
	if got := held(newcomer); got != 15 {
		t.Errorf("who has seen another take it takes it for held for %d s", got)
	}
}

// A data directory that was restored from a backup knows nothing of what was sent since: what ended before the
// watermark that its own writer has recorded is not sent again. One that is of some seconds ago knows better.
func TestAJournalThatWasRestored(t *testing.T) {
	for _, test := range []struct {
		age  time.Duration
		sent string
		said bool
	}{{0, "1 2", false}, {30 * time.Second, "1 2", false}, {24 * time.Hour, "2", true}} {
		all := newReplicas(t)
		one := traceOf(1, 2, recorded)
		first := all.start("first", "disk")
		first.put(one)
		first.takeOver()
		first.outbox.Acknowledge(journal.KeysOf(&one)...)
		all.now = all.now.Add(24 * time.Hour)
		first.outbox.Passed(all.now)
		first.renew()

		second := all.start("second", "disk")
		second.outbox.Resume(all.now.Add(-test.age))
		second.put(one, traceOf(2, 3, all.now.Add(time.Second)))
		for range 3 { // it is read more than once
			second.read()
		}
		second.takeOver()
		second.is(fmt.Sprintf("with a journal of %s ago", test.age), test.sent, 0)
		if said := strings.Contains(all.log.String(), "older than"); said != test.said {
			t.Errorf("with a journal of %s ago it said:\n%s", test.age, all.log.String())
		}
	}
}

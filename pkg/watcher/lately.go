package watcher

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/recent"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
	spankind "github.com/rollspan/rollspan/pkg/spans/kind"
	spantext "github.com/rollspan/rollspan/pkg/spans/text"
)

const (
	// spoolBytes bounds what first lists take while they come, packed: an object is some
	// 300 B then.
	spoolBytes = 64 << 20
	// latelyReach is how far back changes may have begun that ended lately.
	latelyReach = 24 * time.Hour
	// latelySlack is by how much clocks and whole seconds may have something seem older.
	latelySlack = 2 * time.Minute
	// leasePatience is how long first lists wait for what a Lease says.
	leasePatience = 30 * time.Second
	// latelyBatch is how many observations are fed at once.
	latelyBatch = 256
)

// spool keeps observations, packed: what the first lists say of what ended lately is known
// when all of them are through.
type spool struct {
	packed bytes.Buffer
	writer *zstd.Encoder
	record []byte
	failed bool
	since  time.Time // when all lists were through; zero before
}

func newSpool() *spool {
	s := &spool{}
	s.writer, _ = zstd.NewWriter(&s.packed, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true)) // the options are right
	return s
}

// add keeps an observation, and says whether it could.
func (s *spool) add(o causality.Observation) bool {
	if s.failed {
		return false
	}
	body, err := journal.EncodeObservation(append(s.record[:0], make([]byte, 8)...), o)
	if err != nil || s.packed.Len() > spoolBytes {
		s.failed = true
		return false
	}
	s.record = body
	binary.LittleEndian.PutUint64(body, uint64(len(body)-8)) //nolint:gosec // A length is not negative.
	_, err = s.writer.Write(body)
	s.failed = err != nil
	return !s.failed
}

// each calls do for each observation that was kept, each time with objects of its own.
func (s *spool) each(do func(causality.Observation)) error {
	if err := s.writer.Flush(); err != nil {
		return err
	}
	reader, err := zstd.NewReader(bytes.NewReader(s.packed.Bytes()), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		var length [8]byte
		if _, err := io.ReadFull(reader, length[:]); err != nil {
			return nil // the stream is flushed, and not ended
		}
		body := make([]byte, binary.LittleEndian.Uint64(length[:]))
		if _, err := io.ReadFull(reader, body); err != nil {
			return err
		}
		o, err := journal.DecodeObservation(body)
		if err != nil {
			return err
		}
		do(o)
	}
}

// waitsForLease says whether the first lists are through, and nobody knows yet what the
// process before this one has told.
func (l *Live) waitsForLease(now time.Time) bool {
	if l.spool == nil {
		return false
	}
	if l.spool.since.IsZero() {
		l.spool.since = now
	}
	_, read := l.handout.Load().outbox.Watermark()
	return !read && now.Sub(l.spool.since) < leasePatience
}

// notePassed says to who hands out that all that had ended a while before is with it.
func (l *Live) notePassed(at time.Time) {
	if h := l.handout.Load(); h != nil && !at.IsZero() {
		h.outbox.Passed(at)
	}
}

// takeIn feeds what comes from the queue, behind what was kept before it.
func (l *Live) takeIn(k *journal.Keeper, in queued) []spans.Trace {
	batch := l.batch(in)
	return append(l.nothingLately(k), l.observe(k, batch)...)
}

// nothingLately feeds what was kept as soon as the Lease says that nobody has told anything
// before: there is nothing to find out then, and what is kept here is in no journal. So it does where
// there was too much to keep: what comes after that would be fed before what is kept, and a pod whose
// deletion comes would be there for good.
func (l *Live) nothingLately(k *journal.Keeper) []spans.Trace {
	if l.spool == nil {
		return nil
	}
	if since, read := l.handout.Load().outbox.Watermark(); !l.spool.failed && (!read || !since.IsZero()) {
		return nil
	}
	return l.tellLately(k)
}

// tellLately feeds what was kept. What ended since the watermark of the Lease is told as far as
// objects and Events prove it; all else is what there is.
func (l *Live) tellLately(k *journal.Keeper) (finished []spans.Trace) {
	s := l.spool
	l.spool = nil
	since, read := l.handout.Load().outbox.Watermark()
	if read && since.IsZero() { // of what is over by now nobody tells
		l.handout.Load().outbox.BeginAt(l.options.Clock.Now())
	}
	told := &lately{since: since, now: l.options.Clock.Now(), lag: lagOf(&l.options.Engine)}
	l.reconstructed = told.now
	if !since.IsZero() && s.failed {
		l.unproven.Add(1)
		l.options.Log.Warn("there is too much in the cluster to look for what ended while rollspan was away; it is not told", "since", since)
	}
	if lost := l.streams.givenUp(); !since.IsZero() && lost > 0 {
		l.unproven.Add(int64(lost))
		l.options.Log.Warn("what ended while rollspan was away in namespaces that cannot be read is not told", "since", since, "namespaces", lost)
	}
	if !since.IsZero() && !s.failed {
		finished = l.tellHistory(k, told, s)
	}
	var batch []causality.Observation
	feed := func() {
		finished = append(finished, k.Observe(batch...)...)
		batch = batch[:0]
	}
	err := s.each(func(o causality.Observation) {
		if o.Initial && told.active(o.Object) {
			return
		}
		if batch = append(batch, o); len(batch) == latelyBatch {
			feed()
		}
	})
	if err != nil {
		l.options.Log.Error("what was there is not known in full; this is a mistake in rollspan", "error", err)
	}
	feed()
	return finished
}

// tellHistory feeds what led to what the first lists say, and returns what of that is told. The rest is nobody's
// to send, neither now nor after a restart, which has the history in its journal.
func (l *Live) tellHistory(k *journal.Keeper, told *lately, s *spool) (finished []spans.Trace) {
	history, err := told.history(s)
	if err != nil {
		l.options.Log.Error("what ended while rollspan was away is not told; this is a mistake in rollspan", "error", err)
	}
	var built []spans.Trace
	for batch := range slices.Chunk(history.Observations, latelyBatch) {
		built = append(built, k.Observe(batch...)...)
	}
	built = append(built, k.Advance(told.now)...)
	records, traces := logRecords(built)
	finished, left := told.provenIn(traces)
	left += history.Undated + told.restless
	l.unproven.Add(int64(left))
	l.options.Log.Info("told what ended while rollspan was away, as far as objects and Events prove it",
		"since", told.since, "traces", len(finished), "notProven", left)
	finished = append(finished, recordsSince(records, l.handout.Load().outbox.RecordsSince(), finished)...)
	k.Acknowledge(keysBeside(built, finished)...)
	return finished
}

// keysBeside are the keys of what is in some traces and not in others.
func keysBeside(built, told []spans.Trace) (left []journal.SpanKey) {
	is := map[journal.SpanKey]bool{}
	for i := range told {
		for _, key := range journal.KeysOf(&told[i]) {
			is[key] = true
		}
	}
	for i := range built {
		for _, key := range journal.KeysOf(&built[i]) {
			if !is[key] {
				left = append(left, key)
			}
		}
	}
	return left
}

// lately finds out what ended since a time, of which only the objects and Events of now are
// left.
type lately struct {
	since, now time.Time
	lag        time.Duration    // by how much the process before was there for longer, at the least
	activity   *recent.Activity // nil where nothing is to be found out
	// deadlines are those of Deployments, by their UID, and restless how many workloads are
	// not looked into, as they change.
	deadlines map[string]time.Duration
	restless  int
}

// history is what led to what the first lists say, as far as it is proven, of all that has to
// do with something that happened since.
func (t *lately) history(s *spool) (h snapshots.History, err error) {
	activity := recent.NewActivity(t.since.Add(-latelySlack), t.now)
	newest := ""
	err = s.each(func(o causality.Observation) {
		if !o.Initial {
			return
		}
		activity.Note(o.Object)
		if version := versionOf(o.Object); newest == "" || newer(version, newest) {
			newest = version
		}
	})
	if err != nil {
		return h, err
	}
	t.activity, t.restless, t.deadlines = activity, activity.Close(), map[string]time.Duration{}
	objects, err := t.activeIn(s)
	if err != nil {
		t.activity = nil
		return h, err
	}
	reconstruct := func() snapshots.History { return snapshots.Reconstruct(objects, t.now.Sub(t.since)+latelyReach, t.now) }
	h = reconstruct()
	if doubted := activity.Doubt(h.Unproven); doubted > 0 {
		t.restless += doubted
		objects = slices.DeleteFunc(objects, func(o runtime.Object) bool { return !t.active(o) })
		h = reconstruct()
	}
	// The observations are numbered from 1 on, which must be before all that is still to come:
	// it is, but in a cluster that has hardly begun.
	if order, wrong := resourceversion.CompareResourceVersion(strconv.Itoa(len(h.Observations)+1), newest); wrong != nil || order >= 0 {
		t.activity = nil
		return snapshots.History{}, nil
	}
	return h, nil
}

// activeIn are the objects that are active, and notes the deadlines of those that have one. That is
// known only when all were seen, and all of them unpacked are what the spool is there to avoid: so
// what is in there is unpacked again.
func (t *lately) activeIn(s *spool) (objects []runtime.Object, err error) {
	err = s.each(func(o causality.Observation) {
		if o.Initial && t.active(o.Object) {
			objects = append(objects, o.Object)
			if d, ok := o.Object.(*appsv1.Deployment); ok && d.Spec.ProgressDeadlineSeconds != nil {
				t.deadlines[string(d.UID)] = time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second
			}
		}
	})
	return objects, err
}

// active says whether an object is part of the history.
func (t *lately) active(o runtime.Object) bool {
	if t.activity == nil {
		return false
	}
	return t.activity.Active(o)
}

// provenIn leaves of the traces of a history those of what ended since, and counts what of
// these cannot be told. What changes waited for meanwhile is nobody's news any more.
func (t *lately) provenIn(traces []spans.Trace) (proven []spans.Trace, left int) {
	for i := range traces {
		switch root := traces[i].Root(); {
		case root.Kind == spankind.InProgress, traces[i].End().Before(t.since):
		case t.unclear(root):
			left++
		default:
			proven = append(proven, traces[i])
		}
	}
	return proven, left
}

// unclear says whether a process that was there all the time may have told something else.
func (t *lately) unclear(root *spans.Span) bool {
	switch root.Kind {
	case spankind.Activity, spankind.LateEvents:
		// Which Events make one depends on when they were seen. The process before was there
		// for as long after the watermark, or longer, and may have told of these.
		return root.End.Before(t.since.Add(t.lag + latelySlack))
	case spankind.Rollout:
		// That another one followed says nothing of the end of one, but where it is proven that
		// it was open by then: its end is as good as its beginning.
		if !spantext.EndIsKnown(root) {
			return true
		}
		// It may have failed before, which was told, and have recovered since.
		uid, _ := root.Attribute(semconv.K8SDeploymentUIDKey)
		deadline, ok := t.deadlines[uid.AsString()]
		return ok && t.since.Sub(root.Start) >= deadline
	}
	return false
}

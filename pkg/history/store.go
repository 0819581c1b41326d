package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Bounds of what waits to be kept.
const (
	maxWaiting      = 4096
	maxWaitingSpans = 200_000
	// maxBatch is how many traces are kept at once, so that a disk is synced once for them.
	maxBatch      = 64
	maxBatchSpans = 10_000
)

// store is a Store on tables. One goroutine writes to them.
type store struct {
	options Options
	aged    func() time.Time // see aging
	codec   *codec
	// anew makes tables without anything in them, where those that there were are damaged.
	anew func() (tables, error)

	mu     sync.Mutex
	tables tables
	// waiting is what waits to be kept, of so many spans.
	waiting      []spans.Trace
	waitingSpans int
	// added and done count what was added and what of it is kept, or could not be; moved is
	// closed when done is another.
	added, done uint64
	moved       chan struct{}
	stats       Stats
	damaged     error // what a reader found
	// written counts how often the tables were written to.
	written uint64

	wake   chan struct{}
	closed bool
	ended  chan struct{}
	// using are those who read the tables, but for those who began before it was another.
	using   *sync.WaitGroup
	answers answers
}

// NewMemory returns a Store that keeps all in memory.
func NewMemory(o Options) Store {
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMemoryBytes)
	anew := func() (tables, error) { return newMemoryTables(), nil }
	return newStore(o, newMemoryTables(), anew)
}

func newStore(o Options, t tables, anew func() (tables, error)) *store {
	o.MaxAge = cmp.Or(o.MaxAge, DefaultMaxAge)
	aged := o.Now
	if o.Now == nil {
		began := time.Now()
		o.Now, aged = time.Now, newAging(time.Now, func() time.Duration { return time.Since(began) }).now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &store{
		options: o, aged: aged, codec: newCodec(), anew: anew, tables: t, using: new(sync.WaitGroup),
		moved: make(chan struct{}), wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	go s.run()
	return s
}

// Add has a trace kept.
func (s *store) Add(t spans.Trace) {
	if len(t.Spans) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) > 0 && (len(s.waiting) >= maxWaiting || s.waitingSpans+len(t.Spans) > maxWaitingSpans) || s.closed {
		s.stats.Shed++
		return
	}
	s.waiting = append(s.waiting, t)
	s.waitingSpans += len(t.Spans)
	s.added++
	s.nudge()
}

func (s *store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// forgetEvery is how often what is too old is looked for where nothing is told.
const forgetEvery = time.Minute

// run keeps what waits, until the store is closed.
func (s *store) run() {
	defer close(s.ended)
	ticker := time.NewTicker(forgetEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.wake:
		case <-ticker.C:
			s.keep(nil)
		}
		if closed := s.keepWaiting(); closed {
			return
		}
	}
}

// keepWaiting keeps what waits, and reports whether the store is closed. Tables that are damaged
// and cannot be begun anew are tried again with what is told next.
func (s *store) keepWaiting() (closed bool) {
	for tried := false; ; {
		batch, closed := s.next()
		damaged := s.isDamaged() && !tried
		if len(batch) == 0 && !damaged {
			return closed
		}
		s.keep(batch)
		tried = tried || damaged
	}
}

// next takes from what waits.
func (s *store) next() (batch []spans.Trace, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, of := 0, 0
	for n < min(len(s.waiting), maxBatch) && of < maxBatchSpans {
		of += len(s.waiting[n].Spans)
		n++
	}
	batch, s.waiting = slices.Clone(s.waiting[:n]), slices.Delete(s.waiting, 0, n)
	s.waitingSpans -= of
	return batch, s.closed
}

// isAwaited reports whether something waits to be kept, or the end of the store.
func (s *store) isAwaited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) > 0 || s.closed
}

func (s *store) isDamaged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damaged != nil
}

// keep writes a batch, and makes room.
func (s *store) keep(batch []spans.Trace) {
	err := s.write(batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written++
	s.done += uint64(len(batch))
	if len(batch) > 0 {
		close(s.moved)
		s.moved = make(chan struct{})
	}
	switch {
	case err == nil && s.stats.Trouble != "" && len(batch) > 0:
		s.stats.Trouble = ""
		s.options.Log.Info("the history of changes is kept again")
	case err != nil:
		s.stats.Failed += int64(len(batch))
		if s.stats.Trouble == "" {
			s.options.Log.Error("the history of changes is not kept; all else goes on, and it is tried again with each change", "error", err)
		}
		s.stats.Trouble = err.Error()
	}
}

func (s *store) write(batch []spans.Trace) (err error) {
	defer func() {
		if r := recover(); r != nil { // it must not cost the run
			err = fmt.Errorf("a mistake of rollspan's: %v", r)
		}
	}()
	if err := s.renew(); err != nil {
		return err
	}
	var oldest time.Time
	if s.options.MaxAge > 0 {
		oldest = s.aged().Add(-s.options.MaxAge)
	}
	more, err := s.keepInRoom(batch, oldest)
	for err == nil && more && !s.isAwaited() { // else the rest is dropped later
		more, err = s.keepInRoom(nil, oldest)
	}
	for some := true; err == nil && some && s.tables.used() > s.options.MaxBytes; {
		some, err = s.shrink(s.options.MaxBytes)
	}
	s.noteDamage(s.tables, err)
	if errors.Is(err, errDamaged) && len(batch) > 0 {
		if err = s.renew(); err == nil {
			_, err = keep(s.tables, s.codec, batch, oldest)
		}
	}
	return err
}

// keepInRoom keeps a batch. Where there is no room for it, what has ended first is dropped.
func (s *store) keepInRoom(batch []spans.Trace, oldest time.Time) (more bool, err error) {
	more, err = keep(s.tables, s.codec, batch, oldest)
	if errors.Is(err, errFull) {
		s.awaitReaders()
		more, err = keep(s.tables, s.codec, batch, oldest)
	}
	for some := true; some && errors.Is(err, errFull); {
		if some, err = s.shrink(s.tables.used() * 15 / 16); err == nil {
			more, err = keep(s.tables, s.codec, batch, oldest)
		}
	}
	return more, err
}

// shrink drops some of what has ended first, fewer at once where there is no room to drop more.
func (s *store) shrink(target int64) (some bool, err error) {
	some, err = shrink(s.tables, s.codec, target, maxDrop)
	for n := maxDrop / 4; errors.Is(err, errFull) && n > 0; n /= 4 {
		s.awaitReaders()
		some, err = shrink(s.tables, s.codec, target, n)
	}
	if errors.Is(err, errFull) {
		err = fmt.Errorf("%w: there is no room left to drop anything: %w", errDamaged, err)
	}
	return some, err
}

// awaitReaders waits for those who read the tables. What was dropped since they began takes its room
// until they are done.
func (s *store) awaitReaders() {
	s.mu.Lock()
	before := s.using
	s.using = new(sync.WaitGroup)
	s.mu.Unlock()
	before.Wait()
}

// noteDamage notes what was found in tables. Those that were begun anew since are not damaged by it.
func (s *store) noteDamage(in tables, err error) {
	if errors.Is(err, errDamaged) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.damaged == nil && s.tables == in {
			s.damaged = err
			s.nudge()
		}
	}
}

// renew begins anew where the tables are damaged.
func (s *store) renew() error {
	s.mu.Lock()
	why := s.damaged
	s.mu.Unlock()
	if why == nil {
		return nil
	}
	t, err := s.anew() // nobody waits for the disk meanwhile
	if err != nil {
		return fmt.Errorf("%w; it cannot be begun anew: %w", why, err)
	}
	s.options.Log.Error("the history of changes is damaged, and begins anew", "error", why)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, using := s.tables, s.using
	s.tables, s.using, s.damaged = t, new(sync.WaitGroup), nil
	go func() { // a database that panicked may keep its locks, and then this never ends
		using.Wait()
		_ = old.close() // else the file that was set aside and is replaced takes its room until the process ends
	}()
	return nil
}

// use returns the tables, for as long as done is not called.
func (s *store) use() (t tables, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errClosed
	}
	using := s.using // it may be another by then
	using.Add(1)
	return s.tables, using.Done, nil
}

// view has a snapshot of the tables read.
func (s *store) view(read func(reader) error) error {
	t, done, err := s.use()
	if err != nil {
		return err
	}
	defer done()
	err = t.view(read)
	s.noteDamage(t, err)
	return err
}

// version is another one once the tables are written to.
func (s *store) version() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, errClosed
	}
	return s.written, nil
}

var errClosed = errors.New("the history of changes is closed")

// settled waits until what was added before is kept.
func (s *store) settled(ctx context.Context) error {
	s.mu.Lock()
	upTo := s.added
	for s.done < upTo {
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
	}
	s.mu.Unlock()
	return nil
}

// Wait waits for what is added.
func (s *store) Wait(ctx context.Context, since uint64) uint64 {
	for {
		s.mu.Lock()
		now, moved := s.done+1, s.moved
		s.mu.Unlock()
		if now != since {
			return now
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return since
		}
	}
}

// Stats are the counters so far.
func (s *store) Stats() Stats {
	s.mu.Lock()
	stats := s.stats
	s.mu.Unlock()
	_ = s.view(func(r reader) error { // what is damaged is said elsewhere
		var c counters
		err := load(r, tableMeta, keyCounters, &c)
		stats.Changes, stats.Forgotten = c.Changes, c.Forgotten
		for key := range from(r, tableEnds, nil) {
			if last, _, ok := cutEndKey(key); ok {
				stats.Oldest = time.Unix(0, last).UTC()
			}
			break
		}
		return err
	})
	if t, done, err := s.use(); err == nil {
		defer done()
		stats.Bytes = t.used()
	}
	return stats
}

// Close keeps what waits, until ctx is done.
func (s *store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.nudge()
	s.mu.Unlock()
	select {
	case <-s.ended:
	case <-ctx.Done():
		return ctx.Err() // whoever writes still has the tables
	}
	s.using.Wait()
	return s.tables.close()
}

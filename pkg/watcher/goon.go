package watcher

import (
	"cmp"
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
)

// A Reflector lists anew whenever a watch has ended with an error, be it that the API server
// has answered by 500, that a token had expired, or that a proxy ends each watch after a second.
// A list has the latest states only: of a rollout that was followed by another one, and of a pod
// that came and went, nothing is left in there. The API server remembers the last minutes of
// writes (its watch cache, and etcd behind it), and tells them to who watches from where it has
// stopped. So that is asked for first, and a list where it says that this is too long ago.

// UpdateResourceVersion notes up to where a watch has been seen.
func (s *store) UpdateResourceVersion(version string) { s.version = version }

// seen is the version up to which everything was seen; empty where a list is due.
func (s *store) seen() string {
	if s.listing {
		return ""
	}
	return s.version
}

// mark says something of the source to who wants to know.
func (s *store) mark(m sourceMark) error {
	if s.reached == nil {
		return nil
	}
	return s.reached(m)
}

// failed notes that a request has failed with an error, or that nobody has watched for a while: what
// comes when the watch goes on was written meanwhile. A list that is under way goes on as one. What
// was read already, and is forbidden now, may be so for a moment only: an API server that begins
// does not know all roles yet.
func (s *store) failed(err error) error {
	s.resumed, s.late = s.seen() != "", false
	if s.optional && isRefusal(err) && (!s.first || !apierrors.IsForbidden(err)) {
		return s.mark(sourceMark{refused: true})
	}
	return s.mark(sourceMark{away: true, found: s.found})
}

// lists notes that a list has begun.
func (s *store) lists() error {
	s.listing, s.goesOn, s.resumed, s.late = true, false, false, false
	return s.mark(sourceMark{listing: true, found: s.found})
}

// Bookmark notes up to where a watch has been seen, of which it has nothing to tell.
func (s *store) Bookmark(version string) error {
	late := s.late
	s.late = false
	err := s.mark(sourceMark{version: version})
	if late {
		s.through()
	}
	return err
}

// told notes what a watch has told. Where that is as far as the API server was when the watch went
// on, it has caught up.
func (s *store) told(version string) error {
	if !s.late || newer(s.upTo, version) {
		return nil
	}
	return s.Bookmark(version)
}

// isResumed says whether a watch is to go on from where the run before was, or from before an outage.
func (s *store) isResumed() bool { return s.resumed }

// confirm says how far the API server is, of such a watch.
func (s *store) confirm(upTo string) { s.resumed, s.late, s.upTo = false, true, upTo }

// isGuarded says whether a list is to be preceded by the question how far the API server is.
func (s *store) isGuarded() bool { return s.restored != nil && s.version != "" }

// isAt says how far the API server is, and fails where that is before what was seen.
func (s *store) isAt(version string) error { return s.isBehind(s.version, version) }

// isBehind fails where a version that the API server has is before one that it had. Neither a list
// nor a watch goes back, however old the caches are that serve them: its store was restored from
// a backup.
func (s *store) isBehind(was, is string) error {
	order, err := resourceversion.CompareResourceVersion(is, was)
	if s.restored == nil || err != nil || order >= 0 {
		return nil
	}
	return s.restored(was, is)
}

// isLate says whether a watch that goes on has not caught up.
func (s *store) isLate() bool { return s.late }

// goOn says that the list which the Reflector has asked for is none: the watch goes on from what
// was seen.
func (s *store) goOn() { s.goesOn = true }

// wentOn says, once, whether what ends is such a list.
func (s *store) wentOn() bool {
	was := s.goesOn
	s.goesOn = false
	return was
}

// from is the version to watch on from; empty where a list is due. The caller holds the lock.
func (f *feeder) from() string {
	if f.expired.Load() {
		return ""
	}
	return f.into.seen()
}

// isTooOld says whether nobody can watch from a version any more, or not yet: it is too old, or too
// new for who is asked.
func isTooOld(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// lateAfter is how long a watch may have been ended for what comes to be as good as live. The API
// server dates writes in whole seconds.
const lateAfter = 2 * time.Second

// failed notes that a request has failed, or nothing was asked for a while, and returns the error.
func (f *feeder) failed(ctx context.Context, err error) error {
	if isTooOld(err) || errors.Is(err, errPageTooLarge) || ctx.Err() != nil {
		return err // which is answered
	}
	return cmp.Or(f.into.failed(err), err)
}

// confirm asks how far the API server is where a watch is to go on from where the run before was, or
// from before an outage. One that is behind that was restored from a backup: it would say nothing
// until it is as far.
func (f *feeder) confirm(ctx context.Context) error {
	stood := f.alive != nil && f.alive.Err() != nil
	if stood {
		f.alive = nil
		f.still()
	}
	if stood || !f.ended.IsZero() && time.Since(f.ended) > lateAfter {
		if err := f.failed(ctx, nil); err != nil {
			return err
		}
	}
	f.ended = time.Time{}
	resumed := f.into.isResumed()
	if !resumed && !f.mayBeRestored() {
		return nil
	}
	list, err := f.client.ListWithContext(ctx, metav1.ListOptions{Limit: 1})
	switch {
	case err != nil && resumed:
		return f.failed(ctx, err)
	case err != nil:
		return nil // what is asked for next says more
	}
	f.asked = time.Now()
	about, err := meta.ListAccessor(list)
	if err != nil {
		return err
	}
	if err := f.into.isAt(about.GetResourceVersion()); err != nil {
		return err
	}
	switch {
	case !resumed:
		return nil
	case newer(f.into.seen(), about.GetResourceVersion()):
		f.expired.Store(true)
		return nil
	}
	f.late = 0
	f.into.confirm(about.GetResourceVersion())
	return nil
}

// askEvery is how often an API server is asked for how far it is, at most, where a watch that has ended
// is opened again. It may have been restored from a backup meanwhile, and says nothing of that to who
// watches on: nothing comes until it is as far.
const askEvery = 5 * time.Second

// mayBeRestored reports whether an API server is to be asked for how far it is, that nobody has asked
// since what there is was seen.
func (f *feeder) mayBeRestored() bool {
	return f.into.isGuarded() && (f.from() == "" || time.Since(f.asked) > askEvery)
}

// lateWatch is how long a watch takes, in seconds, that goes on after nobody has looked. The
// API server says where it is two seconds before the end (a bookmark), which otherwise takes a
// minute. Where it does not end it, as a proxy may not, the watch is cut lateSlack after that. After
// mostLate of them it is not waited for any more.
const (
	lateWatch, mostLate = 3, 3
	lateSlack           = time.Second
)

// watchFrom watches from what was seen, and returns nil where a list is due. To the Reflector it
// is a list without items, and the watch behind it.
func (f *feeder) watchFrom(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	version := f.from()
	if version == "" {
		return nil, nil
	}
	w, err := f.watchOn(ctx, metav1.ListOptions{
		ResourceVersion: version, AllowWatchBookmarks: options.AllowWatchBookmarks, TimeoutSeconds: options.TimeoutSeconds,
	})
	if err != nil {
		if isTooOld(err) {
			return nil, nil
		}
		return nil, err
	}
	f.into.goOn()
	end := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: version, Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}}
	return resume(w, watch.Event{Type: watch.Bookmark, Object: end}), nil
}

// watchOn watches from a version, and notes where that is too long ago.
func (f *feeder) watchOn(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if f.into.isLate() {
		if f.late >= mostLate {
			if err := f.into.Bookmark(options.ResourceVersion); err != nil {
				return nil, err
			}
		} else {
			options.TimeoutSeconds = ptr.To[int64](lateWatch)
		}
	}
	said := false
	w, err := f.open(ctx, options, func(event watch.Event) {
		if event.Type != watch.Error {
			said = true
			return
		}
		switch err := apierrors.FromObject(event.Object); {
		case isTooOld(err):
			f.expired.Store(true)
		case said:
			f.fruitless.Store(0)
		case f.fruitless.Add(1) >= mostFruitless: // it may be what comes next that cannot be read
			f.fruitless.Store(0)
			f.expired.Store(true)
		}
	})
	if err != nil {
		if isTooOld(err) {
			f.expired.Store(true)
		}
		return nil, f.failed(ctx, err)
	}
	if f.into.isLate() {
		f.late++ // one that was not opened could tell nothing
		time.AfterFunc(cmp.Or(f.cutLate, lateWatch*time.Second+lateSlack), w.Stop)
	}
	return w, nil
}

// anewEvery is how often a list may be due without a pause before it.
const anewEvery = 10 * time.Second

// isDue says whether a list is to be asked for at once: what happens until it is there is not told.
func (f *feeder) isDue() bool {
	if !f.expired.Load() || time.Since(f.anew) < anewEvery {
		return false
	}
	f.anew = time.Now()
	return true
}

// mostFruitless is after how many watches that broke before they said anything a list is due: a
// list does not have what cannot be read if it is of the past.
const mostFruitless = 5

package watcher

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
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
	if s.listing || !s.first {
		return ""
	}
	return s.version
}

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
	w, err := f.client.WatchWithContext(ctx, options)
	if err != nil {
		if isTooOld(err) {
			f.expired.Store(true)
		}
		return nil, err
	}
	said := false
	return watch.Filter(w, func(event watch.Event) (watch.Event, bool) {
		if event.Type != watch.Error {
			said = true
			return event, true
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
		return event, true
	}), nil
}

// mostFruitless is after how many watches that broke before they said anything a list is due: a
// list does not have what cannot be read if it is of the past.
const mostFruitless = 5

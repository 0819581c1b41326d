package watcher

import (
	"errors"
	"slices"
	"time"
)

// Of several namespaces one may be lost: it is deleted with the Roles in it, or somebody takes a
// RoleBinding away. Nobody knows then whether it can ever be read again. The others wait for it, as a
// request may fail for a moment, and then go on without it. A single namespace is waited for as long as
// it takes: there is nothing else to tell.

const (
	// refusedFor is how long the others wait for a namespace that may not be read any more. An API
	// server that begins knows all roles before that.
	refusedFor = time.Minute
	// failingFor is how long they wait for one for which the API server answers by errors, or not at
	// all, and for a list that is read after a failure. Where something is wrong with all of it, the
	// watches of the others end by then.
	failingFor = 10 * time.Minute
)

// failure is that of a source which was not read since.
type failure struct {
	// since is when it has failed first, while the rest of the API server answered.
	since time.Time
	// refused says that it may not be read, and own that the rest of the API server answers. optional is
	// the source's.
	refused, own, optional bool
	// reading says that a list of it is under way, which may take long. It is not read before its end.
	reading bool
}

// patienceWith is how long the others wait for a source that has failed. While a list of it is under way
// that is longer than otherwise: what the list has is to be told with theirs.
func (f failure) patienceWith(otherwise time.Duration) time.Duration {
	if f.reading {
		return failingFor
	}
	return otherwise
}

// unreadable is a namespace that cannot be read while another can.
type unreadable struct {
	since time.Time
	// givenUp says that nobody waits for it any more.
	givenUp bool
}

// noteFailed notes that a request for a source has failed, and reports whether its first list is still
// waited for.
func (s *streams) noteFailed(src source, refused, own bool) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first = !s.settled[src.name()]; src.found {
		return first
	}
	f, ok := s.failing[src.name()]
	if !ok || !own || !f.own {
		f.since = s.now()
	}
	f.refused, f.own, f.optional, f.reading = refused, own, src.optional, false
	s.setFailing(src, f)
	s.compareNamespaces()
	return first
}

// noteReading notes that a list of a source is under way.
func (s *streams) noteReading(src source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.failing[src.name()]; ok {
		f.reading = true
		s.setFailing(src, f)
	}
}

// noteRead notes that a source can be read, and reports whether nobody has waited for what it has
// missed.
func (s *streams) noteRead(src source) (returns bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.failing[src.name()]
	if !ok {
		return false
	}
	returns = src.optional && f.refused || s.isGivenUp(src.namespace)
	delete(s.failing, src.name())
	s.compareNamespaces()
	if f.refused {
		s.granted.tell()
	}
	return returns
}

// compareNamespaces finds out which namespaces cannot be read while another one can. One that was
// given up can be read again when all of it can. The caller holds mu.
func (s *streams) compareNamespaces() {
	fails := map[string]bool{}
	for _, src := range s.sources {
		if !src.optional {
			_, failing := s.failing[src.name()]
			fails[src.namespace] = fails[src.namespace] || failing
		}
	}
	isRead := false
	for _, failing := range fails {
		isRead = isRead || !failing
	}
	for namespace, failing := range fails {
		u := s.unreadable[namespace]
		switch {
		case !failing && u != nil && u.givenUp:
			s.log.Info("reading namespace "+namespace+" again", "after", s.now().Sub(u.since).Round(time.Second))
			delete(s.unreadable, namespace)
		case !failing, !isRead && u != nil && !u.givenUp:
			delete(s.unreadable, namespace)
		case isRead && u == nil:
			s.setUnreadable(namespace, &unreadable{since: s.now()})
		}
	}
}

func (s *streams) setFailing(src source, f failure) {
	if s.failing == nil {
		s.failing = map[string]failure{}
	}
	s.failing[src.name()] = f
}

func (s *streams) setUnreadable(namespace string, u *unreadable) {
	if s.unreadable == nil {
		s.unreadable = map[string]*unreadable{}
	}
	s.unreadable[namespace] = u
}

// giveUp has nobody wait any more for namespaces that cannot be read for long, nor for first lists that
// the others are of use without. The caller holds mu.
func (s *streams) giveUp() {
	for name, f := range s.failing {
		if f.optional && f.own && !s.settled[name] && s.now().Sub(f.since) >= f.patienceWith(backlogPatience) {
			mark(&s.settled, name, true)
		}
	}
	for namespace, u := range s.unreadable {
		patience := failingFor
		if slices.ContainsFunc(s.sources, func(src source) bool {
			f := s.failing[src.name()]
			return !src.optional && src.namespace == namespace && f.refused && !f.reading
		}) {
			patience = refusedFor
		}
		if !u.givenUp && s.now().Sub(u.since) >= patience {
			s.goOnWithout(namespace, u)
		}
	}
}

func (s *streams) goOnWithout(namespace string, u *unreadable) {
	u.givenUp = true
	s.log.Warn("cannot read namespace "+namespace+"; what happens in the others is told without it; trying again", "since", u.since.Format(time.RFC3339))
}

// isGivenUp reports whether nobody waits for a namespace. The caller holds mu.
func (s *streams) isGivenUp(namespace string) bool {
	u := s.unreadable[namespace]
	return u != nil && u.givenUp
}

// givenUp are how many namespaces nobody waits for.
func (s *streams) givenUp() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.unreadable {
		if u.givenUp {
			n++
		}
	}
	return n
}

// goesOnWithout gives up the namespaces in which permissions are missing, and reports whether that
// leaves any.
func (s *streams) goesOnWithout(missing []Permission) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	lacks := func(src source) bool {
		return slices.ContainsFunc(missing, func(p Permission) bool { return p.Namespace == src.namespace })
	}
	if !slices.ContainsFunc(s.sources, func(src source) bool {
		return !src.optional && !lacks(src) && !s.isGivenUp(src.namespace)
	}) {
		return false
	}
	for _, src := range s.sources {
		if src.optional || !lacks(src) {
			continue
		}
		if !s.through[src.name()] { // of all that is not read yet one that can be is no return
			s.setFailing(src, failure{since: s.now(), refused: true, own: true})
		}
		if !s.isGivenUp(src.namespace) {
			u := &unreadable{since: s.now()}
			s.setUnreadable(src.namespace, u)
			s.goOnWithout(src.namespace, u)
		}
	}
	return true
}

// goesOn reports whether a run goes on, though permissions are missing: those of some namespaces
// where there are others.
func (s *streams) goesOn(err error) bool {
	forbidden, ok := errors.AsType[*ForbiddenError](err)
	return ok && s.goesOnWithout(forbidden.Missing)
}

// goesOnBeside reports whether a run goes on, though a list of a source was refused of which the API server
// does not say that it denies it: where another namespace is not refused. It may be so for a moment, and
// whoever goes on at once does not tell what ended there meanwhile. So it is waited for: see giveUp.
func (s *streams) goesOnBeside(refused source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	isRefused := map[string]bool{refused.namespace: true}
	for _, src := range s.sources {
		if !src.optional && s.failing[src.name()].refused {
			isRefused[src.namespace] = true
		}
	}
	return slices.ContainsFunc(s.sources, func(src source) bool {
		return !src.optional && !isRefused[src.namespace] && !s.isGivenUp(src.namespace)
	})
}

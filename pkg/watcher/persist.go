package watcher

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

// steadyFor is how long something must have gone on to have gone well: the next
// failure is then met with the shortest wait again.
const steadyFor = 2 * time.Minute

var (
	// afterFailure is how long to wait where something did not work, as
	// client-go's Reflector does.
	afterFailure = wait.Backoff{Duration: 800 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 10, Cap: 30 * time.Second}
	// afterRefusal is how long to wait where something is not allowed, or not
	// there, which does not change often. It begins short, because a permission
	// that was just granted may take a moment to arrive.
	afterRefusal = wait.Backoff{Duration: 2 * time.Second, Factor: 3, Jitter: 0.2, Steps: 10, Cap: 10 * time.Minute}
)

// attempt is what became of something that was tried.
type attempt int

const (
	failed attempt = iota
	refused
	again // at once
	done
)

// persist tries something until it is done, or ctx is. What did not work is tried again at once
// when back says so, and what was refused when granted does, if that is not nil.
func persist(ctx context.Context, back, granted func() <-chan struct{}, try func(context.Context) attempt) {
	persistAs(ctx, afterFailure, back, granted, try)
}

func persistAs(ctx context.Context, pauses wait.Backoff, back, granted func() <-chan struct{}, try func(context.Context) attempt) {
	soon, later := pauses, afterRefusal
	for {
		began, returned := time.Now(), back()
		var allowed <-chan struct{}
		if granted != nil {
			allowed = granted()
		}
		what := try(ctx)
		if time.Since(began) > steadyFor {
			soon, later = pauses, afterRefusal
		}
		var pause time.Duration
		switch what {
		case done:
			return
		case again:
			continue
		case failed:
			pause = soon.Step()
		case refused:
			pause, returned = later.Step(), allowed
		}
		select {
		case <-ctx.Done():
			return
		case <-returned:
		case <-time.After(pause):
		}
	}
}

// isRefusal says whether an error means that a kind cannot be read, and not
// only that it did not work this time: it is forbidden, or not served.
func isRefusal(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
}

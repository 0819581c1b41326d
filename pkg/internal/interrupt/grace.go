package interrupt

import (
	"context"
	"time"
)

// Grace returns a context that is done d after ctx is, or when cancel is called.
// It has ctx's values.
func Grace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	grace, end := context.WithCancel(context.WithoutCancel(ctx))
	unbind := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			end()
		case <-grace.Done():
		}
	})
	return grace, func() { unbind(); end() }
}

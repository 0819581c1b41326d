package interrupt

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestGraceBeginsWithTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	grace, done := Grace(ctx, time.Nanosecond)
	defer done()
	if err := grace.Err(); err != nil {
		t.Errorf("before: %v", err)
	}
	cancel()
	<-grace.Done()

	ctx, cancel = context.WithCancel(t.Context())
	grace, done = Grace(ctx, time.Hour)
	cancel()
	if err := grace.Err(); err != nil {
		t.Errorf("in its time: %v", err)
	}
	done()
	if err := grace.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("after: %v", err)
	}
}

package watcher

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
)

// The program ends at once, too, while the API server refuses connections.
func TestStreamsDoNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := newTestLive(t).options.Config
		log, _ := testLog(100)
		c, err := newCluster(config)
		if err != nil {
			t.Fatal(err)
		}
		s := &streams{
			now:     time.Now,
			sources: c.liveSources(nil), log: log, trouble: newTrouble(log, "host"), metrics: newStreamMetrics(),
			emit: func(causality.Observation) error { return nil },
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.run(ctx)
		}()
		time.Sleep(time.Hour)
		stopped := time.Now()
		cancel()
		<-ended
		if late := time.Since(stopped); late > 0 {
			t.Errorf("it took %s", late)
		}
	})
}

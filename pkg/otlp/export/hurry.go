package export

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// Hurry has what waits tried again at once, if the collector did not take it, and soon after
// that: the process is about to end, and what is still to be enqueued waits for what has been.
func (e *Exporter) Hurry() {
	select {
	case e.hurry <- struct{}{}:
	default:
	}
}

// storeEvery is how often at most a Store is synced while the sender is busy.
const storeEvery = 100 * time.Millisecond

// storeSoon has what was enqueued survive the machine soon, however long the collector takes to
// answer: who waits to hear that spans are in the Store waits for the disk alone. It ends with
// the sender.
func (e *Exporter) storeSoon() {
	for {
		select {
		case <-e.stored:
			e.syncStore()
		case <-e.done:
			return
		}
		select {
		case <-time.After(storeEvery):
		case <-e.done:
			return
		}
	}
}

func (e *Exporter) signalStore() {
	select {
	case e.stored <- struct{}{}: // nil without a Store
	default:
	}
}

// syncStore makes what is in the Store survive the machine.
func (e *Exporter) syncStore() {
	if e.store != nil {
		e.store.Sync()
	}
}

// leaves says whether what waits is left to the next process: the collector was asked once more
// after Shutdown had begun, does not answer, and nothing is lost by that. One that has asked for
// less is there, and takes it while there is time.
func (s *sender) leaves(v verdict) bool {
	return s.late && v != throttled && v != unsure && s.store != nil && s.allStored()
}

type hasteKey struct{}

// withHaste returns a context for a request that does not wait for its time.
func withHaste(ctx context.Context) context.Context { return context.WithValue(ctx, hasteKey{}, true) }

// hasteConnects is how long such a request waits for a connection.
const hasteConnects = time.Second

// connectInHaste connects again for a request in haste. gRPC has pauses of its own between two
// attempts to connect, during which a request fails at once.
func connectInHaste(ctx context.Context, cc *grpc.ClientConn) {
	if ctx.Value(hasteKey{}) == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, hasteConnects)
	defer cancel()
	cc.ResetConnectBackoff()
	cc.Connect()
	for state := cc.GetState(); state != connectivity.Ready && cc.WaitForStateChange(ctx, state); {
		state = cc.GetState()
	}
}

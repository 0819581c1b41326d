package watcher

import (
	"context"
	"reflect"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
)

const (
	// queueLength and queueBytes bound the observations between the reflectors
	// and the engine. A pod is some 5 KiB when it is trimmed; but anybody may write
	// an Event of a megabyte.
	queueLength = 1024
	queueBytes  = 16 << 20
)

// queue holds observations for the engine, bounded by their number and by their
// estimated size. Whoever has something to add waits while it is full, in the order
// of arrival: what is large is not passed by what is small for ever. What is larger
// than the bound waits until it has the queue for itself.
type queue struct {
	items chan queued
	room  *semaphore.Weighted
	bytes atomic.Int64
}

// queued is an observation that waits.
type queued struct {
	causality.Observation
	// size is what it takes of the queue's bytes.
	size int64
	// mark is what its source says of itself, instead of an observation.
	mark *sourceMark
}

func newQueue() *queue {
	return &queue{items: make(chan queued, queueLength), room: semaphore.NewWeighted(queueBytes)}
}

// offer adds an observation if there is room for it.
func (q *queue) offer(o causality.Observation) bool {
	in := queued{Observation: o, size: min(sizeOf(o.Object), queueBytes)}
	if !q.room.TryAcquire(in.size) {
		return false
	}
	select {
	case q.items <- in:
		q.bytes.Add(in.size)
		return true
	default:
		q.room.Release(in.size)
		return false
	}
}

// push adds an observation when there is room for it. The error is ctx's.
func (q *queue) push(ctx context.Context, o causality.Observation) error {
	in := queued{Observation: o, size: min(sizeOf(o.Object), queueBytes)}
	if err := q.room.Acquire(ctx, in.size); err != nil {
		return err
	}
	select {
	case q.items <- in:
		q.bytes.Add(in.size)
		return nil
	case <-ctx.Done():
		q.room.Release(in.size)
		return ctx.Err()
	}
}

// out is where what waits can be received, each to be handed to took.
func (q *queue) out() <-chan queued { return q.items }

// took makes room for others in place of what was received from out.
func (q *queue) took(in queued) causality.Observation {
	q.bytes.Add(-in.size)
	q.room.Release(in.size)
	return in.Observation
}

// length is how many observations wait.
func (q *queue) length() int { return len(q.items) }

// sizeOf estimates how many bytes of memory an object takes. Protobuf knows how
// long it is when it is written, which is cheap to ask: strings are as long in
// memory, and what is small and many (numbers, pointers) is some times longer.
func sizeOf(object runtime.Object) int64 {
	switch in := object.(type) {
	case *unstructured.Unstructured:
		return sizeOfJSON(in.Object)
	case interface{ Size() int }:
		return int64(reflect.TypeOf(object).Elem().Size()) + 2*int64(in.Size())
	default:
		return 1 << 10
	}
}

// sizeOfJSON estimates how many bytes of memory a decoded JSON value takes.
func sizeOfJSON(v any) int64 {
	const (
		value = 16 // an interface
		entry = 64 // of a map
	)
	size := int64(value)
	switch in := v.(type) {
	case string:
		size += value + int64(len(in))
	case []any:
		for _, e := range in {
			size += sizeOfJSON(e)
		}
	case map[string]any:
		for k, e := range in {
			size += entry + int64(len(k)) + sizeOfJSON(e)
		}
	}
	return size
}

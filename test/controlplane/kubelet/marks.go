package kubelet

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/record"
)

// client-go's recorder puts Events into a queue and says nothing of when they are
// written. On a busy machine that may be many seconds later, when the status that
// followed has long been told, and the queue drops what it has no room for. The
// nodes here wait until a pod's Events are written before they write its status:
// what a test is then told of the pod does not depend on the machine.

// marks are Events that are not written, but only mark a place in a recorder's
// queue: what was put in before one has been dealt with when it comes out.
type marks struct {
	record.EventSink
	waiting sync.Map // of channels, by UID
}

// markKind is the kind of what marks are about. There is no such thing.
const markKind = "Mark"

// Create writes an Event, or takes note that a mark has come out of the queue.
func (m *marks) Create(event *corev1.Event) (*corev1.Event, error) {
	if event.InvolvedObject.Kind != markKind {
		return m.EventSink.Create(event)
	}
	if passed, ok := m.waiting.LoadAndDelete(event.InvolvedObject.UID); ok {
		close(passed.(chan struct{}))
	}
	return event, nil
}

// markAgain is after how long a mark is taken for one that the queue dropped.
const markAgain = 10 * time.Second

// wait waits until what the recorder, which writes to m, was given has been
// written, or ctx is done.
func (m *marks) wait(ctx context.Context, recorder record.EventRecorder) {
	for {
		// A new one each time, or the recorder would take it for a repetition.
		uid, passed := uuid.NewUUID(), make(chan struct{})
		m.waiting.Store(uid, passed)
		recorder.Event(&corev1.ObjectReference{Kind: markKind, Name: string(uid), UID: uid}, corev1.EventTypeNormal, markKind, "")
		select {
		case <-passed:
			return
		case <-ctx.Done():
			m.waiting.Delete(uid)
			return
		case <-time.After(markAgain):
			m.waiting.Delete(uid)
		}
	}
}

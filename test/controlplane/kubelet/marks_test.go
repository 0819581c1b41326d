package kubelet

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
)

// slowSink writes an Event when it is told to.
type slowSink struct {
	record.EventSink
	write   chan bool
	written []string
}

func (s *slowSink) Create(event *corev1.Event) (*corev1.Event, error) {
	<-s.write
	s.written = append(s.written, event.Reason)
	return event, nil
}

func TestMarksWaitForEvents(t *testing.T) {
	sink := &slowSink{write: make(chan bool)}
	m := &marks{EventSink: sink}
	broadcaster := record.NewBroadcaster(record.WithContext(t.Context()))
	broadcaster.StartRecordingToSink(m)
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet"})
	pod := &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "web", UID: "1"}
	reasons := []string{"Pulling", "Pulled", "Created", "Started"}
	for _, reason := range reasons {
		recorder.Event(pod, corev1.EventTypeNormal, reason, "")
	}
	waited := make(chan int)
	go func() {
		m.wait(t.Context(), recorder)
		waited <- len(sink.written)
	}()
	for range reasons {
		select {
		case sink.write <- true:
		case n := <-waited:
			t.Fatalf("waited for %d of %d Events", n, len(reasons))
		}
	}
	if n := <-waited; n != len(reasons) {
		t.Errorf("waited for %d of %d Events", n, len(reasons))
	}
	m.wait(t.Context(), recorder) // there is nothing to wait for
}

package watcher

import (
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// A watch that is over, as that of a kind that is dropped is, is not kept until the process next stands still.
func TestAWatchThatIsOverIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulse(time.Now, time.Now)
		api := &asked{opens: []error{nil, nil}, watches: make([][]watch.Event, 2), endless: true}
		client, _ := api.client(true)
		lists := &feeder{client: client, pulse: p}
		open := func() *watch.FakeWatcher {
			if _, err := lists.open(t.Context(), metav1.ListOptions{}, func(watch.Event) {}); err != nil {
				t.Fatal(err)
			}
			return api.opened
		}
		over := open()
		defer over.Stop()
		lists.over()
		time.Sleep(2 * stillAfter)
		p.beat()
		synctest.Wait()
		if over.IsStopped() {
			t.Error("one that is over is still cut")
		}
		again := open() // by the Reflector that comes after a pause
		time.Sleep(2 * stillAfter)
		p.beat()
		synctest.Wait()
		if !again.IsStopped() {
			t.Error("one that goes on is not cut")
		}
	})
}

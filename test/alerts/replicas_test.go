package alerts

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/metrics"
)

// replica is one of several rollspans that see the same.
type replica struct {
	watch    *alarms.Watch
	registry *prometheus.Registry
}

func newReplica() *replica {
	measured := metrics.NewAlarms(metrics.Options{}, alarms.Reasons())
	r := &replica{alarms.New(alarms.Options{Metrics: measured}), prometheus.NewPedanticRegistry()}
	r.registry.MustRegister(measured)
	return r
}

var beginOfSample = regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? `)

// scrape is what Prometheus makes of /metrics, with the pod that its operator adds.
func (r *replica) scrape(pod string) string {
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	var lines []string
	for line := range strings.Lines(answer.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, beginOfSample.ReplaceAllString(line, `$1{pod="`+pod+`",$2} `))
		}
	}
	return strings.Join(lines, "")
}

// story is what a number of replicas see, and what Prometheus has of them.
type story struct {
	replicas []*replica
	now      time.Time
	scrapes  []Scrape
}

func (s *story) pass(minutes int) {
	for range 2 * minutes {
		var text string
		for i, r := range s.replicas {
			text += r.scrape(fmt.Sprint("replica-", i))
		}
		s.scrapes = append(s.scrapes, Scrape{s.now, text})
		s.now = s.now.Add(30 * time.Second)
	}
}

func (s *story) see(namespace, kind, reason string, times int32) {
	s.say(corev1.EventTypeWarning, namespace, kind, reason, "", times)
}

// say has an Event come, or come again.
func (s *story) say(eventType, namespace, kind, reason, message string, times int32) {
	about := corev1.ObjectReference{Kind: kind, Namespace: namespace, Name: "it", UID: "it"}
	ev := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: reason, UID: types.UID(reason)}, InvolvedObject: about, Type: eventType,
		Reason: reason, Message: message, Count: times, FirstTimestamp: metav1.NewTime(s.now), LastTimestamp: metav1.NewTime(s.now),
	}
	for _, r := range s.replicas {
		r.watch.Observe(causality.Observation{Time: s.now, Type: watch.Added, Object: ev})
	}
}

func (s *story) fired(t *testing.T) (names []string) {
	t.Helper()
	for _, a := range Ask(t, Question{Rules: rules, Scrapes: s.scrapes}).Alerts {
		if !a.Fired.IsZero() {
			names = append(names, strings.TrimPrefix(a.Name, "Rollspan"))
		}
	}
	slices.Sort(names)
	return names
}

// TestReplicasAreNotAddedUp has probes fail six times, which two replicas count, each. That is not
// ten times. Five more are eleven, and one alert.
func TestReplicasAreNotAddedUp(t *testing.T) {
	s := &story{replicas: []*replica{newReplica(), newReplica()}, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	s.pass(1)
	s.see("shop", "Pod", "Unhealthy", 6)
	s.pass(3)
	if fired := s.fired(t); len(fired) > 0 {
		t.Errorf("there is %q for what happened six times", fired)
	}
	s.see("shop", "Pod", "Unhealthy", 11)
	s.pass(3)
	if fired := s.fired(t); !slices.Equal(fired, []string{"PodUnhealthy"}) {
		t.Errorf("there is %q for what happened eleven times", fired)
	}
}

// TestATenantFiresNoAlertAboutNodes has an Event about a Node in a namespace of somebody else's, and
// then one where the kubelet writes them.
func TestATenantFiresNoAlertAboutNodes(t *testing.T) {
	s := &story{replicas: []*replica{newReplica()}, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	s.pass(1)
	s.see("shop", "Node", "Rebooted", 1)
	s.pass(2)
	if fired := s.fired(t); len(fired) > 0 {
		t.Errorf("there is %q", fired)
	}
	s.see("default", "Node", "Rebooted", 1)
	s.pass(2)
	if fired := s.fired(t); !slices.Equal(fired, []string{"NodeRebooted"}) {
		t.Errorf("there is %q for what the kubelet says", fired)
	}
}

package alerts

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestPrometheusWasAway has Prometheus scrape nothing for 20 minutes, as it is upgraded or the network
// is away. What was counted long before is not new afterwards: no rule fires, and no dashboard shows it.
func TestPrometheusWasAway(t *testing.T) {
	s := &story{replicas: []*replica{newReplica()}, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	s.pass(1)
	s.see("default", "Node", "Rebooted", 1)
	s.see("shop", "Pod", "Unhealthy", 100)
	s.say(corev1.EventTypeWarning, "shop", "Pod", "FailedScheduling", "0/3 nodes are available: 3 Insufficient cpu.", 100)
	s.pass(30)
	before := len(s.scrapes)
	s.now = s.now.Add(20 * time.Minute)
	s.pass(30)

	back := s.scrapes[before].At
	for _, a := range Ask(t, Question{Rules: rules, Scrapes: s.scrapes}).Alerts {
		if !a.Since.Before(back) {
			t.Errorf("%s fires since %s, when Prometheus was back", a.Name, a.Since)
		}
	}
	// There were 101 of each at most, one of them the first.
	conditions := map[string]string{}
	for _, title := range []string{"Pods that fit nowhere, by what lacks", "Probes that fail, back-offs"} {
		conditions[title] = fmt.Sprintf("(%s) > 0 and on () (vector(time()) >= %d)", panels(t)[title][0], back.Unix())
	}
	conditions["Warnings"] = "round(" + panels(t)["Warnings"][0] + ") > 100"
	if held := holds(t, s.scrapes, conditions); len(held) > 0 {
		t.Errorf("%q show what was counted before", held)
	}
}

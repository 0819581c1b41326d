package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A disaster has as many series as one can look at, and one for the rest; the same ones each time.
func TestStatesAreBounded(t *testing.T) {
	a := NewAlarms(Options{}, nil)
	disaster := func() (s States) {
		for i := range maxStates + 100 {
			s.Nodes = append(s.Nodes, NodeState{fmt.Sprintf("node-%04d", (i*7)%(maxStates+100)), "NotReady"})
			s.CrashLoops = append(s.CrashLoops, CrashLoop{"shop", fmt.Sprintf("web-%04d", i), "web"})
			s.Rollouts = append(s.Rollouts, RolloutState{fmt.Sprintf("ns-%04d", i), "Deployment", "web", time.Unix(int64(1000+i), 0)})
		}
		return s
	}
	a.Set(disaster())
	first := scrape(t, a)
	wantLines(t, first, `rollspan_node_disruptions{cause="_other"`, `rollspan_node_disruptions{cause="_other",node="_other"} 100.0`)
	wantLines(t, first, `rollspan_node_disruptions{cause="NotReady",node="node-0499"`, `rollspan_node_disruptions{cause="NotReady",node="node-0499"} 1.0`)
	wantLines(t, first, `rollspan_crash_loops{container="_other"`, `rollspan_crash_loops{container="_other",namespace="_other",pod="_other"} 100.0`)
	wantLines(t, first, `rollspan_open_rollout_start_time_seconds{kind="_other"`, `rollspan_open_rollout_start_time_seconds{kind="_other",namespace="_other"} 1500.0`)
	if n := strings.Count(first, "rollspan_node_disruptions{"); n != maxStates+1 {
		t.Errorf("there are %d series", n)
	}
	a.Set(disaster())
	if scrape(t, a) != first {
		t.Error("there are others the next time")
	}
	a.Set(States{})
	wantLines(t, scrape(t, a), "rollspan_node_disruptions{")
}

// Of rollouts that are open in one place the one that has been so for longest counts.
func TestOldestOpenRollout(t *testing.T) {
	a := NewAlarms(Options{}, nil)
	a.Set(States{Rollouts: []RolloutState{
		{"shop", "Deployment", "web", time.Unix(200, 0)}, {"shop", "Deployment", "api", time.Unix(100, 0)}, {"shop", "DaemonSet", "log", time.Unix(300, 0)},
	}})
	wantLines(t, scrape(t, a), "rollspan_open_rollout_start_time_seconds{",
		`rollspan_open_rollout_start_time_seconds{kind="DaemonSet",namespace="shop"} 300.0`,
		`rollspan_open_rollout_start_time_seconds{kind="Deployment",namespace="shop"} 100.0`)
}

// Without names there is no slow rollout.
func TestSlowRolloutsNeedNames(t *testing.T) {
	for _, named := range []bool{false, true} {
		a := NewAlarms(Options{WorkloadName: named}, nil)
		a.Rollout("shop", "web", "Deployment", false)
		a.Rollout("shop", "web", "Deployment", true)
		var want []string
		if named {
			want = []string{`rollspan_slow_rollouts_total{kind="Deployment",namespace="shop",workload="web"} 1.0`}
		}
		wantLines(t, scrape(t, a), "rollspan_slow_rollouts_total{", want...)
	}
}

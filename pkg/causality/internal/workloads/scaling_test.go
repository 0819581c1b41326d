package workloads

import "testing"

func TestWordsOfAScaling(t *testing.T) {
	for message, want := range map[string]Scaling{
		"Scaled up replica set web-6757 from 0 to 1":                                   {"web-6757", true, 0, 1},
		"Scaled down replica set web-6757 to 2 from 3":                                 {"web-6757", false, 3, 2},
		"Scaled up replica set web-6757 to 3":                                          {"web-6757", true, UnknownReplicas, 3},
		"Scaled down ReplicaSet web-6757 (revision 2) from 10 to 0":                    {"web-6757", false, 10, 0},
		"(combined from similar events): Scaled down replica set web-6757 from 2 to 1": {"web-6757", false, 2, 1},
		"Scaled up replica set up from 1 to 2":                                         {"up", true, 1, 2},
	} {
		if got, ok := ScalingIn(message); !ok || got != want {
			t.Errorf("%q tells %+v, %v; want %+v", message, got, ok, want)
		}
	}
	for _, message := range []string{
		"", "Scaled", "Scaled ", "Scaled up", "Scaled up replica set", "Scaled up replica set web-6757",
		"Scaled up replica set web-6757 from 0", "Scaled up replica set web-6757 to many", "Scaled up replica set web-6757 to 99999999999",
		"Scaled up replica set web-6757 from 0 to 1 and more", "Scaled sideways replica set web-6757 to 1", "Scaled up StatefulSet web to 3",
	} {
		if got, ok := ScalingIn(message); ok {
			t.Errorf("%q tells %+v", message, got)
		}
	}
	step := &Step{From: 0, To: 1}
	if !step.DescribedBy("Scaled up replica set web-6757 from 0 to 1", "web-6757") || step.DescribedBy("Scaled up replica set web-6757 from 0 to 10", "web-6757") ||
		step.DescribedBy("Scaled up replica set web-675 from 0 to 1", "web-6757") || step.DescribedBy("Scaled down replica set web-6757 from 2 to 1", "web-6757") {
		t.Error("a step is taken for another")
	}
}

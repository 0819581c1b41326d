package plans

import "testing"

func TestPodNamed(t *testing.T) {
	for message, want := range map[string]string{
		"Created pod: web-1": "web-1",
		"(combined from similar events): Created pod: web-1":                                                       "web-1",
		"create Pod db-1 in StatefulSet db successful":                                                             "db-1",
		"StatefulSet shop/db is recreating failed Pod db-0":                                                        "db-0",
		"Found failed daemon pod shop/agent-a on node a, will try to kill it":                                      "agent-a",
		"(combined from similar events): Found failed daemon pod shop/agent-a on node a, will try to kill it":      "agent-a",
		"(combined from similar events): create Pod db-1 in StatefulSet db successful":                             "db-1",
		"(combined from similar events): Found succeeded daemon pod shop/agent-b on node a, will try to delete it": "agent-b",
	} {
		if got := PodNamed(message); got != want {
			t.Errorf("%q names %q, want %q", message, got, want)
		}
	}
}

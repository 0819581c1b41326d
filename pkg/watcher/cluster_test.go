package watcher

import (
	"net/http"
	"testing"
)

// An API server that begins refuses everything until it knows the roles. The cluster's UID is asked for
// again then, as all spans have it; where it is not granted, or not there, nobody waits for it.
func TestTheUIDOfAnAPIServerThatBegins(t *testing.T) {
	for name, test := range map[string]struct {
		beginning int
		denied    []string
		code      int
		want      string
	}{
		"all is well":     {want: "cluster"},
		"it begins":       {beginning: 2, want: "cluster"}, // the UID, and whether that is granted
		"it is denied":    {denied: []string{""}, code: http.StatusForbidden},
		"it is not there": {code: http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI(t)
			api.deny(test.denied...)
			api.beginning = test.beginning
			if test.code != 0 {
				api.codes["kube-system"] = test.code
			}
			log, _ := testLog(0)
			c, err := newCluster(api.config())
			if err != nil {
				t.Fatal(err)
			}
			uid, err := c.uid(t.Context(), newTrouble(log, "host"), log)
			if err != nil || uid != test.want {
				t.Errorf("it is %q, %v; want %q", uid, err, test.want)
			}
			if api.beginning > 0 {
				t.Error("it does not ask what is granted")
			}
		})
	}
}

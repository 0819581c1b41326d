package workloads

import (
	"fmt"
	"testing"
)

// A number that others may write into an annotation again and again is kept as often
// as a ControllerRevision's.
func TestRolledBackRevisionsAreBounded(t *testing.T) {
	set := &PodSet{By: &deploymentController, RolledBackTo: map[int64]int64{}}
	for i := range int64(1000) {
		set.observeRevision(map[string]string{RevisionAnnotation: fmt.Sprint(i + 2), RevisionHistoryAnnotation: fmt.Sprint(i + 1)})
	}
	if len(set.RolledBackTo) != MaxNumbers || set.RolledBackTo[1001] != 1000 {
		t.Errorf("%d are kept, the latest is %d", len(set.RolledBackTo), set.RolledBackTo[1001])
	}
}

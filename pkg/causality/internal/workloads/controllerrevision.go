package workloads

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// MaxNumbers bounds what is kept of a ControllerRevision that is rolled back
// to again and again.
const MaxNumbers = 32

// ControllerRevision is what the engine keeps of a ControllerRevision, which
// numbers the rollouts of StatefulSets and DaemonSets. One that is rolled back
// to gets a new number
// (k8s.io/kubernetes/pkg/controller/history, UpdateControllerRevision).
type ControllerRevision struct {
	Name    string
	Numbers []RevisionNumber
	Deleted time.Time // when that was seen, zero while it is there
}

// RevisionNumber is a number that a ControllerRevision got: 5 instead of 3, when it was rolled
// back to.
type RevisionNumber struct {
	Revision int64
	Before   int64 // the number that it replaced, 0 if it is the first
	Write    evidence.Write
}

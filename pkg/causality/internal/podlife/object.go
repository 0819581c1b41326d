package podlife

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/clocks"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/schedules"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Object is what the records of pods, workloads, sets, nodes and claims have in common. It
// exists from the first Event or state that names it, so that an Event may come before its
// object.
type Object struct {
	kube.ObjectID
	Name    string
	Events  []*Event
	Touched time.Time     // arrival of the latest news
	Owned   kube.OwnerRef // by whom; zero if by nobody
	// Proven says that the object's own stream has shown it, so that it is who its
	// identity says: those that Events and owner references name need not be.
	Proven bool
	// Shared says that another object had the UID before.
	Shared bool
	// Exists is set while the object's own stream says that it is there, for
	// those that are known by their metadata only.
	Exists bool
	// Target is what the object is for, if that is not what owns it: the
	// workload that an autoscaler scales.
	Target kube.NameKey
	// Cron is what the spec of a CronJob says; nil if that was never seen, and of all else.
	Cron *schedules.CronJob
	// Told is what others have stated of it, by clocks that may be wrong.
	Told clocks.Told
	// doubts are of the times of it that were known worse than to the second when they were
	// observed: see Doubts.
	doubts evidence.Doubts
	// version is the latest resource version of the states that were seen, 0 if it is no
	// number that fits.
	version uint64
}

// ObserveVersion takes in the resource version of a state.
func (o *Object) ObserveVersion(resourceVersion string) {
	o.version = max(o.version, evidence.Version(resourceVersion))
}

// IsVersion reports whether the latest state has a version.
func (o *Object) IsVersion(version uint64) bool { return o.version == version }

// Outdated reports whether a state of that resource version is older than one that was seen.
func (o *Object) Outdated(resourceVersion string) bool {
	v := evidence.Version(resourceVersion)
	return v != 0 && v < o.version
}

// NameKey finds the object by its name.
func (o *Object) NameKey() kube.NameKey {
	return kube.NameKey{Kind: o.Kind, Group: o.Group, Namespace: o.Namespace, Name: o.Name}
}

// ClockOffsets are how far the clocks were off by which components stated what is known of the
// object, each under a key of its own.
func (o *Object) ClockOffsets() []attribute.KeyValue {
	var attrs []attribute.KeyValue
	for _, off := range o.Told.Offsets() {
		attrs = append(attrs, evidence.Seconds(attr.ClockOffsetBy(off.Service), off.By.Round(time.Millisecond)))
	}
	return attrs
}

// Subject names the object as kubectl would.
func (o *Object) Subject() string { return strings.ToLower(o.Kind) + "/" + o.Name }

// AsInEvents are the identities under which Events of an object are filed that came
// before it, where they left out its UID, its API version or its kind.
func AsInEvents(id kube.ObjectID, name string) []kube.ObjectID {
	noGroup, noKind := id, id
	noGroup.Group = ""
	noKind.Kind, noKind.Group = "", ""
	return []kube.ObjectID{noGroup, noKind, Named(id, name), Named(noGroup, name)}
}

// Named stands in for the identity of an object that is known by its name only.
func Named(id kube.ObjectID, name string) kube.ObjectID {
	id.UID = types.UID(namePrefix + id.Kind + "/" + id.Namespace + "/" + name)
	return id
}

const namePrefix = "name:"

// ByName reports whether the UID is one of these. What others state must not be: the
// name in it need not be of their namespace.
func ByName(id kube.ObjectID) bool { return strings.HasPrefix(string(id.UID), namePrefix) }

// Unique is what the IDs of traces about the object are made of: its UID. Of an object
// that only others speak of, and of one whose UID is another's, too, it is all of its
// identity: what is claimed in one namespace must not get into the traces of an object
// of another that really has the UID.
func (o *Object) Unique() string {
	if ByName(o.ObjectID) || o.Proven && !o.Shared {
		return string(o.UID)
	}
	return strings.Join([]string{string(o.UID), o.Kind, o.Group, o.Namespace}, "/")
}

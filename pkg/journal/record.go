package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// What a record of what was observed is. The numbers are on disks.
const (
	recObserved = 1 // an observation
	recTime     = 2 // time has passed
	recMark     = 3 // all is told but of these objects
	recListed   = 4 // the first list of a source is through
	recHold     = 5 // nothing is handed out
	recRelease  = 6 // until now
	recCluster  = 7 // whose journal this is
	recStopped  = 8 // what comes behind a new engine was told: a disk had failed, or the cluster was restored
	recPosition = 9 // up to where something that is watched was seen

	recMissed     = 10 // what was missed, and waits for the rest of it
	recToldMissed = 11 // the engine has all of that
)

// Flags of an observation.
const (
	flagModified = 1 << iota
	flagDeleted
	flagInitial
	flagInferred
	flagJSON
	flagNothing // there is no object
	flagCountUnknown
	flagSince
)

// protobuf is an object as the API server encodes it.
type protobuf interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// EncodeObservation appends an observation to a record:
//
//	kind, flags, time in ns, since when in ns if that is flagged, "apps/v1 Deployment", 0, object
//
// The error is that of an object that cannot be encoded.
func EncodeObservation(to []byte, o stream.Observation) ([]byte, error) {
	flags := byte(0)
	switch o.Type {
	case watch.Modified:
		flags |= flagModified
	case watch.Deleted:
		flags |= flagDeleted
	}
	if o.Initial {
		flags |= flagInitial
	}
	if o.Inferred {
		flags |= flagInferred
	}
	if o.CountUnknown {
		flags |= flagCountUnknown
	}
	if !o.Since.IsZero() {
		flags |= flagSince
	}
	var body []byte
	name := ""
	if o.Object == nil {
		flags |= flagNothing
	} else {
		apiVersion, kind := o.Object.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
		name = apiVersion + " " + kind
		var err error
		if object, ok := o.Object.(protobuf); ok && isTypeOf(o.Object, name) {
			body, err = object.Marshal()
		} else {
			flags |= flagJSON
			body, err = json.Marshal(o.Object)
		}
		if err != nil {
			return to, fmt.Errorf("an object of kind %s cannot be encoded: %w", kind, err)
		}
	}
	to = append(to, recObserved, flags)
	to = appendTime(to, o.Time)
	if flags&flagSince != 0 {
		to = appendTime(to, o.Since)
	}
	to = append(to, name...)
	to = append(to, 0)
	return append(to, body...), nil
}

// isTypeOf reports whether an object is what stream.NewObject returns for its kind.
func isTypeOf(object runtime.Object, name string) bool {
	typ, ok := typesByKind.Load(name)
	if !ok {
		apiVersion, kind, _ := strings.Cut(name, " ")
		typ = reflect.TypeOf(stream.NewObject(apiVersion, kind))
		if typ != reflect.TypeFor[*metav1.PartialObjectMetadata]() {
			typesByKind.Store(name, typ) // of the others there may be any number
		}
	}
	return reflect.TypeOf(object) == typ
}

// typesByKind are the types of the kinds that stream.NewObject knows.
var typesByKind sync.Map

// DecodeObservation reads what EncodeObservation has written. The error is that of what is
// damaged.
func DecodeObservation(body []byte) (o stream.Observation, err error) {
	if len(body) < 2 {
		return o, errDamaged
	}
	flags := body[1]
	if o.Time, body, err = readTime(body[2:]); err == nil && flags&flagSince != 0 {
		o.Since, body, err = readTime(body)
	}
	if err != nil {
		return o, err
	}
	o.Type = watch.Added
	switch {
	case flags&flagModified != 0:
		o.Type = watch.Modified
	case flags&flagDeleted != 0:
		o.Type = watch.Deleted
	}
	o.Initial, o.Inferred, o.CountUnknown = flags&flagInitial != 0, flags&flagInferred != 0, flags&flagCountUnknown != 0
	if flags&flagNothing != 0 {
		return o, nil
	}
	end := bytes.IndexByte(body[:min(len(body), 512)], 0)
	if end < 0 {
		return o, errDamaged
	}
	apiVersion, kind, _ := strings.Cut(string(body[:end]), " ")
	body = body[end+1:]
	var object runtime.Object
	if flags&flagJSON != 0 {
		// It was something else, of which the metadata is what the engine reads: of a pod, too,
		// whose deletion was missed.
		object = &metav1.PartialObjectMetadata{}
		err = json.Unmarshal(body, object)
	} else {
		object = stream.NewObject(apiVersion, kind)
		err = object.(protobuf).Unmarshal(body)
	}
	if err != nil {
		return o, fmt.Errorf("an object of kind %s cannot be decoded: %w", kind, err)
	}
	object.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(apiVersion, kind))
	o.Object = object
	return o, nil
}

// appendTime appends a time in ns since 1970; the zero time as one that there is not.
func appendTime(to []byte, t time.Time) []byte {
	ns := int64(0)
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	return binary.BigEndian.AppendUint64(to, uint64(ns)) //nolint:gosec // It is read as it is written.
}

func readTime(body []byte) (t time.Time, rest []byte, err error) {
	if len(body) < 8 {
		return t, nil, errDamaged
	}
	if ns := int64(binary.BigEndian.Uint64(body)); ns != 0 { //nolint:gosec // It is written as it is read.
		t = time.Unix(0, ns)
	}
	return t, body[8:], nil
}

// encodeMark appends a mark: when, and the UIDs of what is unsettled.
func encodeMark(to []byte, now time.Time, unsettled []types.UID) []byte {
	to = appendTime(append(to, recMark), now)
	for _, uid := range unsettled {
		to = append(to, uid...)
		to = append(to, 0)
	}
	return to
}

func decodeMark(body []byte) (now time.Time, unsettled []types.UID, err error) {
	now, rest, err := readTime(body[1:])
	if err != nil {
		return now, nil, err
	}
	for uid := range strings.SplitSeq(string(rest), "\x00") {
		if uid != "" {
			unsettled = append(unsettled, types.UID(uid))
		}
	}
	return now, unsettled, nil
}

// timeOfRecord is when a record of what was observed is from; zero where it does not say.
func timeOfRecord(body []byte) time.Time {
	if len(body) == 0 {
		return time.Time{}
	}
	from := 1
	switch body[0] {
	case recObserved:
		from = 2
	case recTime, recMark:
	default:
		return time.Time{}
	}
	if len(body) < from {
		return time.Time{}
	}
	t, _, _ := readTime(body[from:]) // zero where it is damaged
	return t
}

// errUnknown says that a record is of a kind that this version does not know.
var errUnknown = errors.New("unknown kind of record")

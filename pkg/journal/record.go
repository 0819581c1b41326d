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
	// flagMore are two that are never there together, as there is an object or none. Both say that a byte
	// with more flags follows the times, of which two are in the place of these.
	flagMore = flagJSON | flagNothing
)

// More flags of an observation.
const (
	moreJSON = 1 << iota
	moreNothing
	moreDoubts
)

// protobuf is an object as the API server encodes it.
type protobuf interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// EncodeObservation appends an observation to a record:
//
//	kind, flags, time in ns, since when in ns if that is flagged, more flags and doubts if that is,
//	"apps/v1 Deployment", 0, object
//
// The error is that of an object that cannot be encoded.
func EncodeObservation(to []byte, o stream.Observation) ([]byte, error) {
	name, body, flags, err := encodeObject(o.Object)
	if err != nil {
		return to, err
	}
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
	more := byte(0)
	if len(o.Doubts) > 0 {
		more, flags = moreBeside(flags)|moreDoubts, flags|flagMore
	}
	to = append(to, recObserved, flags)
	to = appendTime(to, o.Time)
	if flags&flagSince != 0 {
		to = appendTime(to, o.Since)
	}
	if more != 0 {
		to = appendDoubts(append(to, more), o.Doubts)
	}
	to = append(to, name...)
	to = append(to, 0)
	return append(to, body...), nil
}

// encodeObject returns "apps/v1 Deployment", what an object is encoded as, and the flags that say how.
func encodeObject(object runtime.Object) (name string, body []byte, flags byte, err error) {
	if object == nil {
		return "", nil, flagNothing, nil
	}
	apiVersion, kind := object.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
	name = apiVersion + " " + kind
	if encoder, ok := object.(protobuf); ok && isTypeOf(object, name) {
		body, err = encoder.Marshal()
	} else {
		flags = flagJSON
		body, err = json.Marshal(object)
	}
	if err != nil {
		return "", nil, 0, fmt.Errorf("an object of kind %s cannot be encoded: %w", kind, err)
	}
	return name, body, flags, nil
}

// moreBeside are the more flags that are in the place of those of an observation, where both are there.
func moreBeside(flags byte) (more byte) {
	if flags&flagJSON != 0 {
		more |= moreJSON
	}
	if flags&flagNothing != 0 {
		more |= moreNothing
	}
	return more
}

// readMore reads more flags, and what is there by them. It returns the flags as they are without.
func readMore(flags byte, body []byte) (is byte, doubts []stream.Doubt, rest []byte, err error) {
	if len(body) == 0 {
		return 0, nil, nil, errDamaged
	}
	more, rest := body[0], body[1:]
	is = flags &^ flagMore
	if more&moreJSON != 0 {
		is |= flagJSON
	}
	if more&moreNothing != 0 {
		is |= flagNothing
	}
	if more&moreDoubts != 0 {
		doubts, rest, err = readDoubts(rest)
	}
	return is, doubts, rest, err
}

// appendDoubts appends doubts: how many, and of each the three times in ns, what of, twice, and one more if
// that is stated, and the container.
func appendDoubts(to []byte, doubts []stream.Doubt) []byte {
	to = binary.AppendUvarint(to, uint64(len(doubts)))
	for _, d := range doubts {
		to = appendTime(appendTime(appendTime(to, d.At), d.Earliest), d.Latest)
		of := uint64(d.Of) << 1 //nolint:gosec // It is not negative.
		if d.Stated {
			of |= 1
		}
		to = appendText(binary.AppendUvarint(to, of), d.Container)
	}
	return to
}

func readDoubts(body []byte) (doubts []stream.Doubt, rest []byte, err error) {
	count, n := binary.Uvarint(body)
	if n <= 0 {
		return nil, nil, errDamaged
	}
	rest = body[n:]
	for ; count > 0; count-- {
		var d stream.Doubt
		for _, at := range []*time.Time{&d.At, &d.Earliest, &d.Latest} {
			if *at, rest, err = readTime(rest); err != nil {
				return nil, nil, err
			}
		}
		of, n := binary.Uvarint(rest)
		if n <= 0 {
			return nil, nil, errDamaged
		}
		container, left, ok := cutText(rest[n:])
		if !ok {
			return nil, nil, errDamaged
		}
		d.Of, d.Stated, d.Container, rest = stream.DoubtOf(of>>1), of&1 != 0, string(container), left //nolint:gosec // It is written as it is read.
		doubts = append(doubts, d)
	}
	return doubts, rest, nil
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
	if err == nil && flags&flagMore == flagMore {
		flags, o.Doubts, body, err = readMore(flags, body)
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

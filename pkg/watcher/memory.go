package watcher

import (
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// What files hold is no measure of the memory that they take: a Pod of twenty bytes
// of JSON takes kilobytes, and a million of them compress to a few. So all that is
// made of a file is estimated from above before it is made, and counted.

// DefaultMemory is how much memory a program may take that reads recordings or
// dumps, in bytes, unless it says otherwise.
const DefaultMemory = 1 << 30

// ErrMemory says that what is read would take more memory than there is for it.
var ErrMemory = errors.New("there is no more memory for it")

// memory is what there is for what is read.
type memory struct {
	most int64 // for the program as a whole, in bytes
	used int64 // by what is kept, and by what will be made of it
}

// What is kept, with what becomes of it, may take half. One value may take an eighth
// while it is parsed, which happens once at a time; and in the end, when it is kept. As
// text it exists some six times over while it is read, which also is an eighth then.
const (
	keptShare  = 2
	valueShare = 8
	textShare  = 64
)

// text is how many bytes may be read of one value.
func (m *memory) text() int64 { return min(m.most/textShare, maxTextBytes) }

// maxTextBytes is far above what an API server takes, and fits any int.
const maxTextBytes = 1 << 30

// textTooLarge is what is wrong with a value of more bytes.
func (m *memory) textTooLarge() error { return textError(m.text()) }

// textError says that a value is larger than so many bytes. It is an ErrMemory.
type textError int64

// Error names the bound.
func (e textError) Error() string { return "an object is larger than " + mebibytes(int64(e)) }

// Is makes it an ErrMemory.
func (e textError) Is(target error) bool { return target == ErrMemory }

// value is how much memory one value may take.
func (m *memory) value() int64 { return m.most / valueShare }

// kept is how much memory all that is kept may take.
func (m *memory) kept() int64 { return m.most / keptShare }

// fits returns an error if a value of this cost takes more than one may.
func (m *memory) fits(cost int64) error {
	if cost > m.value() {
		return memoryError{what: "this would take more than one object may", most: m.value()}
	}
	return nil
}

// take counts what is kept, or returns an error if there is no room for it.
func (m *memory) take(cost int64) error {
	if m.used+cost > m.kept() {
		return memoryError{what: "what was read before this takes as much as it may", most: m.kept(), total: true}
	}
	m.used += cost
	return nil
}

// memoryError says what takes more memory than it may. It is an ErrMemory.
type memoryError struct {
	what string
	most int64 // bytes
	// total says that it is all together that takes too much.
	total bool
}

// Error names the bound.
func (e memoryError) Error() string {
	return fmt.Sprintf("%s in memory, %s", e.what, mebibytes(e.most))
}

// Is makes it an ErrMemory.
func (e memoryError) Is(target error) bool { return target == ErrMemory }

func mebibytes(n int64) string {
	if n%(1<<20) != 0 && n < 10<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// What parsing makes of JSON at most, with what a decoder makes and drops as lists
// grow. The largest element of a list is a container, of 424 bytes; what does not fit
// its type is parsed as maps of anything, which take less.
const (
	jsonObjectBytes = 2560
	jsonValueBytes  = 128
	// escapedBytes is what a character takes more that encoding/json escapes.
	escapedBytes = 40
)

// jsonCost is how much memory the value of a JSON text takes at most while it is
// parsed, in bytes.
func jsonCost(raw []byte) int64 {
	cost := 4*int64(len(raw)) + jsonObjectBytes
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{':
			cost += jsonObjectBytes
		case '[', ',', ':':
			cost += jsonValueBytes
		case '"':
			for i++; i < len(raw) && raw[i] != '"'; i++ {
				switch raw[i] {
				case '\\':
					i++
					cost += escapedBytes
				case '<', '>', '&':
					cost += escapedBytes
				}
			}
		}
	}
	return cost
}

// size is how much memory an object takes, in bytes, with the unused ends of its
// lists and what the allocator adds.
func size(object runtime.Object) int64 {
	n := sizeBehind(reflect.ValueOf(object))
	return n + n/8
}

var locationType = reflect.TypeFor[*time.Location]()

// sizeBehind is the size of what a value refers to. What several values refer to
// counts with each: decoders share nothing but time zones.
func sizeBehind(v reflect.Value) (n int64) {
	switch v.Kind() {
	case reflect.String:
		n = int64(v.Len())
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != locationType {
			n = int64(v.Type().Elem().Size()) + sizeBehind(v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() {
			n = int64(v.Elem().Type().Size()) + sizeBehind(v.Elem())
		}
	case reflect.Slice:
		n = int64(v.Cap()) * int64(v.Type().Elem().Size())
		if refers(v.Type().Elem()) {
			for i := range v.Len() {
				n += sizeBehind(v.Index(i))
			}
		}
	case reflect.Array:
		if refers(v.Type().Elem()) {
			for i := range v.Len() {
				n += sizeBehind(v.Index(i))
			}
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			n += sizeBehind(field)
		}
	case reflect.Map:
		if v.IsNil() {
			return 0
		}
		t := v.Type()
		n = 48 + mapSlots(v.Len())*int64(t.Key().Size()+t.Elem().Size()+1)
		for entries := v.MapRange(); entries.Next(); {
			n += sizeBehind(entries.Key()) + sizeBehind(entries.Value())
		}
	}
	return n
}

// refers reports whether values of a type may refer to something.
func refers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Array, reflect.Struct, reflect.Map:
		return true
	}
	return false
}

// mapSlots is how many entries a map of n has room for: groups of eight, which are
// doubled before they are full.
func mapSlots(n int) int64 {
	return int64(8) << bits.Len64(uint64(max(n, 1)-1)/7)
}

// What becomes of an object of a dump, at most: what its past is reconstructed as, one
// state after another, what the engine keeps of it, and its spans. This is what tests
// measure.
const (
	objectBytes   = 1 << 10
	eventBytes    = 2 << 10
	workloadBytes = 7 << 9
	podBytes      = 4 << 10
	podStateBytes = 1536 // without its status
)

// objectCost is how much memory an object of a dump takes at most, with what becomes
// of it, in bytes. It has been slimmed.
func objectCost(object runtime.Object) int64 {
	n := size(object)
	switch in := object.(type) {
	case *corev1.Event:
		return n + eventBytes
	case *appsv1.Deployment, *appsv1.ReplicaSet, *appsv1.StatefulSet, *appsv1.DaemonSet,
		*batchv1.Job, *batchv1.CronJob, *corev1.ReplicationController:
		return 4*n + workloadBytes // their states are told again for each rollout
	case *corev1.Pod:
		// The status of the first state is empty, and grows to the last.
		status := sizeBehind(reflect.ValueOf(&in.Status)) / 2
		return n + podBytes + podStates(in)*(podStateBytes+status)
	}
	return 2*n + objectBytes
}

// podStates is how many states of a pod may be told: one for each time that its status
// states, and more where Events may tell two of these apart.
func podStates(in *corev1.Pod) int64 {
	states := int64(2) // the first, and its deletion
	times := map[time.Time]bool{}
	for i := range in.Status.Conditions {
		times[in.Status.Conditions[i].LastTransitionTime.Time] = true
	}
	for _, statuses := range [][]corev1.ContainerStatus{in.Status.InitContainerStatuses, in.Status.ContainerStatuses} {
		for i := range statuses {
			for _, s := range []*corev1.ContainerState{&statuses[i].State, &statuses[i].LastTerminationState} {
				switch {
				case s.Terminated != nil:
					times[s.Terminated.StartedAt.Time] = true
					states++
				case s.Running != nil:
					times[s.Running.StartedAt.Time] = true
				case s.Waiting != nil:
					states++
				}
			}
		}
	}
	return states + int64(len(times))
}

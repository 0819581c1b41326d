package causality

import (
	"fmt"
	"hash/maphash"
	"maps"
	"reflect"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// fields are some of structs, by type and name.
type fields map[reflect.Type]map[string]bool

// fieldsOf names fields of a type. It panics if one is not there.
func fieldsOf[T any](names ...string) fields {
	t := reflect.TypeFor[T]()
	of := map[string]bool{}
	for _, name := range names {
		if _, ok := t.FieldByName(name); !ok {
			panic(t.String() + " has no field " + name)
		}
		of[name] = true
	}
	return fields{t: of}
}

// scratch are fields that are of one call.
var scratch = fieldsOf[Engine]("work", "plans")

// books are fields that say what the engine has to look at, and what it has done.
var books = func() fields {
	all := fieldsOf[Engine]("stats", "due", "dueNodes", "unsettled", "awaited", "worked", "open", "old")
	maps.Copy(all, fieldsOf[workloads.Workload]("RestUntil"))
	return all
}()

// notes are the types of what was handed out.
var notes = map[reflect.Type]bool{
	reflect.TypeFor[ledger.Pod](): true, reflect.TypeFor[ledger.Container](): true, reflect.TypeFor[ledger.Change](): true,
	reflect.TypeFor[ledger.Workload](): true, reflect.TypeFor[ledger.Schedule](): true, reflect.TypeFor[ledger.Step](): true,
	reflect.TypeFor[*ledger.Event](): true, reflect.TypeFor[ledger.Disruption](): true, reflect.TypeFor[*ledger.Issued](): true, reflect.TypeFor[*ledger.HandedOut](): true,
}

// prints are fingerprints of all memory that an engine keeps, by where it is and what it
// is called: of each field of each record one.
type prints map[string]uint64

// Differs is what is not the same, "" if all is.
func (p prints) Differs(other prints) string {
	for name, sum := range other {
		if before, known := p[name]; !known || before != sum {
			return name
		}
	}
	for name := range p {
		if _, known := other[name]; !known {
			return name
		}
	}
	return ""
}

// Prints takes those of the engine. With handedOut they are also of ledgers and books.
func (e *Engine) Prints(handedOut bool) prints {
	t := taker{handedOut: handedOut, prints: prints{}, seen: map[string]bool{}}
	t.later(reflect.ValueOf(e))
	for len(t.todo) > 0 {
		v := t.todo[len(t.todo)-1]
		t.todo = t.todo[:len(t.todo)-1]
		name := nameOf(v)
		if v = v.Elem(); v.Kind() != reflect.Struct {
			t.prints[name] = t.print(v)
			continue
		}
		for i := range v.NumField() {
			if field := v.Type().Field(i); t.kept(v.Type(), field) {
				t.prints[name+"."+field.Name] = t.print(v.Field(i))
			}
		}
	}
	return t.prints
}

// taker goes from the engine to all that can be reached from it.
type taker struct {
	handedOut bool
	prints    prints
	seen      map[string]bool
	todo      []reflect.Value // pointers
}

func nameOf(pointer reflect.Value) string {
	return fmt.Sprintf("%s %#x", pointer.Type().Elem(), pointer.Pointer())
}

func (t *taker) later(pointer reflect.Value) {
	if name := nameOf(pointer); !t.seen[name] && pointer.Type() != reflect.TypeFor[*time.Location]() {
		t.seen[name] = true
		t.todo = append(t.todo, pointer)
	}
}

func (t *taker) kept(of reflect.Type, field reflect.StructField) bool {
	return !scratch[of][field.Name] && (t.handedOut || !books[of][field.Name] && !notes[field.Type])
}

var seed = maphash.MakeSeed()

// print is the fingerprint of a value. What it points to has one of its own.
func (t *taker) print(v reflect.Value) uint64 {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		t.later(v)
		return maphash.Comparable(seed, v.Pointer())
	case reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return then(maphash.Comparable(seed, v.Elem().Type().String()), t.print(v.Elem()))
	case reflect.Slice:
		if v.IsNil() {
			return 1
		}
		// Also what lies beyond its end: somebody may have appended there.
		sum := then(maphash.Comparable(seed, v.Pointer()), uint64(v.Len()))
		return then(sum, t.elements(v.Slice(0, v.Cap())))
	case reflect.Array:
		return t.elements(v)
	case reflect.Map:
		sum := uint64(v.Len())
		for it := v.MapRange(); it.Next(); {
			sum += then(t.print(it.Key()), t.print(it.Value())) // in any order
		}
		return sum
	case reflect.Struct:
		sum := uint64(2)
		for i := range v.NumField() {
			if t.kept(v.Type(), v.Type().Field(i)) {
				sum = then(sum, t.print(v.Field(i)))
			}
		}
		return sum
	case reflect.String:
		return maphash.Comparable(seed, v.String())
	case reflect.Bool:
		return maphash.Comparable(seed, v.Bool())
	case reflect.Float32, reflect.Float64:
		return maphash.Comparable(seed, v.Float())
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return 3 // the engine's options
	}
	if v.CanInt() {
		return maphash.Comparable(seed, v.Int())
	}
	return maphash.Comparable(seed, v.Uint())
}

func (t *taker) elements(v reflect.Value) uint64 {
	sum := uint64(4)
	for i := range v.Len() {
		sum = then(sum, t.print(v.Index(i)))
	}
	return sum
}

// then is the fingerprint of one after the other.
func then(a, b uint64) uint64 { return maphash.Comparable(seed, [2]uint64{a, b}) }

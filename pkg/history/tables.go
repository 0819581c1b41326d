package history

import (
	"bytes"
	"errors"
	"iter"
	"slices"
)

// table is one of those that a Store has.
type table string

// The tables. The names are on disks. All values are sealed.
const (
	// tableMeta has the version of the format, and the counters.
	tableMeta table = "meta"
	// tableRows has a row for each change, by its place.
	tableRows table = "rows"
	// tableTraces has a record for each trace, by its ID.
	tableTraces table = "traces"
	// tableEnds has nothing but keys: when the last span of a trace ended, and its ID.
	tableEnds table = "ends"
	// tableParts has packed spans, by the change and a number.
	tableParts table = "parts"
	// tableFacts has what an Overview wants of them, by the same.
	tableFacts table = "facts"
	// tableEarly has packed spans whose change is still to be told, by the trace and a number.
	tableEarly table = "early"
	// tableObjects has nothing but keys: an object, and the place of a change of it.
	tableObjects table = "objects"
)

var allTables = []table{tableMeta, tableRows, tableTraces, tableEnds, tableParts, tableFacts, tableEarly, tableObjects}

// tables keep bytes by bytes, in order. One goroutine writes, and any may read meanwhile.
type tables interface {
	// view has a snapshot read. It and what is read from it must not be used later.
	view(func(reader) error) error
	// update changes what there is: all of it, or nothing if there is an error.
	update(func(writer) error) error
	// used is how many bytes are used.
	used() int64
	close() error
}

// errFull says that there is no room within the bound for what is to be written.
var errFull = errors.New("it takes more than it may")

type reader interface {
	// get returns a value; nil if there is none.
	get(table, []byte) []byte
	cursor(table) cursor
}

type writer interface {
	reader
	put(table, []byte, []byte) error
	delete(table, []byte) error
}

// cursor goes through a table. The key is nil at its end.
type cursor interface {
	Last() (key, value []byte)
	// Seek goes to the first key that is not before one.
	Seek([]byte) (key, value []byte)
	Next() (key, value []byte)
	Prev() (key, value []byte)
}

// from yields what is not before a key, in order.
func from(r reader, t table, key []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c := r.cursor(t)
		for k, v := c.Seek(key); k != nil && yield(k, v); k, v = c.Next() {
		}
	}
}

// before yields what is before a key, backwards; all if there is none.
func before(r reader, t table, key []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c := r.cursor(t)
		var k, v []byte
		if key != nil {
			k, _ = c.Seek(key)
		}
		if k == nil {
			k, v = c.Last()
		} else {
			k, v = c.Prev()
		}
		for ; k != nil && yield(k, v); k, v = c.Prev() {
		}
	}
}

// below yields what begins with a prefix, in order.
func below(r reader, t table, prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range from(r, t, prefix) {
			if !bytes.HasPrefix(k, prefix) || !yield(k, v) {
				return
			}
		}
	}
}

// keysBelow are the keys that begin with a prefix, in memory of their own.
func keysBelow(r reader, t table, prefix []byte) (keys [][]byte) {
	for k := range below(r, t, prefix) {
		keys = append(keys, slices.Clone(k))
	}
	return keys
}

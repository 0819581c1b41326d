// Package history keeps the changes that were told, so that they can be looked at later: on the
// embedded page, and by `rollspan history --server`.
//
// Begin reading in history.go: a Store takes the traces that the engine hands out, and a Reader
// answers what was told, newest first, together with what is in progress. Spans that come after
// their change was told are joined to it, and spans that come before it wait for it (keep.go).
// Summary is what is known of a change without its spans, and Overview what happened at the same
// time.
//
// # How it is kept
//
// There are tables of bytes by bytes, in order (tables.go), in memory or in a file, and one code
// on both: so both answer the same. Spans are kept as the OTLP that would be sent, compressed,
// with what OTLP does not carry beside it (codec.go): kinds, subjects. The rest is an index.
//
// One goroutine writes. What waits for it is bounded, and what there is no room for is counted:
// whoever tells never waits for a disk. A reader waits until what was added before it asked is
// kept.
//
// What has ended first is dropped first, whole traces at once: what is older than MaxAge, and what
// is over MaxBytes.
//
// # The database
//
// The file is one of go.etcd.io/bbolt. A page is read much more often than something is told, and
// a process that is killed must cost nothing that was kept before. bbolt writes pages anew and
// then one that names them, so there is nothing to be recovered; it is one file without a
// goroutine of its own, is mapped and so takes no memory that the system could not have back, and
// etcd, and with it nearly every cluster, stands on it.
//
// modernc.org/sqlite would make the filters SQL. It is C that was translated: it makes the program
// and its build much larger, and its journal is to be recovered. github.com/cockroachdb/pebble is
// made for many more writes than there are here: it keeps many files, compacts them with
// goroutines of its own, and brings many modules with it.
//
// bbolt has checksums of nothing but its first two pages. So each value has one of ours. What else
// is damaged it panics at, or faults, which is caught (guarded). Whatever is damaged, the file is
// set aside and the history begins anew: it is a copy of what was sent, and not worth a run.
//
// The package knows spans and their encoding. It knows neither how they came about nor who shows
// them.
package history

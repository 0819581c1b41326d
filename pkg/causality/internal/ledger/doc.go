// Package ledger keeps what was handed out: which spans of a record went out, where, and
// what later ones have to agree with.
//
// A record says what was observed, and a plan what follows from that. Neither changes when
// something is handed out. So that is noted apart, in the record's ledger: that the trace of a
// rollout was sent, with which root, and that it joined its deployer's trace. A ledger is
// written by its own methods alone. Who hands out calls Emit and its like; who observes may
// only call PassOver and its like, for what was over before the watcher came.
//
// A ledger knows no record. Place, which says in which trace the spans of a change are, is here
// because it is decided once, when it is first asked for, and has to stay. Begin with
// ledger.go and place.go, then read change.go.
package ledger

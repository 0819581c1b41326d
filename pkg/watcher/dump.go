package watcher

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Dump collects the objects of one snapshot of a cluster from files: what
// kubectl get prints as JSON or YAML, the folders of kubectl cluster-info
// dump, and the trees and archives of support bundles and must-gather.
//
// One file is read at a time, and of a JSON list one item. What is kept is the
// decoded objects, each once, as long as there is memory for them (see LimitMemory).
type Dump struct {
	report  func(error)
	objects map[string]dumpedObject // by identity
	stats   DumpStats
	memory  memory
	// full says where the memory was used up; nothing is read from there on.
	full *ItemError
}

// dumpedObject is an object and what it takes, with what becomes of it.
type dumpedObject struct {
	runtime.Object
	cost int64
}

// DumpStats counts what a Dump has read.
type DumpStats struct {
	// Files hold objects of the cluster; those PassedOver hold none.
	Files, PassedOver int
	// Recordings are among the files passed over: they are no part of a
	// snapshot.
	Recordings int
	// Archives are among the files passed over: they are too deep in others, or are packed too often.
	Archives int
	// WithoutUID is how many objects have no metadata.uid: manifests that were never applied, or
	// objects that something has cleaned.
	WithoutUID int
	// Broken is how many objects were damaged, or files unreadable.
	Broken int
}

// ItemError says what is wrong with one object of a dump. The rest of the dump
// is not affected.
type ItemError struct {
	// File is the file's name, inside of an archive below the archive's.
	File string
	// Item counts the objects of the file, from 1; 0 is the file as such.
	Item int
	// Err is what is wrong.
	Err error
}

// Error returns "file: item N: why".
func (e *ItemError) Error() string {
	if e.Item == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s: item %d: %v", e.File, e.Item, e.Err)
}

// Unwrap returns what is wrong, without the place.
func (e *ItemError) Unwrap() error { return e.Err }

// NewDump returns a dump without objects. What cannot be read goes to report,
// as an *ItemError.
func NewDump(report func(error)) *Dump {
	return &Dump{report: report, objects: map[string]dumpedObject{}, memory: memory{most: DefaultMemory}}
}

// LimitMemory says how much memory the program may take, in bytes; without it that
// is DefaultMemory. Half of it is for the objects and what Reconstruct and an Engine
// make of them. An object that would take too much of it is reported as an ErrMemory
// and left out. Where all of it is used up, reading ends (see Full).
func (d *Dump) LimitMemory(most int64) { d.memory.most = most }

// Full says at which object there was no more memory; nothing was read from there on.
// It is nil if all was read.
func (d *Dump) Full() *ItemError { return d.full }

// Release lets go of the objects. The counters stay.
func (d *Dump) Release() { clear(d.objects) }

// Add reads what one stream holds: objects, or an archive of files with
// objects. The name is used to tell the format, and in errors. That a stream was
// interrupted (its reader failed with a context's error) is not reported, as it is no
// damage.
func (d *Dump) Add(in io.Reader, name string) {
	d.addStream(bufio.NewReaderSize(untilFull{in, d}, sniffBytes), name, 0)
}

// Objects returns the objects, each once, in an order that depends on nothing
// but them.
func (d *Dump) Objects() []runtime.Object {
	keys := slices.Sorted(maps.Keys(d.objects))
	objects := make([]runtime.Object, len(keys))
	for i, key := range keys {
		objects[i] = d.objects[key].Object
	}
	return objects
}

// Stats returns the counters so far.
func (d *Dump) Stats() DumpStats { return d.stats }

func (d *Dump) broken(file string, item int, err error) {
	if d.full != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	d.stats.Broken++
	d.report(&ItemError{File: file, Item: item, Err: err})
}

// keep takes in an object. Of one that is in several files the newest state
// counts. It reports whether the object is one of a cluster: a manifest that
// was never applied has no UID. The error is that there is no memory for it.
func (d *Dump) keep(object runtime.Object) (bool, error) {
	meta, ok := object.(metav1.Object)
	if !ok {
		return false, nil
	}
	key := string(meta.GetUID())
	if key == "" {
		if _, event := object.(*corev1.Event); !event {
			return false, nil
		}
		key = "Event/" + meta.GetNamespace() + "/" + meta.GetName()
	}
	slim(object, meta)
	known := d.objects[key]
	if before, ok := known.Object.(metav1.Object); ok && writtenAfter(before, meta) {
		return true, nil
	}
	cost := objectCost(object) + int64(len(key))
	if err := d.memory.fits(cost); err != nil {
		return true, err
	}
	d.memory.used -= known.cost
	if err := d.memory.take(cost); err != nil {
		d.memory.used += known.cost
		return true, err
	}
	d.objects[key] = dumpedObject{object, cost}
	return true, nil
}

// untilFull ends a stream when the dump takes no more.
type untilFull struct {
	in   io.Reader
	dump *Dump
}

func (r untilFull) Read(p []byte) (int, error) {
	if r.dump.full != nil {
		return 0, r.dump.full
	}
	return r.in.Read(p)
}

// writtenAfter reports whether a is a later state than b.
func writtenAfter(a, b metav1.Object) bool {
	if order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion()); err == nil {
		return order > 0
	}
	return lastWrite(a).After(lastWrite(b))
}

// lastWrite is the newest time in the managed fields.
func lastWrite(meta metav1.Object) (at time.Time) {
	for _, m := range meta.GetManagedFields() {
		if m.Time != nil && m.Time.After(at) {
			at = m.Time.Time
		}
	}
	return at
}

// slim drops what the engine never reads, but for what tells when the snapshot
// was taken: the times of writes, and the heartbeats of nodes.
func slim(object runtime.Object, meta metav1.Object) {
	fields := slices.Clone(meta.GetManagedFields())
	node, isNode := object.(*corev1.Node)
	var conditions []corev1.NodeCondition
	if isNode {
		conditions = slices.Clone(node.Status.Conditions)
	}
	trim(object)
	if isNode {
		node.Status.Conditions = conditions
	}
	_, isPod := object.(*corev1.Pod)
	if len(meta.GetManagedFields()) == 0 || isPod {
		for i := range fields {
			fields[i].FieldsV1 = nil
		}
		meta.SetManagedFields(fields)
	}
}

// maxKindsCounted is of how many kinds objects are counted; a cluster has hardly more.
const maxKindsCounted = 100

// CountKinds says how many objects there are of which kind, the most first,
// such as "12 Pods, 3 Deployments".
func CountKinds(objects []runtime.Object) string {
	count := map[string]int{}
	for _, o := range objects {
		count[o.GetObjectKind().GroupVersionKind().Kind]++
	}
	kinds := slices.Sorted(maps.Keys(count))
	slices.SortStableFunc(kinds, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	var others string
	if len(kinds) > maxKindsCounted {
		n := 0
		for _, kind := range kinds[maxKindsCounted:] {
			n += count[kind]
		}
		kinds, others = kinds[:maxKindsCounted], fmt.Sprintf(", and %d of other kinds", n)
	}
	parts := make([]string, len(kinds))
	for i, kind := range kinds {
		plural := kind + "s"
		switch {
		case count[kind] == 1:
			plural = kind
		case strings.HasSuffix(kind, "s"):
			plural = kind + "es"
		case strings.HasSuffix(kind, "y"):
			plural = strings.TrimSuffix(kind, "y") + "ies"
		}
		parts[i] = fmt.Sprintf("%d %s", count[kind], plural)
	}
	return strings.Join(parts, ", ") + others
}

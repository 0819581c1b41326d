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
// decoded objects, each once.
type Dump struct {
	report  func(error)
	objects map[string]runtime.Object // by identity
	stats   DumpStats
}

// DumpStats counts what a Dump has read.
type DumpStats struct {
	// Files hold objects of the cluster; those PassedOver hold none.
	Files, PassedOver int
	// Recordings are among the files passed over: they are no part of a
	// snapshot.
	Recordings int
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
	return &Dump{report: report, objects: map[string]runtime.Object{}}
}

// Add reads what one stream holds: objects, or an archive of files with
// objects. The name is used to tell the format, and in errors. That a stream was
// interrupted (see Interruptible) is not reported, as it is no damage.
func (d *Dump) Add(in io.Reader, name string) {
	d.addStream(bufio.NewReaderSize(in, sniffBytes), name, 0)
}

// Objects returns the objects, each once, in an order that depends on nothing
// but them.
func (d *Dump) Objects() []runtime.Object {
	keys := slices.Sorted(maps.Keys(d.objects))
	objects := make([]runtime.Object, len(keys))
	for i, key := range keys {
		objects[i] = d.objects[key]
	}
	return objects
}

// Stats returns the counters so far.
func (d *Dump) Stats() DumpStats { return d.stats }

func (d *Dump) broken(file string, item int, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	d.stats.Broken++
	d.report(&ItemError{File: file, Item: item, Err: err})
}

// keep takes in an object. Of one that is in several files the newest state
// counts. It reports whether the object is one of a cluster: a manifest that
// was never applied has no UID.
func (d *Dump) keep(object runtime.Object) bool {
	meta, ok := object.(metav1.Object)
	if !ok {
		return false
	}
	key := string(meta.GetUID())
	if key == "" {
		if _, event := object.(*corev1.Event); !event {
			return false
		}
		key = "Event/" + meta.GetNamespace() + "/" + meta.GetName()
	}
	slim(object, meta)
	if known, ok := d.objects[key].(metav1.Object); ok && writtenAfter(known, meta) {
		return true
	}
	d.objects[key] = object
	return true
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
	if len(meta.GetManagedFields()) == 0 {
		for i := range fields {
			fields[i].FieldsV1 = nil
		}
		meta.SetManagedFields(fields)
	}
}

// CountKinds says how many objects there are of which kind, the most first,
// such as "12 Pods, 3 Deployments".
func CountKinds(objects []runtime.Object) string {
	count := map[string]int{}
	for _, o := range objects {
		count[o.GetObjectKind().GroupVersionKind().Kind]++
	}
	kinds := slices.Sorted(maps.Keys(count))
	slices.SortStableFunc(kinds, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
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
	return strings.Join(parts, ", ")
}

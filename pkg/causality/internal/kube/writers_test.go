package kube

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// written is an entry of managedFields.
func written(manager string, second int64, fields string) metav1.ManagedFieldsEntry {
	at := metav1.Unix(second, 0)
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Time: &at,
		FieldsV1: metav1.NewFieldsV1(fields),
	}
}

// TestOfEqualTimesWhoGainedMostWrote holds that writes within one second are told apart by
// what each manager owned before, and that of two entries for one manager the last counts.
func TestOfEqualTimesWhoGainedMostWrote(t *testing.T) {
	const less, more = `{"f:spec":{"f:replicas":{}}}`, `{"f:spec":{"f:paused":{},"f:replicas":{}}}`
	before := ReadWriters([]metav1.ManagedFieldsEntry{
		written("helm", 5, less), written("kubectl", 5, less), written("kubectl", 5, more),
	})
	now := []metav1.ManagedFieldsEntry{written("kubectl", 5, more), written("helm", 5, more)}
	if who := WriterOf(now, `"f:replicas"`, before); who.Manager != "helm" || who.Gained != len(more)-len(less) {
		t.Errorf("%s is who wrote, with a gain of %d", who.Manager, who.Gained)
	}
	now = append(now, written("argo", 6, less))
	if who := WriterOf(now, `"f:replicas"`, before); who.Manager != "argo" || !who.At.Equal(time.Unix(6, 0)) {
		t.Errorf("%s is who wrote, at %s", who.Manager, who.At)
	}
}

// TestWhoWroteIsReadInPlace holds that managedFields, which may be longer than all else in an
// object, are not copied to find out who wrote it.
func TestWhoWroteIsReadInPlace(t *testing.T) {
	long := `{"f:spec":{"f:replicas":{}`
	for i := range 1000 {
		long += fmt.Sprintf(`,"f:other-%d":{}`, i)
	}
	fields := []metav1.ManagedFieldsEntry{written("helm", 5, long+"}}"), written("kubectl", 6, long+"}}")}
	before := ReadWriters(fields)
	if n := testing.AllocsPerRun(100, func() { Writer(fields, false, before); Writer(fields, true, before) }); n != 0 {
		t.Errorf("to read who wrote takes %v allocations, want none", n)
	}
	if n := testing.AllocsPerRun(100, func() { ReadWriters(fields) }); n > 1 {
		t.Errorf("to keep what each manager owns takes %v allocations, want one", n)
	}
}

package podlife

import (
	"testing"
	"unsafe"
)

// TestRecordsAreSmall holds what of a record is the same for each pod, and for each of its containers
// and Events. Go allocates in classes: with 8 bytes more a pod takes 256 more, a container 32, and an
// Event 16.
func TestRecordsAreSmall(t *testing.T) {
	for _, record := range []struct {
		of         string
		size, most uintptr
	}{
		{"a Pod", unsafe.Sizeof(Pod{}), 1536},
		{"a Container", unsafe.Sizeof(Container{}), 288},
		{"an Event", unsafe.Sizeof(Event{}), 240},
		{"an Occurrence", unsafe.Sizeof(Occurrence{}), 96},
	} {
		if record.size > record.most {
			t.Errorf("the record of %s has %d bytes, want at most %d", record.of, record.size, record.most)
		}
	}
}

package podlife

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
)

// Containers are found by name however many there are, of a name the first.
func TestContainersAreFoundByName(t *testing.T) {
	for _, n := range []int{1, fewContainers, fewContainers + 1, 500} {
		pod := &Pod{}
		in := &corev1.Pod{}
		for i := range n {
			in.Spec.Containers = append(in.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i/2), Image: fmt.Sprint(i)})
		}
		pod.ObserveContainers(in, time.Time{}, time.Unix(1, 0))
		for i := range n {
			if container := pod.container(fmt.Sprint("c", i/2)); container == nil || container.Image != fmt.Sprint(i/2*2) {
				t.Errorf("of %d containers, %d is not found: %v", n, i, container)
			}
		}
		if container := pod.container("other"); container != nil {
			t.Errorf("%v is found", container)
		}
	}
}

// One text that a container waits with, or an Event repeats with, is there once
// however often it comes, as those that were decoded with it are not needed.
func TestRepeatedTextsAreSharedInMemory(t *testing.T) {
	container := &Container{}
	at := time.Unix(1, 0)
	messages := map[*byte]bool{}
	for i := range 4 * MaxTransitions {
		container.wait([]string{"ErrImagePull", "ImagePullBackOff"}[i%2], strings.Clone(strings.Repeat("m", 1000)), at, at)
	}
	for _, w := range container.Waits {
		messages[unsafe.StringData(w.message)] = true
	}
	if len(container.Waits) != MaxTransitions || len(messages) != 1 {
		t.Errorf("%d waits have %d copies of one text", len(container.Waits), len(messages))
	}
	clear(messages)
	ev := &Event{Occurrences: []Occurrence{{Count: 1, At: at, Message: strings.Repeat("m", 1000)}}}
	for i := range int32(3 * maxOccurrences) {
		ev.Add(Occurrence{Count: 2 + i, At: at, Message: strings.Repeat("m", 1000)})
	}
	for _, o := range ev.Occurrences {
		messages[unsafe.StringData(o.Message)] = true
	}
	if len(ev.Occurrences) != maxOccurrences || len(messages) != 1 {
		t.Errorf("%d occurrences have %d copies of one text", len(ev.Occurrences), len(messages))
	}
}

// TestImageOfAFailedPull: of the images that a message may be about, the one that it names.
func TestImageOfAFailedPull(t *testing.T) {
	for _, c := range []struct {
		image   string
		volumes []string
		message string
		now     string // its image since then
		want    string
	}{
		{"app:1", nil, `failed to resolve reference "docker.io/library/other:1": not found`, "", "app:1: not found"},
		{"app:1", []string{"data:nope"}, `failed to resolve reference "docker.io/library/data:nope": not found`, "", "data:nope: not found"},
		{"app:1", []string{"data:nope"}, `failed to resolve reference "docker.io/library/app:1": not found`, "", "app:1: not found"},
		{"app", []string{"app-data"}, `Back-off pulling image "app-data:latest": ErrImagePull: not found`, "", "app-data: not found"},
		{"app", []string{"app-data"}, `Back-off pulling image "app:latest": ErrImagePull: not found`, "", "app: not found"},
		{"registry/app:1", []string{"data:1", "data:2"}, `Back-off pulling image "data:2": ErrImagePull: denied`, "", "data:2: denied"},
		{"app:1", []string{"data:nope"}, "", "", ""},
		{"app:1", nil, "", "", "app:1"},
		{"app:2-typo", nil, `Back-off pulling image "app:2-typo": ErrImagePull: not found`, "app:2", "app:2-typo: not found"},
		{"app:2-typo", nil, `Back-off pulling image "app:2": ErrImagePull: denied`, "app:2", "app:2: denied"},
		{"app:1", []string{"data:nope"}, `Back-off pulling image "data:nope": ErrImagePull: denied`, "app:2", "data:nope: denied"},
		{"app:1", nil, "", "app:2", ""},
	} {
		in := &corev1.Pod{}
		for _, ref := range c.volumes {
			in.Spec.Volumes = append(in.Spec.Volumes, corev1.Volume{VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: ref}}})
		}
		container := newContainer(in, &corev1.Container{Name: "app", Image: c.image}, volumeImagesOf(in))
		if c.now != "" {
			container.changeImage(c.now)
		}
		if got := container.explain("ImagePullBackOff", c.message); got != c.want {
			t.Errorf("of %s with the volumes %v, %q is explained as %q, want %q", c.image, c.volumes, c.message, got, c.want)
		}
	}
}

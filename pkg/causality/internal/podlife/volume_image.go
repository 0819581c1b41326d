package podlife

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A volume of a pod may be an image (KEP-4639). The kubelet pulls it before it starts containers. If it
// cannot, it says so in the status of each container that mounts the volume, with the reasons by which it
// says that it cannot pull the image of a container. Only the message names the image.

// volumeImages are the references of the volumes of a pod that are images.
type volumeImages []string

// volumeImagesOf are those of a pod; nil if it has none.
func volumeImagesOf(in *corev1.Pod) *volumeImages {
	var images volumeImages
	for i := range in.Spec.Volumes {
		if image := in.Spec.Volumes[i].Image; image != nil && image.Reference != "" {
			images = append(images, image.Reference)
		}
	}
	if images == nil {
		return nil
	}
	return &images
}

// imageIn is the image that a message about a pull for the container names: that of a volume, or else its
// own. The kubelet and the runtime complete references at either end, with a registry and a tag. So of
// several that the message has, the longest is the one that is meant. It is "" where nothing is named, and
// a volume may be meant.
func (c *Container) imageIn(message string) string {
	if c.volumeImages == nil {
		return c.Image
	}
	if message == "" {
		return ""
	}
	longest := ""
	for _, image := range append([]string{c.Image}, *c.volumeImages...) {
		if len(image) > len(longest) && strings.Contains(message, image) {
			longest = image
		}
	}
	if longest == "" {
		return c.Image
	}
	return longest
}

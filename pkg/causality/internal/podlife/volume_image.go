package podlife

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A volume of a pod may be an image (KEP-4639). The kubelet pulls it before it starts containers. If it
// cannot, it says so in the status of each container that mounts the volume, with the reasons by which it
// says that it cannot pull the image of a container. Only the message names the image.

// otherImages are those besides its own that a message about a pull for a container may be about: the volumes of
// its pod that are images, and what its own was before.
type otherImages []string

// mostOtherImages is how many are kept of a container whose image changes again and again.
const mostOtherImages = 32

// volumeImagesOf are those of a pod; nil if it has none.
func volumeImagesOf(in *corev1.Pod) *otherImages {
	var images otherImages
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

// changeImage gives the container another image: the one field of it that may change ("kubectl set image pod/one
// web=web:2"). What it was may be named by a message yet.
func (c *Container) changeImage(image string) {
	if image == "" || image == c.Image {
		return
	}
	var others otherImages // the pod's containers share theirs
	if c.otherImages != nil {
		others = slices.Clone(*c.otherImages)
	}
	if len(others) < mostOtherImages && c.Image != "" && !slices.Contains(others, c.Image) {
		others = append(others, c.Image)
	}
	c.otherImages, c.Image = &others, image
}

// imageIn is the image that a message about a pull for the container names: that of a volume, or else its
// own. The kubelet and the runtime complete references at either end, with a registry and a tag. So of
// several that the message has, the longest is the one that is meant. It is "" where nothing is named, and
// another may be meant.
func (c *Container) imageIn(message string) string {
	if c.otherImages == nil {
		return c.Image
	}
	if message == "" {
		return ""
	}
	longest := ""
	for _, image := range append([]string{c.Image}, *c.otherImages...) {
		if len(image) > len(longest) && strings.Contains(message, image) {
			longest = image
		}
	}
	if longest == "" {
		return c.Image
	}
	return longest
}

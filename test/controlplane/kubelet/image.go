package kubelet

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"
)

// An imageStore is what a node has pulled. It pulls one image at a time, as
// kubelets do unless told otherwise, so that pods queue for it.
type imageStore struct {
	pulling chan struct{}

	mu      sync.Mutex
	present map[string]bool
}

// repull is how long it takes to learn that an image is there already, or that no
// registry has it.
const repull = 5 * time.Millisecond

func (s *imageStore) init() {
	s.pulling = make(chan struct{}, 1)
	s.present = map[string]bool{}
}

func (s *imageStore) has(image string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.present[image]
}

// pull takes that long, once it is its turn, and says how long that was and how
// long all of it was.
func (s *imageStore) pull(ctx context.Context, image string, takes time.Duration) (pulling, all time.Duration, err error) {
	asked := time.Now()
	select {
	case s.pulling <- struct{}{}:
		defer func() { <-s.pulling }()
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	begun := time.Now()
	if s.has(image) || missing(image) {
		takes = min(takes, repull)
	}
	if err := sleep(ctx, takes); err != nil {
		return 0, 0, err
	}
	if missing(image) {
		return 0, 0, fmt.Errorf("rpc error: code = NotFound desc = failed to pull and unpack image %[1]q: failed to resolve image: %[1]s: not found", image)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present[image] = true
	return time.Since(begun), time.Since(asked), nil
}

// missing tells the images that no registry has.
func missing(image string) bool {
	_, tag := splitImage(image)
	return tag == "missing" || tag == "nope"
}

// splitImage parts the tag from the rest; a colon before the last slash belongs
// to a port.
func splitImage(image string) (repository, tag string) {
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		return image[:colon], image[colon+1:]
	}
	return image, "latest"
}

// imageID is made of the name, so that the same image has one ID everywhere.
func imageID(image string) string {
	repository, _ := splitImage(image)
	return fmt.Sprintf("%s@sha256:%x", repository, sha256.Sum256([]byte(image)))
}

// imageSize is a plausible size, the same for an image each time.
func imageSize(image string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(image))
	return 5<<20 + h.Sum32()%(200<<20)
}

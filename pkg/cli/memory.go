package cli

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// minMemory is the least that --max-memory may be: what the program takes itself, and
// objects of the size that there are.
const minMemory = 64 << 20

// parseMemory reads an amount of memory as Kubernetes writes it, such as 2Gi, in bytes.
func parseMemory(flag, s string) (int64, error) {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return 0, fmt.Errorf("--%s: %q is not an amount of memory, such as 2Gi", flag, s)
	}
	if q.CmpInt64(minMemory) < 0 {
		return 0, fmt.Errorf("--%s: %s is too little; it must be %dMi or more", flag, s, minMemory>>20)
	}
	if q.CmpInt64(math.MaxInt64) >= 0 {
		return 0, fmt.Errorf("--%s: %s is more than there can be", flag, s)
	}
	return q.Value(), nil
}

// minDataDir is the least that --data-dir-max-bytes may be.
const minDataDir = 16 << 20

// parseDataDirBytes reads how much a data directory may take, such as 1Gi, in bytes.
func parseDataDirBytes(s string) (int64, error) {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return 0, fmt.Errorf("--data-dir-max-bytes: %q is not a number of bytes, such as 1Gi", s)
	}
	if q.CmpInt64(minDataDir) < 0 || q.CmpInt64(math.MaxInt64) >= 0 {
		return 0, fmt.Errorf("--data-dir-max-bytes: %s is not a size that it may be; it must be %dMi or more", s, minDataDir>>20)
	}
	return q.Value(), nil
}

// memoryLimit is how much memory the program may take. What an engine keeps and
// Reconstruct makes nobody can tell beforehand, so that it is measured: by what the
// garbage collector finds in use, which it has to look for when there is little left.
type memoryLimit struct {
	most int64 // bytes
}

// Where nearly half of the memory is in use no more is taken in, as what is left has
// to do for the spans of what is there; where it is three quarters nothing helps.
const (
	enoughUsed = 0.4
	lookAt     = 0.5 // is when to look, in use or not
	allUsed    = 0.75
)

// hold has the garbage collector keep to the limit, until release is called.
func (l memoryLimit) hold() (release func()) {
	before := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(before, l.most/8*7))
	return func() { debug.SetMemoryLimit(before) }
}

// enough reports whether no more is to be taken in.
func (l memoryLimit) enough() bool {
	if measured("/memory/classes/heap/objects:bytes") < lookAt*float64(l.most) {
		return false
	}
	runtime.GC()
	return measured(inUse) > enoughUsed*float64(l.most)
}

// exceeded reports whether all of it is in use. It looks again, as all that is made
// while the garbage collector looks seems to be in use.
func (l memoryLimit) exceeded() bool {
	over := func() bool { return measured(inUse) > allUsed*float64(l.most) }
	if !over() {
		return false
	}
	runtime.GC()
	return over()
}

// inUse is what the garbage collector found in use when it looked last.
const inUse = "/gc/heap/live:bytes"

// measured is what the runtime says of the program's memory, in bytes.
func measured(what string) float64 {
	sample := []metrics.Sample{{Name: what}}
	metrics.Read(sample)
	return float64(sample[0].Value.Uint64())
}

// within returns what do returns; ok is false if that takes all of the memory. Then do
// is left alone, since nothing else stops it: the program has to end.
func within[T any](l memoryLimit, do func() T) (result T, ok bool) {
	type outcome struct {
		result T
		panic  any
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.panic = fmt.Sprintf("%v\n\n%s", p, debug.Stack()) // the caller's stack does not show where
			}
			done <- o
		}()
		o.result = do()
	}()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case o := <-done:
			if o.panic != nil {
				panic(o.panic)
			}
			return o.result, true
		case <-look.C:
			if l.exceeded() {
				return result, false
			}
		}
	}
}

package kubelet

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Prefix begins the annotations by which a pod says what becomes of it.
const Prefix = "kubelet.test/"

// The annotations without their prefix; the package comment says what each is.
const (
	keySandbox    = "sandbox"
	keyPull       = "pull"
	keyInit       = "init"
	keyBoot       = "boot"
	keyHang       = "hang"
	keyRun        = "run"
	keyExitCode   = "exit-code"
	keyExitReason = "exit-reason"
	keyFailures   = "failures"
	keyPreStop    = "pre-stop"
	keyStop       = "stop"
	keyStopCode   = "stop-code"
	keyBackOff    = "back-off"
)

// settings are a pod's annotations, checked.
type settings struct {
	durations map[string]time.Duration
	codes     map[string]int32
	numbers   map[string]int
	reasons   map[string]string
}

// parseSettings refuses what it does not know: a misspelled annotation would
// otherwise be a test that tests nothing.
func parseSettings(annotations map[string]string) (settings, error) {
	s := settings{
		durations: map[string]time.Duration{}, codes: map[string]int32{},
		numbers: map[string]int{}, reasons: map[string]string{},
	}
	for annotation, value := range annotations {
		key, ours := strings.CutPrefix(annotation, Prefix)
		if !ours {
			continue
		}
		kind, _, _ := strings.Cut(key, ".")
		switch kind {
		case keySandbox, keyPull, keyInit, keyBoot, keyHang, keyRun, keyPreStop, keyStop, keyBackOff:
			d, err := time.ParseDuration(value)
			if err != nil || d < 0 {
				return settings{}, fmt.Errorf("annotation %s: %q is no duration", annotation, value)
			}
			s.durations[key] = d
		case keyExitCode, keyStopCode:
			code, err := strconv.ParseUint(value, 10, 8)
			if err != nil {
				return settings{}, fmt.Errorf("annotation %s: %q is no exit code", annotation, value)
			}
			s.codes[key] = int32(code)
		case keyFailures:
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return settings{}, fmt.Errorf("annotation %s: %q is no number", annotation, value)
			}
			s.numbers[key] = n
		case keyExitReason:
			s.reasons[key] = value
		default:
			return settings{}, fmt.Errorf("annotation %s is unknown", annotation)
		}
	}
	return s, nil
}

// lookup prefers the container's own setting to the pod's.
func lookup[T any](from map[string]T, key, container string) (T, bool) {
	if v, ok := from[key+"."+container]; ok {
		return v, true
	}
	v, ok := from[key]
	return v, ok
}

func (s settings) duration(key, container string, otherwise time.Duration) time.Duration {
	if d, ok := lookup(s.durations, key, container); ok {
		return d
	}
	return otherwise
}

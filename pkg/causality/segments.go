package causality

import (
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// segment is one thing the kubelet did for a container.
type segment struct {
	name        string
	from, until time.Time
	failure     *failure
	attrs       []attribute.KeyValue
}

// segments reads a container's marks in order and returns what went on
// between them, up to end.
func (l *containerLine) segments(end time.Time) []segment {
	s := segmenter{line: l, idle: l.begin}
	for _, m := range l.marks {
		if m.at.After(end) {
			break
		}
		s.next(m)
	}
	s.finish(end)
	return s.out
}

// segmenter is a small state machine: at any time the kubelet is pulling the
// image, starting the container, running it, or backing off from a failure.
type segmenter struct {
	line *containerLine
	out  []segment

	idle     time.Time // nothing in particular since; work that shows now may have begun then
	pulling  time.Time // a pull is on since
	starting time.Time // the image is there since
	backOff  time.Time // backing off since
	why      failure   // why it backs off
	running  *mark     // the start of the run that is on
}

func (s *segmenter) next(m mark) {
	switch m.kind {
	case markPulling:
		s.endBackOff(m.at)
		if s.pulling.IsZero() {
			s.pulling = m.at
		}
	case markPulled:
		s.endBackOff(m.at)
		s.pulled(m)
	case markFailed:
		s.failed(m)
	case markCreated:
		s.endBackOff(m.at)
		if s.starting.IsZero() {
			s.starting = s.idle
		}
	case markStarted:
		s.endBackOff(m.at)
		s.closePull(m.at, nil)
		if s.starting.IsZero() {
			s.starting = s.idle
		}
		s.emit(segment{name: "start container", from: s.starting, until: m.at})
		s.starting = time.Time{}
		s.idle = m.at
		s.running = &m
	case markTerminated:
		s.terminated(m)
	}
}

func (s *segmenter) emit(g segment) {
	if g.until.Before(g.from) {
		g.until = g.from
	}
	s.out = append(s.out, g)
	s.idle = g.until
}

func (s *segmenter) pulled(m mark) {
	pulling, waiting, ok := pullTimes(m.message)
	if !s.pulling.IsZero() {
		g := segment{name: "pull image", from: s.pulling, until: m.at}
		if ok && waiting > pulling {
			g.attrs = append(g.attrs, seconds(keyPullWaiting, waiting-pulling))
		}
		if size := imageSize.FindStringSubmatch(m.message); size != nil {
			if n, err := strconv.ParseInt(size[1], 10, 64); err == nil {
				g.attrs = append(g.attrs, keyImageSize.Int64(n))
			}
		}
		s.emit(g)
	}
	s.pulling = time.Time{}
	s.starting = m.at
}

// closePull ends a pull that is on, because the container has come further or
// because the pull failed.
func (s *segmenter) closePull(at time.Time, f *failure) {
	if s.pulling.IsZero() {
		return
	}
	s.emit(segment{name: "pull image", from: s.pulling, until: at, failure: f})
	s.pulling = time.Time{}
}

func (s *segmenter) failed(m mark) {
	f := failure{reason: m.reason, message: s.line.explain(m.reason, m.message)}
	switch {
	case !s.backOff.IsZero():
		if m.reason != "" {
			s.why = f // the status names the reason
			s.nameFailure(f)
		}
		return
	case s.running != nil:
		return
	case !s.pulling.IsZero():
		if m.reason == "" || m.reason == "ImagePullBackOff" {
			f = failure{reason: "ErrImagePull", message: s.line.explain("ErrImagePull", m.message)}
		}
		s.closePull(m.at, &f)
	case !s.starting.IsZero():
		if m.reason == "" {
			f = s.line.startFailure(m.message)
		}
		s.emit(segment{name: "start container", from: s.starting, until: m.at, failure: &f})
		s.starting = time.Time{}
	default:
		// Only the status tells: the attempt took the time since.
		name := "start container"
		if isPullFailure(f.reason) {
			name = "pull image"
		}
		if f.reason == "" {
			f = failure{reason: "Error", message: strings.TrimPrefix(m.message, "Error: ")}
		}
		s.emit(segment{name: name, from: s.idle, until: m.at, failure: &f})
	}
	s.why = f
	s.backOff = m.at
}

// nameFailure gives the failed attempt the reason that the status states; the
// Events say it in words only.
func (s *segmenter) nameFailure(f failure) {
	if n := len(s.out); n > 0 && s.out[n-1].failure != nil && f.reason != "ImagePullBackOff" && f.reason != "CrashLoopBackOff" {
		s.out[n-1].failure = &f
	}
}

// startFailure gives an Event's words, "Error: configmap "x" not found", the
// reason that the status states with the same words.
func (c *container) startFailure(message string) failure {
	message = strings.TrimPrefix(message, "Error: ")
	for _, w := range c.waits {
		if w.message == message {
			return failure{w.reason, message}
		}
	}
	return failure{"CreateContainerError", message}
}

func isPullFailure(reason string) bool {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable", "ImageInspectError":
		return true
	}
	return false
}

func (s *segmenter) terminated(m mark) {
	from := s.idle
	if s.running != nil {
		from = s.running.at
	}
	r := m.run
	g := segment{
		name: "run container", from: from, until: m.at,
		attrs: []attribute.KeyValue{
			semconv.ProcessExitCode(int(r.exitCode)),
			semconv.K8SContainerRestartCount(int(r.restart)),
		},
	}
	if r.exitCode != 0 {
		g.failure = &failure{reason: r.endReason(), message: r.exit()}
	}
	s.emit(g)
	s.running = nil
	s.starting = time.Time{}
	if r.exitCode == 0 && (s.line.init || s.line.finite) || s.line.never {
		return
	}
	s.backOff = m.at
	s.why = failure{reason: "CrashLoopBackOff"}
}

// endBackOff closes the waiting that went on until the kubelet's next try.
func (s *segmenter) endBackOff(at time.Time) {
	if s.backOff.IsZero() {
		return
	}
	g := segment{name: "back off", from: s.backOff, until: at}
	if s.why.reason != "" {
		reason := s.why.reason
		if reason == "ErrImagePull" {
			reason = "ImagePullBackOff"
		}
		g.attrs = append(g.attrs, keyWaiting.String(reason))
	}
	s.emit(g)
	s.backOff = time.Time{}
}

// finish closes what was going on at the end.
func (s *segmenter) finish(end time.Time) {
	switch {
	case !s.backOff.IsZero():
		s.endBackOff(end)
	case !s.pulling.IsZero():
		s.closePull(end, nil)
	case !s.starting.IsZero() && s.starting.Before(end):
		s.emit(segment{name: "start container", from: s.starting, until: end})
	case (s.line.init || s.line.finite) && s.running != nil && s.running.at.Before(end):
		s.emit(segment{name: "run container", from: s.running.at, until: end})
	}
}

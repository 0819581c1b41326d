package causality

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// segment is one thing the kubelet did for a container.
type segment struct {
	kind        kind.Kind
	from, until time.Time
	failure     *failure
	attrs       []attribute.KeyValue
}

// segments reads a container's marks in order and returns what went on
// between them, up to end.
func (l *containerLine) segments(end time.Time) []segment {
	s := l.segmenter(end)
	s.finish(end)
	return s.out
}

// backingOff is why the kubelet was backing off from a container at a time.
func (l *containerLine) backingOff(at time.Time) (why failure, ok bool) {
	s := l.segmenter(at)
	return s.why, !s.backOff.IsZero()
}

func (l *containerLine) segmenter(until time.Time) segmenter {
	s := segmenter{line: l, idle: l.begin}
	for _, m := range l.marks {
		if m.at.After(until) {
			break
		}
		s.next(m)
	}
	return s
}

// segmenter is a small state machine: at any time the kubelet is pulling the
// image, starting the container, running it, or backing off from a failure.
type segmenter struct {
	line *containerLine
	out  []segment

	idle     time.Time // nothing in particular since; work that shows now may have begun then
	pulling  time.Time // a pull is on since
	starting time.Time // the image is there since
	created  bool      // the runtime has created the container it is to start
	backOff  time.Time // backing off since
	why      failure   // why it backs off
	running  *mark     // the start of the run that is on
	done     bool      // the last run was the last one, unless all of the pod is run again
	ordered  bool      // the kubelet ended the last run, to start the container anew
}

func (s *segmenter) next(m mark) {
	if m.ended {
		s.unseen(m.at)
	}
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
		s.begin(m.at)
		s.created = true
	case markStarted:
		s.crashedBefore(m)
		s.endBackOff(m.at)
		s.closePull(m.at, nil)
		s.begin(m.at)
		s.emit(segment{kind: kind.StartContainer, from: s.starting, until: m.at})
		s.starting, s.created = time.Time{}, false
		s.idle = m.at
		s.running = &m
	case markBooted:
		s.booted(m.at)
	case markTerminated:
		s.terminated(m)
	case markBackOff:
		if m.ended {
			s.crashed(m.at)
		}
	}
}

// begin notes that the container is being started. Where nothing shows since when, it
// is since there was nothing else to do, or, if it was done with, since now.
func (s *segmenter) begin(now time.Time) {
	switch {
	case !s.starting.IsZero():
	case s.done:
		s.starting = now
	default:
		s.starting = s.idle
	}
	s.done, s.ordered = false, false
}

// unseen ends a run of whose end only what came after it tells.
func (s *segmenter) unseen(at time.Time) {
	if s.running == nil {
		return
	}
	s.emit(segment{kind: kind.RunContainer, from: s.running.at, until: at, failure: &failure{"Error", "it ended, and nothing says how"}})
	s.running, s.starting = nil, time.Time{}
}

// crashed begins the wait after a run that failed.
func (s *segmenter) crashed(at time.Time) {
	s.starting, s.created = time.Time{}, false
	s.backOff, s.why = at, failure{reason: "CrashLoopBackOff"}
}

// crashedBefore looks at a restart that only the status tells of. Where a container
// was to be started long before it, that was another run, which has crashed: the
// Events of both are lost, as the kubelet's recorder keeps back those of a busy pod.
func (s *segmenter) crashedBefore(m mark) {
	if m.exact || m.run == nil || m.run.restart == 0 || s.running != nil || s.done || s.ordered || !s.backOff.IsZero() || !s.pulling.IsZero() {
		return
	}
	if from := cmp.Or(s.starting, s.idle); m.at.Sub(from) >= backOffPeriod {
		s.crashed(from)
	}
}

// booted ends the wait for a sidecar to pass its startup probe: what comes next
// waits for it, too. Other containers' probes are part of becoming ready.
func (s *segmenter) booted(at time.Time) {
	if s.line.sidecar && s.line.hasStartupProbe && s.running != nil {
		s.emit(segment{kind: kind.StartupProbe, from: s.running.at, until: at})
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
		g := segment{kind: kind.PullImage, from: s.pulling, until: m.at}
		if ok && waiting > pulling {
			g.attrs = append(g.attrs, seconds(attr.PullWaitingKey, waiting-pulling))
		}
		if size := imageSize.FindStringSubmatch(m.message); size != nil {
			if n, err := strconv.ParseInt(size[1], 10, 64); err == nil {
				g.attrs = append(g.attrs, attr.ImageSizeKey.Int64(n))
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
	s.emit(segment{kind: kind.PullImage, from: s.pulling, until: at, failure: f})
	s.pulling = time.Time{}
}

func (s *segmenter) failed(m mark) {
	f := s.named(m)
	s.created = false
	g := segment{until: m.at, failure: &f}
	if m.run != nil {
		g.attrs = m.run.attributes()
	}
	if m.run != nil {
		s.endBackOff(m.at) // another attempt
	}
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
		// An Event may say what the registry answered, or the reason alone.
		if m.reason == "" && !isPullFailure(f.reason) || f.reason == "ImagePullBackOff" {
			f = failure{reason: "ErrImagePull", message: s.line.explain("ErrImagePull", m.message)}
		}
		s.closePull(m.at, &f)
	case !s.starting.IsZero():
		g.kind, g.from = kind.StartContainer, s.starting
		s.emit(g)
		s.starting = time.Time{}
	default:
		// Only the status tells: the attempt took the time since.
		g.kind, g.from = kind.StartContainer, s.idle
		if isPullFailure(f.reason) {
			g.kind = kind.PullImage
		}
		s.emit(g)
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

// named gives what an Event says in words, "Error: configmap "x" not found" or
// "Error: InvalidImageName", the reason that the status states with them.
func (s *segmenter) named(m mark) failure {
	if m.reason != "" {
		return failure{m.reason, s.line.explain(m.reason, m.message)}
	}
	message := strings.TrimPrefix(m.message, "Error: ")
	for _, w := range s.line.waits {
		if w.message == message || w.reason == message {
			return failure{w.reason, s.line.explain(w.reason, w.message)}
		}
	}
	reason := "CreateContainerError"
	switch {
	case isPullFailure(message):
		reason, message = message, ""
	case s.created:
		reason = runContainerError
	}
	return failure{reason, s.line.explain(reason, message)}
}

func isPullFailure(reason string) bool {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
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
		kind: kind.RunContainer, from: from, until: m.at, attrs: r.attributes(), failure: m.failure,
	}
	s.emit(g)
	s.running = nil
	s.starting = time.Time{}
	if m.stopped || m.last || m.ordered || !s.line.policy.restarts(r.exitCode) {
		s.done, s.ordered = !s.line.policy.restarts(r.exitCode), m.ordered
		return
	}
	s.crashed(m.at)
}

// attributes say how a run ended.
func (r *run) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.ProcessExitCode(int(r.exitCode)),
		semconv.K8SContainerRestartCount(int(r.restart)),
	}
}

// endBackOff closes the waiting that went on until the kubelet's next try.
func (s *segmenter) endBackOff(at time.Time) {
	if s.backOff.IsZero() {
		return
	}
	g := segment{kind: kind.BackOff, from: s.backOff, until: at}
	if s.why.reason != "" {
		reason := s.why.reason
		if reason == "ErrImagePull" {
			reason = "ImagePullBackOff"
		}
		g.attrs = append(g.attrs, attr.WaitingReasonKey.String(reason))
	}
	s.emit(g)
	s.backOff = time.Time{}
}

// finish closes what was going on at the end.
func (s *segmenter) finish(end time.Time) {
	if w, _ := s.line.waitAt(end); w.reason == "CrashLoopBackOff" && !s.starting.IsZero() && end.Sub(s.starting) > startedSlack &&
		(w.until.IsZero() || !w.until.Before(end)) {
		// It has been started since, and has crashed: the Events of that are lost.
		s.crashed(s.starting)
	}
	switch {
	case !s.backOff.IsZero():
		s.endBackOff(end)
	case !s.pulling.IsZero():
		s.closePull(end, nil)
	case !s.starting.IsZero() && s.starting.Before(end):
		s.emit(segment{kind: kind.StartContainer, from: s.starting, until: end})
	case s.line.sidecar:
		if s.line.end.IsZero() {
			s.booted(end)
		}
	case (s.line.init || s.line.finite) && s.running != nil && s.running.at.Before(end):
		s.emit(segment{kind: kind.RunContainer, from: s.running.at, until: end})
	}
}

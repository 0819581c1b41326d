package podlife

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// Stage is one thing that the kubelet did for a container, and from when until when: it
// pulled the image for 3.2 seconds.
type Stage struct {
	Kind        kind.Kind
	From, Until time.Time
	Failure     *evidence.Failure
	Attrs       []attribute.KeyValue
	OfRun       bool // it ended with a run, of which Attrs has the exit code
}

// Stages reads a container's milestones in order and returns what went on
// between them, up to end.
func (l *ContainerLine) Stages(end time.Time) []Stage {
	s := l.stager(end)
	s.finish(end)
	return s.out
}

// backingOff is why the kubelet was backing off from a container at a time.
func (l *ContainerLine) backingOff(at time.Time) (why evidence.Failure, ok bool) {
	s := l.stager(at)
	return s.why, !s.backOff.IsZero()
}

func (l *ContainerLine) stager(until time.Time) stager {
	s := stager{line: l, idle: l.Begin}
	for _, m := range l.milestones {
		if m.At.After(until) {
			break
		}
		s.next(m)
	}
	return s
}

// stager is a small state machine: at any time the kubelet is pulling the
// image, starting the container, running it, or backing off from a failure.
type stager struct {
	line *ContainerLine
	out  []Stage

	idle     time.Time        // nothing in particular since; work that shows now may have begun then
	pulling  time.Time        // a pull is on since
	starting time.Time        // the image is there since
	created  bool             // the runtime has created the container it is to start
	backOff  time.Time        // backing off since
	why      evidence.Failure // why it backs off
	said     string           // the status's word for that, where it is another
	unsaid   bool             // nobody has said that it does
	running  *milestone       // the start of the run that is on
	isUp     bool             // that run has passed its startup probe
	done     bool             // the last run was the last one, unless all of the pod is run again
	ordered  bool             // the kubelet ended the last run, to start the container anew
}

func (s *stager) next(m milestone) {
	if m.ended {
		s.unseen(m.At)
	}
	switch m.Kind {
	case milestonePulling:
		s.endBackOff(m.At)
		if s.pulling.IsZero() {
			s.pulling = m.At
		}
	case milestonePulled:
		s.endBackOff(m.At)
		s.pulled(m)
	case MilestoneFailed:
		s.failed(m)
	case milestoneCreated:
		s.endBackOff(m.At)
		s.closePull(m.At, nil) // of whose end no Event is there
		s.begin(m.At)
		s.created = true
	case milestoneStarted:
		s.crashedBefore(m)
		s.endBackOff(m.At)
		s.closePull(m.At, nil)
		s.begin(m.At)
		s.emit(Stage{Kind: kind.StartContainer, From: s.starting, Until: m.At, Attrs: m.run.Identity()})
		s.starting, s.created = time.Time{}, false
		s.idle = m.At
		s.running, s.isUp = &m, false
	case milestoneBooted:
		s.booted(m.At)
	case milestoneTerminated:
		s.terminated(m)
	case MilestoneBackOff:
		if m.ended {
			s.crashed(m.At, "")
		}
		if RestartsFailed(m.message) {
			s.unsaid = false
		}
	}
}

// begin notes that the container is being started. Where nothing shows since when, it
// is since there was nothing else to do, or, if it was done with, since now.
func (s *stager) begin(now time.Time) {
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
func (s *stager) unseen(at time.Time) {
	if s.running == nil {
		return
	}
	s.emit(Stage{
		Kind: kind.RunContainer, From: s.running.At, Until: at, Attrs: s.running.run.Identity(),
		Failure: &evidence.Failure{Reason: "Error", Message: "it ended, and nothing says how"},
	})
	s.running, s.starting = nil, time.Time{}
}

// crashed begins the wait after a run that failed, for which the status has a word, or none
// yet: the kubelet restarts a container that crashed for the first time at once.
func (s *stager) crashed(at time.Time, said string) {
	s.starting, s.created = time.Time{}, false
	s.backOff, s.why, s.said, s.unsaid = at, evidence.Failure{Reason: cmp.Or(said, crashLoopBackOff)}, "", said == ""
}

// crashedBefore looks at a restart that only the status tells of. Where a container
// was to be started long before it, that was another run, which has crashed: the
// Events of both are lost, as the kubelet's recorder keeps back those of a busy pod.
func (s *stager) crashedBefore(m milestone) {
	if m.Exact || m.run == nil || m.run.Restart == 0 || s.running != nil || s.done || s.ordered || !s.backOff.IsZero() || !s.pulling.IsZero() {
		return
	}
	if from := cmp.Or(s.starting, s.idle); m.At.Sub(from) >= backOffPeriod {
		s.crashed(from, crashLoopBackOff)
		s.unsaid = !s.line.SaidBackOff(from, m.At)
	}
}

// booted ends the wait for a sidecar to pass its startup probe: what comes next
// waits for it, too. Other containers' probes are part of becoming ready.
func (s *stager) booted(at time.Time) {
	if s.line.Sidecar && s.line.HasStartupProbe && s.running != nil && !s.isUp {
		s.isUp = true
		s.emit(Stage{Kind: kind.StartupProbe, From: s.running.At, Until: at})
	}
}

func (s *stager) emit(g Stage) {
	if g.Until.Before(g.From) {
		g.Until = g.From
	}
	s.out = append(s.out, g)
	s.idle = g.Until
}

func (s *stager) pulled(m milestone) {
	pulling, waiting, ok := pullTimes(m.message)
	if !s.pulling.IsZero() {
		g := Stage{Kind: kind.PullImage, From: s.pulling, Until: m.At}
		if ok && waiting > pulling {
			g.Attrs = append(g.Attrs, evidence.Seconds(attr.PullWaitingKey, waiting-pulling))
		}
		if size := imageSize.FindStringSubmatch(m.message); size != nil {
			if n, err := strconv.ParseInt(size[1], 10, 64); err == nil {
				g.Attrs = append(g.Attrs, attr.ImageSizeKey.Int64(n))
			}
		}
		s.emit(g)
	}
	s.pulling = time.Time{}
	s.starting = m.At
}

// closePull ends a pull that is on, because the container has come further or
// because the pull failed.
func (s *stager) closePull(at time.Time, f *evidence.Failure) {
	if s.pulling.IsZero() {
		return
	}
	s.emit(Stage{Kind: kind.PullImage, From: s.pulling, Until: at, Failure: f})
	s.pulling = time.Time{}
}

func (s *stager) failed(m milestone) {
	f := s.named(m)
	s.created = false
	g := Stage{Until: m.At, Failure: &f}
	if m.run != nil {
		g.Attrs, g.OfRun = m.run.Attributes(), true
	}
	if m.run != nil {
		s.endBackOff(m.At) // another attempt
	}
	switch {
	case !s.backOff.IsZero():
		if m.reason != "" {
			s.why, s.unsaid = f, false // the status names the reason
			s.nameFailure(f)
		}
		return
	case s.running != nil:
		return
	case !s.pulling.IsZero():
		// An Event may say what the registry answered, or the reason alone.
		if m.reason == "" && !isPullFailure(f.Reason) || f.Reason == "ImagePullBackOff" {
			f = evidence.Failure{Reason: "ErrImagePull", Message: s.line.explain("ErrImagePull", m.message)}
		}
		s.closePull(m.At, &f)
	case !s.starting.IsZero():
		g.Kind, g.From = kind.StartContainer, s.starting
		s.emit(g)
		s.starting = time.Time{}
	default:
		// Only the status tells: the attempt took the time since.
		g.Kind, g.From = kind.StartContainer, s.idle
		if isPullFailure(f.Reason) {
			g.Kind = kind.PullImage
		}
		s.emit(g)
	}
	s.why, s.said, s.unsaid = f, "", false
	if m.run != nil {
		s.said = s.line.saidOfCrash(m.run)
	}
	s.backOff = m.At
}

// nameFailure gives the failed attempt the reason that the status states; the
// Events say it in words only.
func (s *stager) nameFailure(f evidence.Failure) {
	if n := len(s.out); n > 0 && s.out[n-1].Failure != nil && f.Reason != "ImagePullBackOff" && f.Reason != crashLoopBackOff {
		s.out[n-1].Failure = &f
	}
}

// named gives what an Event says in words, "Error: configmap "x" not found" or
// "Error: InvalidImageName", the reason that the status states with them.
func (s *stager) named(m milestone) evidence.Failure {
	if m.reason != "" {
		return evidence.Failure{Reason: m.reason, Message: s.line.explain(m.reason, m.message)}
	}
	message := strings.TrimPrefix(stream.EventWords(m.message), "Error: ")
	for _, w := range s.line.Waits {
		if w.message == message || w.reason == message {
			return evidence.Failure{Reason: w.reason, Message: s.line.explain(w.reason, w.message)}
		}
	}
	reason := "CreateContainerError"
	switch {
	case isPullFailure(message):
		reason, message = message, ""
	case strings.HasPrefix(message, "Failed to pull image "):
		reason = "ErrImagePull"
	case s.created:
		reason = runContainerError
	case isConfigFailure(message):
		reason = createContainerConfigError
	}
	return evidence.Failure{Reason: reason, Message: s.line.explain(reason, message)}
}

const createContainerConfigError = "CreateContainerConfigError"

// isConfigFailure reports whether the kubelet says so of what it was to make a container of
// (generateContainerConfig of k8s.io/kubernetes/pkg/kubelet/kuberuntime), rather than a runtime of
// its making: a ConfigMap, a Secret or a key of one that is not there, or a user that is not allowed.
func isConfigFailure(message string) bool {
	for _, begin := range []string{`configmap "`, `secret "`} {
		if strings.HasPrefix(message, begin) && strings.HasSuffix(message, `" not found`) {
			return true
		}
	}
	return strings.HasPrefix(message, "couldn't find key ") ||
		strings.HasPrefix(message, "container has runAsNonRoot") || strings.HasPrefix(message, "container's runAsUser breaks non-root policy")
}

func isPullFailure(reason string) bool {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
		return true
	}
	return false
}

func (s *stager) terminated(m milestone) {
	from := s.idle
	if s.running != nil {
		from = s.running.At
	}
	r := m.run
	g := Stage{
		Kind: kind.RunContainer, From: from, Until: m.At, Attrs: r.Attributes(), Failure: m.failure, OfRun: true,
	}
	s.emit(g)
	s.running = nil
	s.starting = time.Time{}
	if m.stopped || m.last || m.ordered || !s.line.policy.Restarts(r.ExitCode) {
		s.done, s.ordered = !s.line.policy.Restarts(r.ExitCode), m.ordered
		return
	}
	s.crashed(m.At, s.line.saidOfCrash(r))
}

// endBackOff closes the waiting that went on until the kubelet's next try.
func (s *stager) endBackOff(at time.Time) {
	if s.backOff.IsZero() {
		return
	}
	g := Stage{Kind: kind.BackOff, From: s.backOff, Until: at}
	// The kubelet restarts a container at once when it has crashed for the first time: nobody
	// is quoted for a wait that was none.
	if s.why.Reason != "" && (!s.unsaid || at.Sub(s.backOff) >= backOffPeriod) {
		reason := cmp.Or(s.said, s.why.Reason)
		if reason == "ErrImagePull" {
			reason = "ImagePullBackOff"
		}
		g.Attrs = append(g.Attrs, attr.WaitingReasonKey.String(reason), semconv.K8SContainerStatusReasonKey.String(reason))
	}
	s.emit(g)
	s.backOff = time.Time{}
}

// finish closes what was going on at the end.
func (s *stager) finish(end time.Time) {
	if w, _ := s.line.waitAt(end); w.reason == crashLoopBackOff && !s.starting.IsZero() && end.Sub(s.starting) > StartedSlack &&
		(w.until.IsZero() || !w.until.Before(end)) {
		// It has been started since, and has crashed: the Events of that are lost.
		s.crashed(s.starting, crashLoopBackOff)
	}
	switch {
	case !s.backOff.IsZero():
		s.endBackOff(end)
	case !s.pulling.IsZero():
		s.closePull(end, nil)
	case !s.starting.IsZero() && s.starting.Before(end):
		s.emit(Stage{Kind: kind.StartContainer, From: s.starting, Until: end})
	case s.line.Sidecar:
		if s.line.End.IsZero() {
			s.booted(end)
		}
	case (s.line.Init || s.line.finite) && s.running != nil && s.running.At.Before(end):
		s.emit(Stage{Kind: kind.RunContainer, From: s.running.At, Until: end, Attrs: s.running.run.Identity()})
	}
}

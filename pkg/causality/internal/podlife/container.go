package podlife

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
)

// MaxRuns bounds what is kept of a container that crashes for days.
const MaxRuns = 64

// Container is what the engine keeps of one container of a pod.
type Container struct {
	Name        string
	Image       string
	imageID     string
	otherImages *otherImages // nil if there are none

	policy kube.RestartPolicy

	Init              bool
	Sidecar           bool // an init container with restartPolicy Always
	HasStartupProbe   bool
	HasReadinessProbe bool
	HasPreStop        bool
	ready             bool          // what the status says of its readiness
	readySeen         time.Time     // when the news of that came
	probePeriod       time.Duration // the longest of its startup and readiness probes; zero without any
	longestKill       time.Duration // see longestKill
	// probeGap and killReach are how far apart the failures of its probes are, and how long
	// after one it may end for that: see readProbes.
	probeGap, killReach time.Duration

	Runs  []*Run
	Waits []wait
	// Forgotten counts the runs after the first that were dropped, as there were more than
	// MaxRuns.
	Forgotten int

	Ledger ledger.Container
}

// Run is one life of a container, from started to terminated.
type Run struct {
	ID       string // the containerID of the status, which tells runs apart
	Restart  int32  // the restartCount it ran under
	Started  evidence.Moment
	booted   evidence.Moment // passed its startup probe, where it has one
	Finished evidence.Moment
	Seen     time.Time // arrival of its end
	ExitCode int32
	Reason   string
	// refusal is the runtime's message about a container that it created and
	// could not start.
	refusal string
	// Vanished says that its end was not seen: by Finished it was over.
	Vanished bool
}

// The exit codes of what these signals ended.
const (
	exitSIGKILL = 128 + 9
	exitSIGTERM = 128 + 15
)

// lastRun is the latest run of the container, nil if it has not run.
func (c *Container) lastRun() *Run {
	if len(c.Runs) == 0 {
		return nil
	}
	return c.Runs[len(c.Runs)-1]
}

// Words are what the runs of a container keep of one, each text once.
func (r *Run) Words() (reason, message string) { return r.Reason, r.refusal }

// Over reports whether the run is known to have ended.
func (r *Run) Over() bool { return r.Finished.Known() }

// NeverRan reports whether the runtime could not start the container: it has
// an exit code, but never ran.
func (r *Run) NeverRan() bool {
	return r.Over() && !r.Started.Known() && couldNotStart(r.Reason)
}

// couldNotStart knows the words of containerd and CRI-O, and of dockershim.
func couldNotStart(reason string) bool {
	return reason == "StartError" || reason == "ContainerCannotRun"
}

// wait is a waiting state of a container that has a reason worth telling:
// CrashLoopBackOff.
type wait struct {
	reason  string
	message string
	from    evidence.Moment
	until   time.Time // arrival of the next other state; zero while it lasts
	// after is the restart count of the run that had ended last when the status said so: it
	// speaks of what came after that, however late it arrives. It is -1 if there is none.
	after int32
}

// Words are what the waits of a container keep of one, each text once.
func (w wait) Words() (reason, message string) { return w.reason, w.message }

// OrdinaryWait says that a container only waits for its turn.
func OrdinaryWait(reason string) bool {
	return reason == "" || reason == "ContainerCreating" || reason == "PodInitializing" || reason == RestartingAll
}

// IsDone reports whether an init container was done with a run, and not begun
// again because of it.
func (c *Container) IsDone(r *Run) bool { return c.Init && !c.Sidecar && r.ExitCode == 0 }

// staysEnded reports whether nothing is started again because of the end of the run at i: an init container was done
// with it, or it is the last one, by the restart policy of the container's own or of its pod (KEP-5307). If all
// containers of the pod are restarted, there is another all the same.
func (c *Container) staysEnded(i int) bool {
	r := c.Runs[i]
	return c.IsDone(r) || i == len(c.Runs)-1 && r.Reason != RestartingAll && !c.policy.Restarts(r.ExitCode)
}

// container is the container of a name, nil if the pod has none, as of one that is ephemeral.
func (p *Pod) container(name string) *Container {
	if len(p.Containers) > fewContainers {
		return p.manyContainers[name]
	}
	i := slices.IndexFunc(p.Containers, func(container *Container) bool { return container.Name == name })
	if i < 0 {
		return nil
	}
	return p.Containers[i]
}

// fewContainers are found faster one by one. There may be thousands in a pod.
const fewContainers = 32

// ObserveContainers takes in what a state of the pod says of its containers.
func (p *Pod) ObserveContainers(in *corev1.Pod, arrival, seen time.Time) {
	if p.Containers == nil {
		images := volumeImagesOf(in)
		for i := range in.Spec.InitContainers {
			s := &in.Spec.InitContainers[i]
			container := newContainer(in, s, images)
			container.Init = true
			container.Sidecar = s.RestartPolicy != nil && *s.RestartPolicy == corev1.ContainerRestartPolicyAlways
			if !container.Sidecar && container.policy.Otherwise == corev1.ContainerRestartPolicyAlways {
				container.policy.Otherwise = corev1.ContainerRestartPolicyOnFailure // until it is done
			}
			p.Containers = append(p.Containers, container)
		}
		for i := range in.Spec.Containers {
			p.Containers = append(p.Containers, newContainer(in, &in.Spec.Containers[i], images))
		}
		if len(p.Containers) > fewContainers {
			p.manyContainers = make(map[string]*Container, len(p.Containers))
			for _, container := range slices.Backward(p.Containers) {
				p.manyContainers[container.Name] = container // of a name the first
			}
		}
	}
	for i, container := range p.Containers { // neither more nor fewer, nor in another order, ever
		if init := len(in.Spec.InitContainers); i < init {
			container.changeImage(in.Spec.InitContainers[i].Image)
		} else if i-init < len(in.Spec.Containers) {
			container.changeImage(in.Spec.Containers[i-init].Image)
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{in.Status.InitContainerStatuses, in.Status.ContainerStatuses} {
		for i := range statuses {
			if container := p.container(statuses[i].Name); container != nil {
				if !p.Leaving() && container.observeVanished(&statuses[i], seen) {
					p.doubtVanished(container)
				}
				container.observe(&statuses[i], arrival, seen)
			}
		}
	}
	p.stateSeen = seen
}

func newContainer(in *corev1.Pod, s *corev1.Container, images *otherImages) *Container {
	c := &Container{
		policy:            kube.NewRestartPolicy(in, s),
		Name:              s.Name,
		Image:             s.Image,
		otherImages:       images,
		HasStartupProbe:   s.StartupProbe != nil,
		HasReadinessProbe: s.ReadinessProbe != nil,
		HasPreStop:        s.Lifecycle != nil && s.Lifecycle.PreStop != nil,
		probePeriod:       max(ProbePeriod(s.StartupProbe), ProbePeriod(s.ReadinessProbe)),
		longestKill:       longestKill(in, s),
	}
	c.readProbes(s)
	return c
}

func (c *Container) observe(s *corev1.ContainerStatus, arrival, seen time.Time) {
	if s.ImageID != "" {
		c.imageID = s.ImageID
	}
	if s.Ready != c.ready {
		c.ready, c.readySeen = s.Ready, seen
	}
	if t := s.LastTerminationState.Terminated; t != nil {
		restart := s.RestartCount - 1
		if s.State.Waiting != nil {
			// The count moves when the next run begins.
			restart = s.RestartCount
		}
		c.observeEnd(t, max(restart, 0), time.Time{}, seen)
	}
	switch {
	case s.State.Running != nil:
		c.wait("", "", arrival, seen)
		r := c.run(s.ContainerID, s.RestartCount)
		if !r.Started.Known() {
			r.Started = evidence.InSecond(s.State.Running.StartedAt.Time, arrival)
		}
		if c.HasStartupProbe && s.Started != nil && *s.Started && !r.booted.Known() && !arrival.IsZero() {
			r.booted = evidence.Arrived(arrival)
		}
	case s.State.Terminated != nil:
		c.wait("", "", arrival, seen)
		c.observeEnd(s.State.Terminated, s.RestartCount, arrival, seen)
	case s.State.Waiting != nil:
		c.wait(s.State.Waiting.Reason, s.State.Waiting.Message, arrival, seen)
	}
}

func (c *Container) observeEnd(t *corev1.ContainerStateTerminated, restart int32, arrival, seen time.Time) {
	if t.ContainerID == "" {
		return // it never ran, or has vanished
	}
	r := c.run(t.ContainerID, restart)
	if !r.Started.Known() && kube.HasStarted(t) {
		r.Started = evidence.InSecond(t.StartedAt.Time, time.Time{})
	}
	if r.Over() {
		return
	}
	r.Finished = evidence.InSecond(t.FinishedAt.Time, arrival)
	if t.FinishedAt.IsZero() {
		r.Finished = evidence.Arrived(seen)
	}
	r.Seen = seen
	r.ExitCode, r.Reason = t.ExitCode, evidence.Shared(c.Runs, t.Reason)
	if couldNotStart(t.Reason) {
		// Any other message is the program's own, and none of our business.
		r.refusal = evidence.Shared(c.Runs, t.Message)
	}
	c.trimRuns()
}

// run returns the run with a container ID, made if need be.
func (c *Container) run(id string, restart int32) *Run {
	for _, r := range c.Runs {
		if r.ID == id {
			return r
		}
	}
	r := &Run{ID: id, Restart: restart}
	c.Runs = append(c.Runs, r)
	slices.SortStableFunc(c.Runs, func(a, b *Run) int { return int(a.Restart) - int(b.Restart) })
	c.trimRuns()
	return r
}

// trimRuns drops runs where there are more than MaxRuns, and counts them.
func (c *Container) trimRuns() {
	n := len(c.Runs)
	c.Runs = evidence.Trimmed(c.Runs, MaxRuns)
	c.Forgotten += n - len(c.Runs)
}

// wait notes a waiting state; reason "" is any state but waiting.
func (c *Container) wait(reason, message string, arrival, seen time.Time) {
	if n := len(c.Waits); n > 0 && c.Waits[n-1].until.IsZero() {
		last := &c.Waits[n-1]
		if last.reason == reason {
			if message != "" && message != last.message {
				last.message = evidence.Shared(c.Waits, message)
				c.Waits = evidence.Trimmed(c.Waits, MaxTransitions)
			}
			return
		}
		last.until = seen
	}
	if OrdinaryWait(reason) {
		return
	}
	from := evidence.Arrived(seen)
	if arrival.IsZero() {
		from = evidence.Moment{}
	}
	w := wait{reason: evidence.Shared(c.Waits, reason), message: evidence.Shared(c.Waits, message), from: from, after: c.lastRestart()}
	c.Waits = evidence.Trimmed(append(c.Waits, w), MaxTransitions)
}

// readyAt reports whether the status says that the container was ready at a time. Of more
// than one change before that the last is known.
func (c *Container) readyAt(at time.Time) bool { return c.ready != at.Before(c.readySeen) }

// lastRestart is the restart count of the run that has ended last, or -1.
func (c *Container) lastRestart() int32 {
	for _, r := range slices.Backward(c.Runs) {
		if r.Over() {
			return r.Restart
		}
	}
	return -1
}

// waitAt returns the latest notable waiting state that began by t.
func (c *Container) waitAt(t time.Time) (wait, bool) {
	for _, w := range slices.Backward(c.Waits) {
		if t.IsZero() || !w.from.At().After(t) {
			return w, true
		}
	}
	return wait{}, false
}

package causality

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// maxRuns bounds what is kept of a container that crashes for days.
const maxRuns = 64

// container is what the engine keeps of one container of a pod.
type container struct {
	name    string
	image   string
	imageID string
	init    bool
	sidecar bool // an init container with restartPolicy Always

	policy restartPolicy

	hasStartupProbe   bool
	hasReadinessProbe bool
	hasPreStop        bool
	killTakes         time.Duration

	runs  []*run
	waits []wait
	// forgotten counts the runs that there is no room for, after the first one.
	forgotten int

	ledger containerLedger
}

// run is one life of a container, from started to terminated.
type run struct {
	id       string // containerID: what tells runs apart
	restart  int32  // the restartCount it ran under
	started  moment
	booted   moment // passed its startup probe, where it has one
	finished moment
	seen     time.Time // arrival of its end
	exitCode int32
	reason   string
	// refusal is the runtime's message about a container that it created and
	// could not start.
	refusal string
	// vanished says that its end was not seen: by finished it was over.
	vanished bool
}

// The exit codes of what these signals ended.
const (
	exitSIGKILL = 128 + 9
	exitSIGTERM = 128 + 15
)

func (r *run) words() (reason, message string) { return r.reason, r.refusal }

func (r *run) over() bool { return r.finished.known() }

// stillborn reports whether the runtime could not start the container: it has
// an exit code, but never ran.
func (r *run) stillborn() bool {
	return r.over() && !r.started.known() && couldNotStart(r.reason)
}

// couldNotStart knows the words of containerd and CRI-O, and of dockershim.
func couldNotStart(reason string) bool {
	return reason == "StartError" || reason == "ContainerCannotRun"
}

// wait is a waiting state that has a reason worth telling.
type wait struct {
	reason  string
	message string
	from    moment
	until   time.Time // arrival of the next other state; zero while it lasts
}

func (w wait) words() (reason, message string) { return w.reason, w.message }

// ordinaryWait says that a container only waits for its turn.
func ordinaryWait(reason string) bool {
	return reason == "" || reason == "ContainerCreating" || reason == "PodInitializing" || reason == restartingAll
}

// isDone reports whether an init container was done with a run, and not begun
// again because of it.
func (c *container) isDone(r *run) bool { return c.init && !c.sidecar && r.exitCode == 0 }

func (p *pod) container(name string) *container {
	if len(p.containers) > fewContainers {
		return p.manyContainers[name]
	}
	i := slices.IndexFunc(p.containers, func(c *container) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return p.containers[i]
}

// fewContainers are found faster one by one. There may be thousands in a pod.
const fewContainers = 32

func (p *pod) observeContainers(in *corev1.Pod, arrival, seen time.Time) {
	if p.containers == nil {
		for i := range in.Spec.InitContainers {
			s := &in.Spec.InitContainers[i]
			c := newContainer(in, s)
			c.init = true
			c.sidecar = s.RestartPolicy != nil && *s.RestartPolicy == corev1.ContainerRestartPolicyAlways
			if !c.sidecar && c.policy.otherwise == corev1.ContainerRestartPolicyAlways {
				c.policy.otherwise = corev1.ContainerRestartPolicyOnFailure // until it is done
			}
			p.containers = append(p.containers, c)
		}
		for i := range in.Spec.Containers {
			p.containers = append(p.containers, newContainer(in, &in.Spec.Containers[i]))
		}
		if len(p.containers) > fewContainers {
			p.manyContainers = make(map[string]*container, len(p.containers))
			for _, c := range slices.Backward(p.containers) {
				p.manyContainers[c.name] = c // of a name the first
			}
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{in.Status.InitContainerStatuses, in.Status.ContainerStatuses} {
		for i := range statuses {
			if c := p.container(statuses[i].Name); c != nil {
				if !p.leaving() {
					c.observeVanished(&statuses[i], seen)
				}
				c.observe(&statuses[i], arrival, seen)
			}
		}
	}
}

func newContainer(in *corev1.Pod, s *corev1.Container) *container {
	return &container{
		policy:            newRestartPolicy(in, s),
		name:              s.Name,
		image:             s.Image,
		hasStartupProbe:   s.StartupProbe != nil,
		hasReadinessProbe: s.ReadinessProbe != nil,
		hasPreStop:        s.Lifecycle != nil && s.Lifecycle.PreStop != nil,
		killTakes:         killTakes(in, s),
	}
}

func (c *container) observe(s *corev1.ContainerStatus, arrival, seen time.Time) {
	if s.ImageID != "" {
		c.imageID = s.ImageID
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
		if !r.started.known() {
			r.started = inSecond(s.State.Running.StartedAt.Time, arrival)
		}
		if c.hasStartupProbe && s.Started != nil && *s.Started && !r.booted.known() && !arrival.IsZero() {
			r.booted = arrived(arrival)
		}
	case s.State.Terminated != nil:
		c.wait("", "", arrival, seen)
		c.observeEnd(s.State.Terminated, s.RestartCount, arrival, seen)
	case s.State.Waiting != nil:
		c.wait(s.State.Waiting.Reason, s.State.Waiting.Message, arrival, seen)
	}
}

func (c *container) observeEnd(t *corev1.ContainerStateTerminated, restart int32, arrival, seen time.Time) {
	if t.ContainerID == "" {
		return // it never ran, or has vanished
	}
	r := c.run(t.ContainerID, restart)
	// The kubelet states 1970 for what never started.
	if !r.started.known() && t.StartedAt.Unix() > 0 {
		r.started = inSecond(t.StartedAt.Time, time.Time{})
	}
	if r.over() {
		return
	}
	r.finished = inSecond(t.FinishedAt.Time, arrival)
	if t.FinishedAt.IsZero() {
		r.finished = arrived(seen)
	}
	r.seen = seen
	r.exitCode, r.reason = t.ExitCode, shared(c.runs, t.Reason)
	if couldNotStart(t.Reason) {
		// Any other message is the program's own, and none of our business.
		r.refusal = shared(c.runs, t.Message)
	}
	c.trimRuns()
}

// run returns the run with a container ID, made if need be.
func (c *container) run(id string, restart int32) *run {
	for _, r := range c.runs {
		if r.id == id {
			return r
		}
	}
	r := &run{id: id, restart: restart}
	c.runs = append(c.runs, r)
	slices.SortStableFunc(c.runs, func(a, b *run) int { return int(a.restart) - int(b.restart) })
	c.trimRuns()
	return r
}

// trimRuns forgets the runs that there is no room for.
func (c *container) trimRuns() {
	n := len(c.runs)
	c.runs = trimmed(c.runs, maxRuns)
	c.forgotten += n - len(c.runs)
}

// wait notes a waiting state; reason "" is any state but waiting.
func (c *container) wait(reason, message string, arrival, seen time.Time) {
	if n := len(c.waits); n > 0 && c.waits[n-1].until.IsZero() {
		last := &c.waits[n-1]
		if last.reason == reason {
			if message != "" && message != last.message {
				last.message = shared(c.waits, message)
				c.waits = trimmed(c.waits, maxTransitions)
			}
			return
		}
		last.until = seen
	}
	if ordinaryWait(reason) {
		return
	}
	from := arrived(seen)
	if arrival.IsZero() {
		from = moment{}
	}
	w := wait{reason: shared(c.waits, reason), message: shared(c.waits, message), from: from}
	c.waits = trimmed(append(c.waits, w), maxTransitions)
}

// waitAt returns the latest notable waiting state that began by t.
func (c *container) waitAt(t time.Time) (wait, bool) {
	for _, w := range slices.Backward(c.waits) {
		if t.IsZero() || !w.from.at().After(t) {
			return w, true
		}
	}
	return wait{}, false
}

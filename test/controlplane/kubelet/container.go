package kubelet

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A problem is why a container could not be started this time.
type problem struct{ reason, message string }

const (
	errImagePull     = "ErrImagePull"
	imagePullBackOff = "ImagePullBackOff"
	errConfig        = "CreateContainerConfigError"
	crashLoopBackOff = "CrashLoopBackOff"

	// defaultBackOff and maxBackOff are the kubelet's, for pulls and crashes.
	defaultBackOff = 10 * time.Second
	maxBackOff     = 5 * time.Minute
)

// start tries once to have the container running. It writes no status.
func (w *worker) start(ctx context.Context, c *container) *problem {
	if p := w.pull(ctx, c); p != nil || ctx.Err() != nil {
		return p
	}
	if err := w.checkConfig(ctx, c); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		w.event(c.fieldPath, corev1.EventTypeWarning, "Failed", "Error: %s", err)
		return w.hold(c, errConfig, err.Error())
	}
	w.event(c.fieldPath, corev1.EventTypeNormal, "Created", "Container created")
	w.update(func() {
		if t := c.status.State.Terminated; t != nil {
			c.status.LastTerminationState = c.status.State
		}
		if c.runs > 0 {
			c.status.RestartCount++
		}
		c.runs++
		started := c.spec.StartupProbe == nil
		c.status.Started = &started
		c.status.Ready = started && c.spec.ReadinessProbe == nil && (c.sidecar || !c.initial)
		c.status.ImageID = imageID(c.spec.Image)
		id := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", w.uid, c.fieldPath, c.runs))
		c.status.ContainerID = fmt.Sprintf("containerd://%x", id)
		c.status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	})
	w.event(c.fieldPath, corev1.EventTypeNormal, "Started", "Container started")
	return nil
}

func (w *worker) pull(ctx context.Context, c *container) *problem {
	image := c.spec.Image
	if c.spec.ImagePullPolicy != corev1.PullAlways && w.node.images.has(image) {
		w.event(c.fieldPath, corev1.EventTypeNormal, "Pulled",
			"Container image %q already present on machine and can be accessed by the pod", image)
		return nil
	}
	w.event(c.fieldPath, corev1.EventTypeNormal, "Pulling", "Pulling image %q", image)
	takes := w.settings.duration(keyPull, c.spec.Name, 50*time.Millisecond)
	pulling, all, err := w.node.images.pull(ctx, image, takes)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		w.event(c.fieldPath, corev1.EventTypeWarning, "Failed", "Failed to pull image %q: %s", image, err)
		w.event(c.fieldPath, corev1.EventTypeWarning, "Failed", "Error: %s", errImagePull)
		return w.hold(c, errImagePull, err.Error())
	}
	w.event(c.fieldPath, corev1.EventTypeNormal, "Pulled",
		"Successfully pulled image %q in %s (%s including waiting). Image size: %d bytes.",
		image, pulling.Truncate(time.Millisecond), all.Truncate(time.Millisecond), imageSize(image))
	return nil
}

func (w *worker) hold(c *container, reason, message string) *problem {
	w.update(func() { c.wait(reason, message) })
	return &problem{reason, message}
}

// checkConfig looks for what the container's environment refers to.
func (w *worker) checkConfig(ctx context.Context, c *container) error {
	configMap := func(ref corev1.LocalObjectReference, optional *bool) error {
		_, err := w.node.client.CoreV1().ConfigMaps(w.namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		return lacking("configmap", ref.Name, optional, err)
	}
	secret := func(ref corev1.LocalObjectReference, optional *bool) error {
		_, err := w.node.client.CoreV1().Secrets(w.namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		return lacking("secret", ref.Name, optional, err)
	}
	for _, from := range c.spec.EnvFrom {
		if ref := from.ConfigMapRef; ref != nil {
			if err := configMap(ref.LocalObjectReference, ref.Optional); err != nil {
				return err
			}
		}
		if ref := from.SecretRef; ref != nil {
			if err := secret(ref.LocalObjectReference, ref.Optional); err != nil {
				return err
			}
		}
	}
	for _, env := range c.spec.Env {
		if env.ValueFrom == nil {
			continue
		}
		if ref := env.ValueFrom.ConfigMapKeyRef; ref != nil {
			if err := configMap(ref.LocalObjectReference, ref.Optional); err != nil {
				return err
			}
		}
		if ref := env.ValueFrom.SecretKeyRef; ref != nil {
			if err := secret(ref.LocalObjectReference, ref.Optional); err != nil {
				return err
			}
		}
	}
	return nil
}

func lacking(kind, name string, optional *bool, err error) error {
	switch {
	case !apierrors.IsNotFound(err):
		return err
	case optional != nil && *optional:
		return nil
	default:
		return fmt.Errorf("%s %q not found", kind, name)
	}
}

// bringUp goes on trying until the container runs; p is what stood in the way
// of the first attempt, if anything did. It fails only when ctx ends.
func (w *worker) bringUp(ctx context.Context, c *container, p *problem) error {
	for attempt := 0; p != nil && ctx.Err() == nil; attempt++ {
		w.report()
		delay := w.backOff(c, attempt)
		if p.reason == errImagePull {
			w.event(c.fieldPath, corev1.EventTypeNormal, "BackOff", "Back-off pulling image %q", c.spec.Image)
			w.event(c.fieldPath, corev1.EventTypeWarning, "Failed", "Error: %s", imagePullBackOff)
			message := fmt.Sprintf("Back-off pulling image %q: %s: %s", c.spec.Image, errImagePull, p.message)
			if err := w.sitOut(ctx, c, delay, imagePullBackOff, message, func() {
				w.event(c.fieldPath, corev1.EventTypeNormal, "BackOff", "Back-off pulling image %q", c.spec.Image)
				w.event(c.fieldPath, corev1.EventTypeWarning, "Failed", "Error: %s", imagePullBackOff)
			}); err != nil {
				return err
			}
		} else if err := sleep(ctx, w.backOff(c, 0)); err != nil {
			return err
		}
		p = w.start(ctx, c)
	}
	w.report()
	return ctx.Err()
}

// keep plays the runs of a container that has been started, until it has ended
// for good; it says whether it ended well.
func (w *worker) keep(ctx context.Context, c *container) bool {
	for crashes := 1; ; crashes++ {
		exit, err := w.play(ctx, c)
		if err != nil {
			return false
		}
		w.update(func() { c.terminate(exit.code, exit.reason) })
		w.mu.Lock()
		again := w.restarts(c, exit.code)
		if c.initial && !again {
			c.status.Ready = exit.code == 0
		}
		w.mu.Unlock()
		w.report()
		if !again {
			return exit.code == 0
		}
		// The first restart comes at once, as a kubelet's does.
		if crashes > 1 {
			if err := w.crashBackOff(ctx, c, w.backOff(c, crashes-2)); err != nil {
				return false
			}
		}
		if w.bringUp(ctx, c, w.start(ctx, c)) != nil {
			return false
		}
	}
}

func (w *worker) crashBackOff(ctx context.Context, c *container, delay time.Duration) error {
	event := func() {
		w.event(c.fieldPath, corev1.EventTypeWarning, "BackOff",
			"Back-off restarting failed container %s in pod %s_%s(%s)", c.spec.Name, w.name, w.namespace, w.uid)
	}
	event()
	return w.sitOut(ctx, c, delay, crashLoopBackOff, fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
		delay, c.spec.Name, w.name, w.namespace, w.uid), event)
}

// sitOut waits a back-off out. The sync that notices it writes the waiting
// state a little after the status that caused it, and each later one repeats
// the Event, which the recorder counts.
func (w *worker) sitOut(ctx context.Context, c *container, delay time.Duration, reason, message string, repeat func()) error {
	const resync = 12 * time.Second
	notice := min(time.Second, delay/2)
	if err := sleep(ctx, notice); err != nil {
		return err
	}
	w.update(func() { c.wait(reason, message) })
	w.report()
	for delay -= notice; delay > resync; delay -= resync {
		if err := sleep(ctx, resync); err != nil {
			return err
		}
		repeat()
	}
	return sleep(ctx, delay)
}

// backOff is the delay after so many failures before this one.
func (w *worker) backOff(c *container, failures int) time.Duration {
	delay := w.settings.duration(keyBackOff, c.spec.Name, defaultBackOff)
	for range failures {
		if delay *= 2; delay >= maxBackOff {
			return maxBackOff
		}
	}
	return delay
}

// An exit is how a run of a container ended.
type exit struct {
	code   int32
	reason string
}

// play is one run of a container, from its start to its exit, or to ctx's end.
func (w *worker) play(ctx context.Context, c *container) (exit, error) {
	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	exited := make(chan exit, 2)
	if d, ok := w.lifetime(c); ok {
		go func() {
			if sleep(runCtx, d) == nil {
				exited <- w.ownExit(c)
			}
		}()
	}
	if d, ok := lookup(w.settings.durations, keyHang, c.spec.Name); ok && c.spec.LivenessProbe != nil {
		go func() {
			if w.failLiveness(runCtx, c, d) == nil {
				exited <- exit{137, "Error"}
			}
		}()
	}
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		w.boot(runCtx, c)
	}()
	// The prober must not write that a container is ready which has exited.
	defer func() { cancel(); <-probed }()
	select {
	case e := <-exited:
		return e, nil
	case <-ctx.Done():
		return exit{}, ctx.Err()
	}
}

// lifetime is how long a container runs, if it ends by itself.
func (w *worker) lifetime(c *container) (time.Duration, bool) {
	if c.initial && !c.sidecar {
		return w.settings.duration(keyInit, c.spec.Name, 50*time.Millisecond), true
	}
	if c.sidecar {
		d, ok := w.settings.durations[keyRun+"."+c.spec.Name]
		return d, ok
	}
	if d, ok := lookup(w.settings.durations, keyRun, c.spec.Name); ok {
		return d, true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Second, w.pod.Spec.RestartPolicy != corev1.RestartPolicyAlways
}

// ownExit is how a container's run ends that ends by itself.
func (w *worker) ownExit(c *container) exit {
	e := w.exit(c, keyExitCode)
	limit, limited := lookup(w.settings.numbers, keyFailures, c.spec.Name)
	if e.code != 0 && limited && !w.node.failures.next(w, keyExitCode+"."+c.spec.Name, limit) {
		return exit{reason: "Completed"}
	}
	return e
}

// exit is the exit with the code that an annotation gives. An init container
// must be named in it.
func (w *worker) exit(c *container, annotation string) exit {
	code, ok := w.settings.codes[annotation+"."+c.spec.Name]
	if !ok && !c.initial {
		code = w.settings.codes[annotation]
	}
	if code == 0 {
		return exit{reason: "Completed"}
	}
	e := exit{code, "Error"}
	if reason, ok := lookup(w.settings.reasons, keyExitReason, c.spec.Name); ok && annotation == keyExitCode {
		e.reason = reason
	}
	return e
}

// boot probes the app, at the times its spec says, until it has come up.
func (w *worker) boot(ctx context.Context, c *container) {
	up := w.settings.duration(keyBoot, c.spec.Name, 0)
	// When the probes are due, and not when they come to be made, decides which
	// of them pass: how many fail must not depend on how busy the machine is.
	var due time.Duration
	pass := func(probe *corev1.Probe, name string, passed func()) error {
		if probe == nil {
			return nil
		}
		// A first probe is not quite immediate; the status that says the
		// container runs comes before it.
		wait := time.Duration(probe.InitialDelaySeconds)*time.Second + 20*time.Millisecond
		for {
			if err := sleep(ctx, wait); err != nil {
				return err
			}
			if due += wait; due >= up {
				w.update(passed)
				w.report()
				return nil
			}
			w.unhealthy(c, name, probe)
			wait = period(probe)
		}
	}
	yes := true
	if pass(c.spec.StartupProbe, "Startup", func() {
		c.status.Started = &yes
		c.status.Ready = c.spec.ReadinessProbe == nil
	}) != nil {
		return
	}
	_ = pass(c.spec.ReadinessProbe, "Readiness", func() { c.status.Ready = true })
}

// failLiveness waits until the app hangs and its liveness probe has failed so
// often that the container is killed.
func (w *worker) failLiveness(ctx context.Context, c *container, hangs time.Duration) error {
	if err := sleep(ctx, hangs); err != nil {
		return err
	}
	probe := c.spec.LivenessProbe
	for range max(1, probe.FailureThreshold) {
		if err := sleep(ctx, period(probe)); err != nil {
			return err
		}
		w.unhealthy(c, "Liveness", probe)
	}
	w.event(c.fieldPath, corev1.EventTypeNormal, "Killing",
		"Container %s failed liveness probe, will be restarted", c.spec.Name)
	return sleep(ctx, w.settings.duration(keyStop, c.spec.Name, 50*time.Millisecond))
}

func period(probe *corev1.Probe) time.Duration {
	return time.Duration(max(1, probe.PeriodSeconds)) * time.Second
}

// unhealthy words a failed probe as the kubelet does for its kind.
func (w *worker) unhealthy(c *container, name string, probe *corev1.Probe) {
	said := "" // what a command printed
	switch {
	case probe.HTTPGet != nil:
		said = "HTTP probe failed with statuscode: 503"
	case probe.TCPSocket != nil:
		w.mu.Lock()
		said = fmt.Sprintf("dial tcp %s:%s: connect: connection refused", w.ip, probe.TCPSocket.Port.String())
		w.mu.Unlock()
	}
	w.event(c.fieldPath, corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %s", name, said)
}

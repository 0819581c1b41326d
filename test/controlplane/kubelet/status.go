package kubelet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// report writes the pod's status if it differs from what was written last, after
// the Events that were recorded before.
func (w *worker) report() {
	// One writer at a time, or an older status could arrive after a newer.
	w.reporting.Lock()
	defer w.reporting.Unlock()
	w.mu.Lock()
	recorded := w.recorded
	w.recorded = false
	w.mu.Unlock()
	if recorded && w.node.marks != nil {
		w.node.marks.wait(w.ctx, w.node.recorder)
	}
	insist(w.ctx, fmt.Sprintf("status of %s/%s", w.namespace, w.name), func() error {
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"uid": w.uid},
			"status":   w.status(),
		})
		if err != nil || bytes.Equal(patch, w.reported) {
			return err
		}
		_, err = w.node.client.CoreV1().Pods(w.namespace).Patch(w.ctx, w.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if err == nil {
			w.reported = patch
		}
		return err
	})
}

// status is a patch of the fields that a kubelet owns. Conditions are merged
// with those of others by their type, so what is to go must be said to be null.
func (w *worker) status() map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A pod is not over before its containers are gone for sure.
	if phase := w.currentPhase(); !w.sandbox || phase != corev1.PodSucceeded && phase != corev1.PodFailed {
		w.phase = phase
	}
	status := map[string]any{
		"observedGeneration": w.pod.Generation,
		"phase":              w.phase,
		"conditions":         w.conditions(),
		"startTime":          w.started,
		"hostIP":             "127.0.0.1",
		"hostIPs":            []corev1.HostIP{{IP: "127.0.0.1"}},
		"containerStatuses":  statuses(w.main),
	}
	if len(w.init) > 0 {
		status["initContainerStatuses"] = statuses(w.init)
	}
	if w.ip != "" {
		status["podIP"] = w.ip
		status["podIPs"] = []corev1.PodIP{{IP: w.ip}}
	}
	if w.refused != nil {
		status["reason"] = "UnexpectedAdmissionError"
		status["message"] = w.refused.Error()
		delete(status, "containerStatuses")
		delete(status, "initContainerStatuses")
	}
	if w.evicted != "" {
		status["reason"], status["message"] = "Evicted", w.evicted
	}
	return status
}

func statuses(containers []*container) []corev1.ContainerStatus {
	out := make([]corev1.ContainerStatus, len(containers))
	for i, c := range containers {
		out[i] = c.status
	}
	return out
}

// currentPhase follows the kubelet's getPhase: pending until every container has
// been started once, and over when none will be started again.
func (w *worker) currentPhase() corev1.PodPhase {
	if w.refused != nil || w.evicted != "" {
		return corev1.PodFailed
	}
	for _, c := range w.init {
		state := c.status.State
		switch {
		case w.ending:
		case c.sidecar:
			if c.neverStarted() {
				return corev1.PodPending
			}
		case state.Terminated != nil && state.Terminated.ExitCode == 0:
		case w.over(c):
			return corev1.PodFailed
		default:
			return corev1.PodPending
		}
	}
	failed, over := false, 0
	for _, c := range w.main {
		if c.neverStarted() {
			return corev1.PodPending
		}
		if w.over(c) {
			over++
			failed = failed || c.status.State.Terminated.ExitCode != 0
		}
	}
	switch {
	case over < len(w.main):
		return corev1.PodRunning
	case failed:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

func (w *worker) conditions() []map[string]any {
	phase := w.currentPhase()

	var uninitialized []string
	for _, c := range w.init {
		done := c.status.State.Terminated != nil && c.status.State.Terminated.ExitCode == 0
		if c.sidecar {
			done = c.status.Started != nil && *c.status.Started
		}
		if !done && !w.initialized {
			uninitialized = append(uninitialized, c.status.Name)
		}
	}
	initialized := podCondition{t: corev1.PodInitialized, status: len(uninitialized) == 0}
	switch {
	case !initialized.status:
		initialized.reason = "ContainersNotInitialized"
		initialized.message = fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(uninitialized, " "))
	case phase == corev1.PodSucceeded:
		initialized.reason = "PodCompleted"
	default:
		w.initialized = true
	}

	var unready []string
	for _, c := range slices.Concat(w.init, w.main) {
		if (c.sidecar || !c.initial) && !c.status.Ready {
			unready = append(unready, c.status.Name)
		}
	}
	containers := podCondition{t: corev1.ContainersReady, status: len(unready) == 0}
	switch {
	case phase == corev1.PodSucceeded:
		containers.status, containers.reason = false, "PodCompleted"
	case phase == corev1.PodFailed:
		containers.status, containers.reason = false, "PodFailed"
	case !containers.status:
		containers.reason = "ContainersNotReady"
		containers.message = fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	}
	ready := containers
	ready.t = corev1.PodReady
	if ready.status {
		w.applyGates(&ready)
	}

	all := []podCondition{{t: corev1.PodReadyToStartContainers, status: w.sandbox}, initialized, ready, containers}
	if w.evicted != "" {
		all = append(all, podCondition{t: corev1.DisruptionTarget, status: true, reason: corev1.PodReasonTerminationByKubelet, message: w.evicted})
	}
	out := []map[string]any{}
	for _, c := range all {
		out = append(out, w.transition(c))
	}
	return out
}

// applyGates holds a pod back that waits for somebody else's condition.
func (w *worker) applyGates(ready *podCondition) {
	var lacking []string
	for _, gate := range w.pod.Spec.ReadinessGates {
		met := func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		}
		if !slices.ContainsFunc(w.pod.Status.Conditions, met) {
			lacking = append(lacking, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist or is not \"True\".", gate.ConditionType))
		}
	}
	if len(lacking) > 0 {
		ready.status, ready.reason, ready.message = false, "ReadinessGatesNotReady", strings.Join(lacking, ", ")
	}
}

type podCondition struct {
	t               corev1.PodConditionType
	status          bool
	reason, message string
	since           metav1.Time
}

// transition stamps a condition with the time at which its status last changed.
func (w *worker) transition(c podCondition) map[string]any {
	if old, ok := w.transitions[c.t]; ok && old.status == c.status {
		c.since = old.since
	} else {
		c.since = metav1.Now()
	}
	w.transitions[c.t] = c
	status := corev1.ConditionFalse
	if c.status {
		status = corev1.ConditionTrue
	}
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return map[string]any{
		"type": c.t, "status": status, "lastTransitionTime": c.since, "lastProbeTime": nil,
		"reason": orNull(c.reason), "message": orNull(c.message), "observedGeneration": w.pod.Generation,
	}
}

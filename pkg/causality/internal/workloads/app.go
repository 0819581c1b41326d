package workloads

import (
	"cmp"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// App is the service that the pods of the workload run: of a rollout, of the template that
// it rolls out, and else of the latest. Without a change it is that, too.
func (w *Workload) App(c *Change) *spans.App {
	runs := w.Runs
	if w.template.Hash != (kube.TemplateHash{}) {
		runs = w.template.Runs
	}
	if c != nil && c.Kind == attr.ChangeRollout {
		runs = c.runs
	}
	return w.app(runs)
}

// AppOf is the service that one of its pods runs.
func (w *Workload) AppOf(pod *podlife.Pod) *spans.App { return w.app(pod.Runs) }

// AppIn is the service that a container of one of its pods runs.
func (w *Workload) AppIn(pod *podlife.Pod, container *podlife.Container) *spans.App {
	app := w.AppOf(pod)
	app.Version = cmp.Or(app.Version, kube.VersionOfImage(container.Image))
	return app
}

// app names a service after who owns the pods, furthest up first, where their labels and
// annotations do not. A custom workload counts as a Deployment does: its ReplicaSets have
// other names with each revision.
func (w *Workload) app(runs *kube.Service) *spans.App {
	if runs == nil {
		runs = &kube.Service{}
	}
	owner := w.Name
	if w.CronJob != nil {
		owner = w.CronJob.Name
	}
	return &spans.App{
		Name: cmp.Or(runs.Name, owner), Namespace: cmp.Or(runs.Namespace, w.Namespace), Version: runs.Version,
	}
}

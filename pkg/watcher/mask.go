package watcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
)

// mask stands for what may be secret in pod templates by keyed hashes: the values of
// environment variables, commands, arguments, hosts, paths and headers of probes, and
// annotations that are copies of objects. What is on a disk may
// be copied. That a value changed, and which one, can still be told, and the engine, which is
// fed the same, tells no more than that. Of pods all this is dropped: see trim.
//
// It is a Redactor, but of typed objects, with a key that stays, and of these values alone:
// the engine reads other annotations.
type mask struct{ redactor *Redactor }

// readMask reads the key of a data directory, and makes one where there is none: with another
// key all templates would seem to have changed.
func readMask(dir string) (*mask, error) {
	path := filepath.Join(dir, "mask.key")
	key, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m := &mask{NewRedactor()}
		// A key that was written in part is not taken for one.
		if err := journal.WriteFile(path+".new", m.redactor.key); err != nil {
			return nil, err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return nil, err
		}
		return m, nil
	case err != nil:
		return nil, err
	case len(key) != redactorKeyBytes:
		return nil, fmt.Errorf("%s has %d bytes and not %d: remove it, and the folder journal beside it, to begin anew", path, len(key), redactorKeyBytes)
	}
	return &mask{&Redactor{key: key}}, nil
}

// hide puts hashes in the place of what may be secret in an object, in place.
func (m *mask) hide(object runtime.Object) {
	template := podTemplateOf(object)
	if template == nil {
		return
	}
	m.copies(template.Annotations)
	if in, ok := object.(*batchv1.CronJob); ok {
		m.copies(in.Spec.JobTemplate.Annotations)
	}
	for _, containers := range [][]corev1.Container{template.Spec.InitContainers, template.Spec.Containers} {
		for i := range containers {
			m.hideIn(&containers[i])
		}
	}
}

// copies hides copies of objects: there is in them what is hidden elsewhere.
func (m *mask) copies(annotations map[string]string) {
	for key, value := range annotations {
		if causality.IsCopy(key) {
			annotations[key] = m.redactor.value(value)
		}
	}
}

func (m *mask) hideIn(c *corev1.Container) {
	for i := range c.Env {
		m.text(&c.Env[i].Value)
	}
	m.texts(c.Command)
	m.texts(c.Args)
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil {
			m.action(p.Exec, p.HTTPGet)
		}
	}
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				m.action(h.Exec, h.HTTPGet)
			}
		}
	}
}

func (m *mask) action(exec *corev1.ExecAction, get *corev1.HTTPGetAction) {
	if exec != nil {
		m.texts(exec.Command)
	}
	if get != nil {
		m.text(&get.Host)
		m.text(&get.Path)
		for i := range get.HTTPHeaders {
			m.text(&get.HTTPHeaders[i].Value)
		}
	}
}

func (m *mask) texts(list []string) {
	for i := range list {
		m.text(&list[i])
	}
}

func (m *mask) text(s *string) { *s = m.redactor.value(*s) }

// podTemplateOf is the pod template of an object that a run watches, nil if it has none.
func podTemplateOf(object runtime.Object) *corev1.PodTemplateSpec {
	switch in := object.(type) {
	case *appsv1.Deployment:
		return &in.Spec.Template
	case *appsv1.ReplicaSet:
		return &in.Spec.Template
	case *appsv1.StatefulSet:
		return &in.Spec.Template
	case *appsv1.DaemonSet:
		return &in.Spec.Template
	case *corev1.ReplicationController:
		return in.Spec.Template
	case *batchv1.Job:
		return &in.Spec.Template
	case *batchv1.CronJob:
		return &in.Spec.JobTemplate.Spec.Template
	default:
		return nil
	}
}

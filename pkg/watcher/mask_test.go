package watcher

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// secretive is a pod template that has a secret wherever one may be.
func secretive(secret string) corev1.PodTemplateSpec {
	get := &corev1.HTTPGetAction{Path: "/ready?token=" + secret, Host: secret, HTTPHeaders: []corev1.HTTPHeader{{Name: "Authorization", Value: secret}}}
	exec := &corev1.ExecAction{Command: []string{"check", secret}}
	c := corev1.Container{
		Name: "web", Image: "web:1", Command: []string{"serve", secret}, Args: []string{"--token=" + secret},
		Env:            []corev1.EnvVar{{Name: "TOKEN", Value: secret}, {Name: "EMPTY"}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}},
		LivenessProbe:  &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: exec}},
		StartupProbe:   &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get.DeepCopy()}},
		Lifecycle: &corev1.Lifecycle{
			PostStart: &corev1.LifecycleHandler{Exec: exec.DeepCopy()}, PreStop: &corev1.LifecycleHandler{HTTPGet: get.DeepCopy()},
		},
	}
	first := *c.DeepCopy()
	first.Name = "first"
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kapp.k14s.io/original": secret}},
		Spec:       corev1.PodSpec{InitContainers: []corev1.Container{first}, Containers: []corev1.Container{c}},
	}
}

// copied are the annotations in which tools that apply objects leave a copy of them.
func copied(secret string) map[string]string {
	return map[string]string{
		corev1.LastAppliedConfigAnnotation: secret, "kapp.k14s.io/original": secret, "banzaicloud.com/last-applied": secret,
		"objectset.rio.cattle.io/applied": secret, "kopf.zalando.org/last-handled-configuration": secret, "example.com/team": "shop",
	}
}

// What may be secret is not in what a run with a data directory observes; that it changed is.
func TestMask(t *testing.T) {
	const secret = "hunter2-hunter2"
	dir := t.TempDir()
	m, err := readMask(dir)
	if err != nil {
		t.Fatal(err)
	}
	template := secretive(secret)
	debugger := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon(template.Spec.Containers[0])}
	pod := corev1.Pod{Spec: *template.Spec.DeepCopy()}
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{*debugger.DeepCopy()}
	job := batchv1.JobTemplateSpec{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: batchv1.JobSpec{Template: template}}
	for _, object := range []runtime.Object{
		&pod,
		&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: template}},
		&appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Template: template}},
		&appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Template: template}},
		&appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: template}},
		&corev1.ReplicationController{Spec: corev1.ReplicationControllerSpec{Template: &template}},
		&batchv1.Job{Spec: batchv1.JobSpec{Template: template}},
		&batchv1.CronJob{Spec: batchv1.CronJobSpec{JobTemplate: job}},
	} {
		object = object.DeepCopyObject()
		metadata, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		metadata.SetAnnotations(copied(secret))
		s := store{hide: m.hide}
		masked, _, _, err := s.identify(object)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(masked)
		if err != nil {
			t.Fatal(err)
		}
		_, isPod := object.(*corev1.Pod) // of which the names of variables are dropped, too
		if strings.Contains(string(text), secret) || strings.Contains(string(text), "TOKEN") == isPod || !strings.Contains(string(text), "web:1") {
			t.Errorf("%T is masked as %s", object, text)
		}
		if !maps.Equal(metadata.GetAnnotations(), map[string]string{"example.com/team": "shop"}) {
			t.Errorf("%T has the annotations %v", object, metadata.GetAnnotations())
		}
	}
	hidden := func(m *mask, secret string) string {
		d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: secretive(secret)}}
		m.hide(d)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	again, err := readMask(dir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := readMask(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	before := hidden(m, secret)
	if before != hidden(again, secret) || before == hidden(m, secret+"3") || before == hidden(other, secret) {
		t.Error("a mask tells no values apart, or those of another run")
	}
	if env := podTemplateOf(&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: template}}).Spec.Containers[0].Env; env[1].Value != "" {
		t.Errorf("the empty value is %q", env[1].Value)
	}

	path := filepath.Join(dir, "mask.key")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v (%v)", info, err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readMask(dir); err == nil || !strings.Contains(err.Error(), "mask.key has 5 bytes and not 32") {
		t.Errorf("a key that was cut is read with %v", err)
	}
}

// A kind whose objects have a pod template is masked: none is forgotten.
func TestAllTemplatesAreMasked(t *testing.T) {
	template := reflect.TypeFor[corev1.PodTemplateSpec]()
	// has makes all of v down to a pod template, and reports whether there is one.
	var has func(v reflect.Value, depth int) bool
	has = func(v reflect.Value, depth int) bool {
		switch {
		case v.Type() == template:
			return true
		case depth == 0:
			return false
		case v.Kind() == reflect.Pointer && v.IsNil() && v.CanSet():
			made := reflect.New(v.Type().Elem())
			if !has(made.Elem(), depth-1) {
				return false
			}
			v.Set(made)
			return true
		case v.Kind() == reflect.Struct:
			found := false
			for _, field := range v.Fields() {
				found = has(field, depth-1) || found
			}
			return found
		}
		return false
	}
	with := 0
	for _, k := range liveKinds {
		object := stream.NewObject(k.GroupVersion().String(), k.Kind)
		is := has(reflect.ValueOf(object).Elem(), 6)
		if is {
			with++
		}
		if masked := podTemplateOf(object) != nil; masked != is {
			t.Errorf("%s has a pod template: %t, and is masked: %t", k.Kind, is, masked)
		}
	}
	if with < 6 {
		t.Errorf("only %d kinds have a pod template: the test does not see them", with)
	}
}

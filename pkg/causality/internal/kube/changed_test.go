package kube

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"
)

// typicalTemplate is a pod template of the size that charts have.
func typicalTemplate() *corev1.PodTemplateSpec {
	t := &corev1.PodTemplateSpec{}
	t.Labels = map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/version": "1"}
	t.Annotations = map[string]string{"checksum/config": "0a1b2c", "prometheus.io/scrape": "true"}
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{PeriodSeconds: 10, TimeoutSeconds: 1, ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http"), Scheme: "HTTP"},
		}}
	}
	web := corev1.Container{
		Name: "web", Image: "web:1", ImagePullPolicy: "IfNotPresent", Args: []string{"--verbose"},
		Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}, {Name: "metrics", ContainerPort: 9090, Protocol: "TCP"}},
		LivenessProbe: probe("/live"), ReadinessProbe: probe("/ready"),
		VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/a", SubPath: "a"}, {Name: "data", MountPath: "/b", SubPath: "b"}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")},
			Limits:   corev1.ResourceList{"memory": resource.MustParse("128Mi")},
		},
	}
	for i := range 12 {
		web.Env = append(web.Env, corev1.EnvVar{Name: fmt.Sprint("VARIABLE_", i), Value: "value"})
	}
	t.Spec.Containers = []corev1.Container{web, {Name: "proxy", Image: "proxy:1"}}
	t.Spec.InitContainers = []corev1.Container{{Name: "migrate", Image: "web:1", Command: []string{"migrate"}}}
	t.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	t.Spec.Tolerations = []corev1.Toleration{{Key: "spot"}}
	t.Spec.SecurityContext = &corev1.PodSecurityContext{}
	return t
}

func TestChangedSaysWhatDiffersByName(t *testing.T) {
	zero, user := int64(0), int64(1000)
	for name, test := range map[string]struct {
		change func(t *corev1.PodTemplateSpec, web *corev1.Container)
		want   []string
	}{
		"nothing": {func(*corev1.PodTemplateSpec, *corev1.Container) {}, nil},
		"a probe": {func(_ *corev1.PodTemplateSpec, web *corev1.Container) {
			web.ReadinessProbe.HTTPGet.Path = "/other"
			web.ReadinessProbe.PeriodSeconds = 5
		}, []string{"container/web readinessProbe httpGet.path", "container/web readinessProbe periodSeconds"}},
		"a list without names": {func(t *corev1.PodTemplateSpec, web *corev1.Container) {
			web.Args = append(web.Args, "--quiet")
			t.Spec.Tolerations[0].Key = "gpu"
		}, []string{"container/web args", "tolerations"}},
		"one of a list with names": {func(_ *corev1.PodTemplateSpec, web *corev1.Container) {
			web.Ports[1].ContainerPort = 9091
		}, []string{"container/web ports metrics"}},
		"a list that loses its names": {func(_ *corev1.PodTemplateSpec, web *corev1.Container) {
			web.Ports[1].Name = ""
		}, []string{"container/web ports http", "container/web ports metrics"}},
		"one of several of a name": {func(_ *corev1.PodTemplateSpec, web *corev1.Container) {
			web.VolumeMounts[1].SubPath = "c"
		}, []string{"container/web volumeMounts data"}},
		"the order of several of a name": {func(_ *corev1.PodTemplateSpec, web *corev1.Container) {
			slices.Reverse(web.VolumeMounts)
		}, []string{"container/web volumeMounts data"}},
		"the order": {func(t *corev1.PodTemplateSpec, _ *corev1.Container) {
			slices.Reverse(t.Spec.Containers)
		}, []string{"order"}},
		"an empty field": {func(t *corev1.PodTemplateSpec, web *corev1.Container) {
			t.Spec.SecurityContext.FSGroup, t.Spec.SecurityContext.RunAsUser = &zero, &user
			web.SecurityContext = &corev1.SecurityContext{}
		}, []string{"container/web securityContext", "securityContext fsGroup", "securityContext runAsUser"}},
		"a variable from elsewhere": {func(_ *corev1.PodTemplateSpec, web *corev1.Container) {
			web.Env[3] = corev1.EnvVar{Name: web.Env[3].Name, ValueFrom: &corev1.EnvVarSource{
				SecretKeyRef: &corev1.SecretKeySelector{Key: "password"},
			}}
			web.EnvFrom = []corev1.EnvFromSource{{Prefix: "DB_"}}
		}, []string{"container/web env VARIABLE_3", "container/web envFrom"}},
		"a restart": {func(t *corev1.PodTemplateSpec, _ *corev1.Container) {
			t.Annotations[restartedAtAnnotation] = "2026-01-02T10:00:00Z"
		}, []string{"annotation kubectl.kubernetes.io/restartedAt"}},
		"containers": {func(t *corev1.PodTemplateSpec, web *corev1.Container) {
			web.Name = "app"
			t.Spec.InitContainers = nil
		}, []string{"container/app added", "container/web removed", "init container/migrate removed"}},
	} {
		t.Run(name, func(t *testing.T) {
			template := typicalTemplate()
			before := NewPodTemplate(template)
			test.change(template, &template.Spec.Containers[0])
			after := NewPodTemplate(template)
			changed := after.ChangedFrom(&before)
			if !slices.Equal(changed, test.want) {
				t.Errorf("%q have changed, want %q", changed, test.want)
			}
			if got := IsRestart(changed); got != (name == "a restart") {
				t.Errorf("is it a restart? %v", got)
			}
		})
	}
}

func TestWhatIsUnknownIsNotCompared(t *testing.T) {
	template := NewPodTemplate(typicalTemplate())
	if got := template.ChangedFrom(&PodTemplate{}); got != nil {
		t.Errorf("%q has changed from what is not known", got)
	}
}

// TestChangedIsNeverAValue plants the same text in all values of a template: it
// must be in no path, and wherever two templates differ something must be told.
func TestChangedIsNeverAValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9./-]{0,8}`)
		object := func(t *rapid.T) (any, any) { return drawTwo(t, name, 3) }
		a, b := object(t)
		was, is := templateOfJSON(t, a), templateOfJSON(t, b)
		there, back := is.ChangedFrom(&was), was.ChangedFrom(&is)
		if (len(there) == 0) != (was.Hash == is.Hash) || len(there) != len(back) {
			t.Fatalf("there %q, back %q", there, back)
		}
		for _, path := range slices.Concat(there, back) {
			if strings.Contains(path, "VALUE") {
				t.Fatalf("a value is in %q", path)
			}
		}
	})
}

// drawTwo draws two documents that have something in common.
func drawTwo(t *rapid.T, name *rapid.Generator[string], depth int) (a, b any) {
	value := func() any { return fmt.Sprint("VALUE", rapid.IntRange(0, 2).Draw(t, "value")) }
	shape := rapid.IntRange(0, 3).Draw(t, "shape")
	switch {
	case depth == 0 || shape == 0:
		return value(), value()
	case shape == 1:
		list := []any{value(), value()}
		return list, list[:rapid.IntRange(0, 2).Draw(t, "length")]
	case shape == 2:
		things := func(names []string) []any {
			list := []any{}
			for _, n := range names {
				list = append(list, map[string]any{"name": n, "value": value()})
			}
			return list
		}
		names := rapid.SliceOfN(name, 0, 3)
		return things(names.Draw(t, "names")), things(names.Draw(t, "names"))
	default:
		x, y := map[string]any{}, map[string]any{}
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			n := name.Draw(t, "field")
			p, q := drawTwo(t, name, depth-1)
			if rapid.Bool().Draw(t, "before") {
				x[n] = p
			}
			if rapid.Bool().Draw(t, "after") {
				y[n] = q
			}
		}
		return x, y
	}
}

func templateOfJSON(t *rapid.T, spec any) PodTemplate {
	raw, err := json.Marshal(map[string]any{"spec": map[string]any{
		"containers": []any{map[string]any{"name": "web", "image": "VALUE", "any": spec}}, "other": spec,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return PodTemplate{Hash: sha256.Sum256(raw), Images: []string{"VALUE"}, fields: templateFields(raw, nil)}
}

func TestChangedIsBounded(t *testing.T) {
	template := typicalTemplate()
	before := NewPodTemplate(template)
	for i := range 40 {
		template.Spec.Containers[0].Env = append(template.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprint("MORE_", i)})
	}
	after := NewPodTemplate(template)
	attrs := ChangedAttributes(after.ChangedFrom(&before))
	if n := len(attrs[0].Value.AsStringSlice()); n != maxChanged {
		t.Errorf("%d are named, want %d", n, maxChanged)
	}
	if n := attrs[1].Value.AsInt64(); n != 40-maxChanged {
		t.Errorf("%d are left out, want %d", n, 40-maxChanged)
	}
}

// Of a template that is too large to be taken apart it is known whether it has
// changed, and not told how.
func TestHugeTemplatesAreNotTakenApart(t *testing.T) {
	const longText = 20 << 10
	many := typicalTemplate()
	for i := range maxFields {
		many.Spec.Containers[0].Env = append(many.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprint("V", i)})
	}
	long := typicalTemplate()
	long.Annotations["text"] = strings.Repeat("x", maxTemplate)
	typical := NewPodTemplate(typicalTemplate())
	for what, template := range map[string]*corev1.PodTemplateSpec{"fields": many, "text": long} {
		huge := NewPodTemplate(template)
		if huge.Hash == typical.Hash || len(huge.Images) == 0 {
			t.Errorf("%s: it is not told apart", what)
		}
		if huge.fields != nil || huge.ChangedFrom(&typical) != nil || typical.ChangedFrom(&huge) != nil {
			t.Errorf("%s: it was taken apart", what)
		}
	}

	named := typicalTemplate()
	named.Spec.Containers[0].Env = append(named.Spec.Containers[0].Env, corev1.EnvVar{Name: strings.Repeat("N", longText)}, corev1.EnvVar{Name: strings.Repeat("N", longText+1)})
	longName := NewPodTemplate(named)
	changed := longName.ChangedFrom(&typical)
	if len(changed) != 2 || len(changed[0]) != MaxIdentity || len(changed[1]) != MaxIdentity {
		t.Errorf("of two long names that came is told: %q", changed)
	}
}

// TestTemplatesAreSmall measures what is kept of the templates of a thousand
// workloads that have the same chart and values of their own.
func TestTemplatesAreSmall(t *testing.T) {
	const workloads, most = 1000, 2048 // bytes of each
	kept := make([]PodTemplate, workloads)
	before := heap()
	for i := range kept {
		template := typicalTemplate()
		template.Spec.Containers[0].Env[0].Value = fmt.Sprint(i)
		kept[i] = NewPodTemplate(template)
	}
	each := (int64(heap()) - int64(before)) / workloads
	t.Logf("%d fields, %d bytes", len(kept[0].fields), each)
	if each > most {
		t.Errorf("%d bytes are kept of a template, at most %d should be", each, most)
	}
	runtime.KeepAlive(kept)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkTemplate is the cost of a write of a workload's spec.
func BenchmarkTemplate(b *testing.B) {
	template := typicalTemplate()
	b.ReportAllocs()
	for b.Loop() {
		NewPodTemplate(template)
	}
}

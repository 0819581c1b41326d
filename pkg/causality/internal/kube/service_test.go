package kube

import "testing"

func TestServiceOf(t *testing.T) {
	const name, namespace, version = "resource.opentelemetry.io/service.name", "resource.opentelemetry.io/service.namespace", "resource.opentelemetry.io/service.version"
	type texts = map[string]string
	for _, c := range []struct {
		labels, annotations texts
		want                Service
	}{
		{nil, nil, Service{}},
		{texts{"app": "web", "app.kubernetes.io/part-of": "shop"}, texts{"owner": "me"}, Service{}},
		{texts{"app.kubernetes.io/name": "web"}, nil, Service{Name: "web"}},
		{texts{"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "web-eu"}, nil, Service{Name: "web-eu"}},
		{texts{"app.kubernetes.io/instance": "web-eu", "app.kubernetes.io/version": "2"},
			texts{name: "shop", namespace: "shops", version: "2.1"}, Service{"shop", "shops", "2.1"}},
		{texts{"app.kubernetes.io/version": "2"}, texts{version: ""}, Service{Version: "2"}},
	} {
		got := ServiceOf(c.labels, c.annotations)
		if c.want == (Service{}) {
			if got != nil {
				t.Errorf("%v %v: got %+v, which says nothing", c.labels, c.annotations, got)
			}
		} else if got == nil || *got != c.want {
			t.Errorf("%v %v: got %+v, want %+v", c.labels, c.annotations, got, c.want)
		}
	}
}

func TestVersionOfImage(t *testing.T) {
	for image, want := range map[string]string{
		"":                               "",
		"web":                            "",
		"web:2.1":                        "2.1",
		"registry:5000/shop/web":         "",
		"registry:5000/shop/web:2.1":     "2.1",
		"web@sha256:0af1":                "sha256:0af1",
		"registry:5000/web:2@sha256:0af": "2@sha256:0af",
	} {
		if got := VersionOfImage(image); got != want {
			t.Errorf("%q: got %q, want %q", image, got, want)
		}
	}
}

package watcher

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

func TestLookup(t *testing.T) {
	shops := metav1.APIResource{Name: "shops", Kind: "Shop", Namespaced: true, Verbs: metav1.Verbs{"list", "watch"}}
	answers := map[string]any{ // by path; what is not there is not found, nil is not available
		"/api/v1": metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "services", Kind: "Service", Namespaced: true, Verbs: metav1.Verbs{"list"}}}},
		"/apis/shop.test": metav1.APIGroup{
			Versions: []metav1.GroupVersionForDiscovery{{Version: "v1beta1"}, {Version: "v1"}, {Version: "v2"}}, PreferredVersion: metav1.GroupVersionForDiscovery{Version: "v2"},
		},
		"/apis/shop.test/v1beta1": metav1.APIResourceList{APIResources: []metav1.APIResource{
			shops, {Name: "malls", Kind: "Mall", Verbs: metav1.Verbs{"list"}},
		}},
		"/apis/shop.test/v1": metav1.APIResourceList{APIResources: []metav1.APIResource{shops}},
		"/apis/shop.test/v2": metav1.APIResourceList{APIResources: []metav1.APIResource{
			{Name: "shops/status", Kind: "Shop", Namespaced: true, Verbs: metav1.Verbs{"get"}},
			{Name: "shopreviews", Kind: "Shop", Verbs: metav1.Verbs{"create"}},
			shops,
		}},
		"/apis/down.test":     metav1.APIGroup{Versions: []metav1.GroupVersionForDiscovery{{Version: "v1"}, {Version: "v2"}}},
		"/apis/down.test/v1":  nil,
		"/apis/down.test/v2":  metav1.APIResourceList{APIResources: []metav1.APIResource{shops}},
		"/apis/worse.test":    nil,
		"/apis/worse.test/v1": metav1.APIResourceList{},
	}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		answer, ok := answers[r.URL.Path]
		status := func(err *apierrors.StatusError) {
			w.WriteHeader(int(err.ErrStatus.Code))
			answer = err.ErrStatus
		}
		w.Header().Set("Content-Type", "application/json")
		switch {
		case !ok:
			status(apierrors.NewNotFound(schema.GroupResource{}, ""))
		case answer == nil:
			status(apierrors.NewServiceUnavailable("no endpoints"))
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	config := &rest.Config{Host: server.URL, QPS: -1}
	l := lookup{discovery.NewDiscoveryClientForConfigOrDie(config)}

	for name, test := range map[string]struct {
		named, want string // want is empty where there is none, and an error if it begins with !
		asked       []string
	}{
		"served":                {"shop.test/v1 Shop", "shop.test/v1 shops false", []string{"/apis/shop.test/v1"}},
		"one of two resources":  {"shop.test/v2 Shop", "shop.test/v2 shops false", []string{"/apis/shop.test/v2"}},
		"in no namespace":       {"shop.test/v1beta1 Mall", "shop.test/v1beta1 malls true", []string{"/apis/shop.test/v1beta1"}},
		"core":                  {"v1 Service", "v1 services false", []string{"/api/v1"}},
		"not in core":           {"v1 Shop", "", []string{"/api/v1"}},
		"the preferred version": {"shop.test/v0 Shop", "shop.test/v2 shops false", []string{"/apis/shop.test/v0", "/apis/shop.test", "/apis/shop.test/v2"}},
		"any version": {"shop.test/v2 Mall", "shop.test/v1beta1 malls true",
			[]string{"/apis/shop.test/v2", "/apis/shop.test", "/apis/shop.test/v1beta1"}},
		"no version": {"shop.test/v1 Planet", "",
			[]string{"/apis/shop.test/v1", "/apis/shop.test", "/apis/shop.test/v2", "/apis/shop.test/v1beta1"}},
		"no group":                        {"nowhere.test/v1 Shop", "", []string{"/apis/nowhere.test/v1", "/apis/nowhere.test"}},
		"down":                            {"down.test/v1 Shop", "!", []string{"/apis/down.test/v1"}},
		"down in the preferred one":       {"down.test/v0 Shop", "down.test/v2 shops false", []string{"/apis/down.test/v0", "/apis/down.test", "/apis/down.test/v1", "/apis/down.test/v2"}},
		"perhaps in the one that is down": {"down.test/v2 Mall", "!", []string{"/apis/down.test/v2", "/apis/down.test", "/apis/down.test/v1"}},
		"versions are not known":          {"worse.test/v1 Shop", "!", []string{"/apis/worse.test/v1", "/apis/worse.test"}},
	} {
		t.Run(name, func(t *testing.T) {
			asked = nil
			var apiVersion, kindName, got string
			if _, err := fmt.Sscan(test.named, &apiVersion, &kindName); err != nil {
				t.Fatal(err)
			}
			k, err := l.find(t.Context(), schema.FromAPIVersionAndKind(apiVersion, kindName))
			switch {
			case err == nil:
				got = fmt.Sprintf("%s %s %v", k.GroupVersion(), k.resource, k.clusterScoped)
			case !meta.IsNoMatchError(err):
				got = "!"
			}
			if got != test.want || err == nil && k.Kind != kindName {
				t.Errorf("got %q (%v), want %q", got, err, test.want)
			}
			if !slices.Equal(asked, test.asked) {
				t.Errorf("asked %q, want %q", asked, test.asked)
			}
		})
	}
}

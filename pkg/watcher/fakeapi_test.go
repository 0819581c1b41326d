package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// fakeAPI is an API server of few words: it has lists that never change, and
// refuses some.
type fakeAPI struct {
	t *testing.T
	*httptest.Server
	// lists hold objects as JSON, by path; what is not there is empty.
	lists map[string][]string
	// codes are what is refused, by resource.
	codes map[string]int

	mu sync.Mutex
	// listed are the paths that were listed.
	listed []string
}

func newFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	a := &fakeAPI{t: t, lists: map[string][]string{}, codes: map[string]int{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *fakeAPI) config() *rest.Config { return &rest.Config{Host: a.URL, QPS: 1000, Burst: 1000} }

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	resource := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch code := a.codes[resource]; {
	case r.URL.Path == "/api":
		_, _ = fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"]}`)
	case r.URL.Path == "/apis":
		_, _ = fmt.Fprint(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"example.com","versions":[{"groupVersion":"example.com/v1","version":"v1"}],
			"preferredVersion":{"groupVersion":"example.com/v1","version":"v1"}}]}`)
	case r.URL.Path == "/apis/example.com/v1":
		_, _ = fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"example.com/v1","resources":[
			{"name":"shops","singularName":"shop","namespaced":true,"kind":"Shop","verbs":["list","watch"]}]}`)
	case r.URL.Path == "/api/v1/namespaces/kube-system":
		_, _ = fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"cluster"}}`)
	case resource == "selfsubjectaccessreviews":
		_, _ = fmt.Fprint(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
	case code != 0:
		a.status(w, code)
	case query.Get("sendInitialEvents") != "":
		a.status(w, http.StatusUnprocessableEntity) // lists are not streamed here
	case query.Get("watch") != "":
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	default:
		a.mu.Lock()
		a.listed = append(a.listed, r.URL.Path)
		a.mu.Unlock()
		kind := "List"
		if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList") {
			kind = "PartialObjectMetadataList"
		}
		version := "v1"
		if kind != "List" {
			version = "meta.k8s.io/v1"
		} else {
			for _, k := range recordKinds {
				if k.resource == resource {
					kind, version = k.Kind+"List", k.GroupVersion().String()
				}
			}
		}
		_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"7"},"items":[%s]}`,
			kind, version, strings.Join(a.lists[r.URL.Path], ","))
	}
}

func (a *fakeAPI) status(w http.ResponseWriter, code int) {
	reason := map[int]metav1.StatusReason{
		http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusNotFound: metav1.StatusReasonNotFound,
		http.StatusUnprocessableEntity: metav1.StatusReasonInvalid,
	}[code]
	if reason == "" {
		a.t.Errorf("no reason for code %d", code)
	}
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Reason: reason, Code: int32(code),
	})
}

func (a *fakeAPI) paths() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.listed)
	return slices.Compact(slices.Clone(a.listed))
}

// eventually waits for a condition, longer than a busy machine can keep it waiting.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 5*time.Minute, true,
		func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		t.Fatalf("waited in vain for %s: %v", what, err)
	}
}

package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
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
	// denied are the namespaces in which nothing may be read, and cut ends the watches of all.
	denied map[string]bool
	cut    chan struct{}
	// beginning is how many requests are refused still, as no roles are known yet.
	beginning int
}

func newFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	a := &fakeAPI{t: t, lists: map[string][]string{}, codes: map[string]int{}, cut: make(chan struct{})}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *fakeAPI) config() *rest.Config { return &rest.Config{Host: a.URL, QPS: 1000, Burst: 1000} }

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	resource := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	_, in, _ := strings.Cut(r.URL.Path, "/namespaces/")
	in, _, _ = strings.Cut(in, "/")
	denied, cut := a.denies(in)
	switch code := a.codes[resource]; {
	case a.begins():
		a.status(w, http.StatusForbidden)
	case r.URL.Path == "/api":
		_, _ = fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"]}`)
	case r.URL.Path == "/apis":
		_, _ = fmt.Fprint(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"example.com","versions":[{"groupVersion":"example.com/v1","version":"v1"}],
			"preferredVersion":{"groupVersion":"example.com/v1","version":"v1"}}]}`)
	case r.URL.Path == "/apis/example.com/v1":
		_, _ = fmt.Fprint(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"example.com/v1","resources":[
			{"name":"shops","singularName":"shop","namespaced":true,"kind":"Shop","verbs":["list","watch"]}]}`)
	case resource == "kube-system" && code == 0:
		_, _ = fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"cluster"}}`)
	case resource == "selfsubjectaccessreviews":
		_, _ = fmt.Fprintf(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":%t}}`, a.allows(r))
	case denied:
		a.status(w, http.StatusForbidden)
	case code != 0:
		a.status(w, code)
	case query.Get("sendInitialEvents") != "":
		a.status(w, http.StatusUnprocessableEntity) // lists are not streamed here
	case query.Get("watch") != "":
		w.WriteHeader(http.StatusOK)
		if kind, version := kindNamed(resource); query.Get("timeoutSeconds") == strconv.Itoa(lateWatch) { // which is to say that this is all
			_, _ = fmt.Fprintf(w, `{"type":"BOOKMARK","object":{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"7"}}}`, kind, version)
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-cut:
		}
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
			if k, v := kindNamed(resource); k != "" {
				kind, version = k+"List", v
			}
		}
		_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"7"},"items":[%s]}`,
			kind, version, strings.Join(a.lists[r.URL.Path], ","))
	}
}

// kindNamed is the kind of a resource that may be recorded, with its version.
func kindNamed(resource string) (kind, version string) {
	for _, k := range recordKinds {
		if k.resource == resource {
			return k.Kind, k.GroupVersion().String()
		}
	}
	return "", ""
}

// deny has nothing be read any more in some namespaces, and in all others again. All watches end.
func (a *fakeAPI) deny(namespaces ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied = map[string]bool{}
	for _, ns := range namespaces {
		a.denied[ns] = true
	}
	close(a.cut)
	a.cut = make(chan struct{})
}

func (a *fakeAPI) denies(namespace string) (denied bool, cut <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.denied[namespace], a.cut
}

// begins reports whether a request comes before the roles are known.
func (a *fakeAPI) begins() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.beginning--
	return a.beginning >= 0
}

// allows says whether what a review asks for is allowed.
func (a *fakeAPI) allows(r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
		return false
	}
	review, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		a.t.Error(err)
		return false
	}
	denied, _ := a.denies(review.(*authorizationv1.SelfSubjectAccessReview).Spec.ResourceAttributes.Namespace)
	return !denied
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

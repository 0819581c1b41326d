package demo

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
)

// kept is how many watch events of a resource can be watched again. Who asks for what was
// before those has to list.
const kept = 1000

// server is an API server on the loopback interface: of what it is given it serves lists
// and watches, with resource versions and bookmarks, as JSON. It takes no writes.
type server struct {
	listener net.Listener
	http     *http.Server

	mu        sync.Mutex
	resources map[string]*resource
	// version is the newest resource version of all.
	version int64
}

// resource is what there is of a kind.
type resource struct {
	schema.GroupVersionKind
	// objects are those that exist, by namespace and name.
	objects map[string]*recorded
	// log has the newest events, of which the first is number first. compacted is the newest
	// version that it lost. Versions do not always come in order: several watches were
	// recorded, and brought together by when things arrived.
	log       []*recorded
	first     int
	compacted int64
	watchers  map[chan struct{}]struct{}
}

// newServer starts a server that has nothing yet.
func newServer() (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{listener: listener, resources: map[string]*resource{}, version: 1}
	system := &recorded{Type: "ADDED"}
	system.APIVersion, system.Kind = "v1", "Namespace"
	system.Metadata.Name, system.Metadata.ResourceVersion = metav1.NamespaceSystem, "1"
	system.Object = fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"uid":%q,"resourceVersion":"1"}}`,
		metav1.NamespaceSystem, uuid.NewString())
	s.publish(system)
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }() // it ends with Close
	return s, nil
}

// Config is how to reach the server.
func (s *server) Config() *rest.Config {
	return &rest.Config{Host: "http://" + s.listener.Addr().String(), QPS: -1}
}

// Close ends all watches, too.
func (s *server) Close() error { return s.http.Close() }

// watched says whether somebody watches what is under a path.
func (s *server) watched(at string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.resource(at)
	return r != nil && len(r.watchers) > 0
}

// publish makes an event happen.
func (s *server) publish(e *recorded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.resource(e.resource())
	if r == nil {
		return // nobody can ask for it
	}
	key := path.Join(e.Metadata.Namespace, e.Metadata.Name)
	if e.Type == "DELETED" {
		delete(r.objects, key)
	} else {
		r.objects[key] = e
	}
	r.log = append(r.log, e)
	if len(r.log) > kept {
		r.compacted = max(r.compacted, r.log[0].version())
		r.log = slices.Delete(r.log, 0, 1)
		r.first++
	}
	s.version = max(s.version, e.version())
	for wake := range r.watchers {
		select {
		case wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// resource is what there is under a path, such as /apis/apps/v1/deployments; nil if nothing is
// served there.
func (s *server) resource(at string) *resource {
	if r := s.resources[at]; r != nil {
		return r
	}
	for gv, kinds := range served {
		for _, k := range kinds {
			if k.listed() && path.Join(gv.path(), k.resource) == at {
				r := &resource{GroupVersionKind: gv.WithKind(k.kind), objects: map[string]*recorded{}, watchers: map[chan struct{}]struct{}{}}
				s.resources[at] = r
				return r
			}
		}
	}
	return nil
}

// ServeHTTP is the API.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at, namespace := r.URL.Path, ""
	if before, after, ok := strings.Cut(at, "/namespaces/"); ok && strings.Contains(after, "/") {
		var rest string
		namespace, rest, _ = strings.Cut(after, "/")
		at = before + "/" + rest
	}
	switch {
	case r.URL.Path == "/version": // of the cluster that was recorded
		answer(w, http.StatusOK, version.Info{Major: "1", Minor: "36", GitVersion: "v1.36.3"})
		return
	case path.Base(at) == reviewed:
		answer(w, http.StatusCreated, map[string]any{
			"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "status": map[string]bool{"allowed": true},
		})
		return
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "the demonstration takes no writes")
		return
	}
	if discover(w, at) {
		return
	}
	s.mu.Lock()
	of, object := s.resource(at), json.RawMessage(nil)
	if of == nil {
		if in := s.resource(path.Dir(at)); in != nil && in.objects[path.Join(namespace, path.Base(at))] != nil {
			object = in.objects[path.Join(namespace, path.Base(at))].Object
		}
	}
	s.mu.Unlock()
	switch watch := r.URL.Query().Get("watch"); {
	case object != nil:
		answer(w, http.StatusOK, object)
	case of == nil:
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "the demonstration does not serve "+r.URL.Path)
	case watch == "" || watch == "false" || watch == "0":
		s.list(w, of, namespace)
	default:
		s.watch(w, r, of, namespace)
	}
}

func (s *server) list(w http.ResponseWriter, of *resource, namespace string) {
	s.mu.Lock()
	items, version := of.items(namespace), s.version
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{
		"apiVersion": of.GroupVersion().String(), "kind": of.Kind + "List",
		"metadata": map[string]string{"resourceVersion": strconv.FormatInt(version, 10)},
		"items":    items,
	})
}

// items are the objects that there are, in the order of their last change.
func (r *resource) items(namespace string) []json.RawMessage {
	var there []*recorded
	for _, e := range r.objects {
		if namespace == "" || e.Metadata.Namespace == namespace {
			there = append(there, e)
		}
	}
	slices.SortFunc(there, func(a, b *recorded) int { return int(a.version() - b.version()) })
	items := make([]json.RawMessage, len(there))
	for i, e := range there {
		items[i] = e.Object
	}
	return items
}

// watch sends what has happened since a resource version, and goes on with what happens.
func (s *server) watch(w http.ResponseWriter, r *http.Request, of *resource, namespace string) {
	query := r.URL.Query()
	since, _ := strconv.ParseInt(query.Get("resourceVersion"), 10, 64) // none is 0: from now on
	wake := make(chan struct{}, 1)
	s.mu.Lock()
	if since != 0 && since < of.compacted {
		s.mu.Unlock()
		refuse(w, http.StatusGone, metav1.StatusReasonExpired, fmt.Sprintf("too old resource version: %d (%d)", since, of.compacted))
		return
	}
	of.watchers[wake] = struct{}{}
	next, version := of.first+len(of.log), s.version
	var first []json.RawMessage
	initial := query.Get("sendInitialEvents") == "true"
	if initial {
		first = of.items(namespace)
	} else if since != 0 {
		for next > of.first && of.log[next-of.first-1].version() > since {
			next--
		}
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(of.watchers, wake)
		s.mu.Unlock()
	}()

	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	out := stream{json.NewEncoder(w), http.NewResponseController(w)}
	for _, object := range first {
		out.send("ADDED", object)
	}
	if initial {
		out.send("BOOKMARK", of.endOfList(version))
	}
	for out.flush() {
		s.mu.Lock()
		news := slices.Clone(of.log[max(0, next-of.first):])
		next = of.first + len(of.log)
		s.mu.Unlock()
		if len(news) == 0 {
			select {
			case <-r.Context().Done():
				return
			case <-wake:
			}
		}
		for _, e := range news {
			if namespace == "" || e.Metadata.Namespace == namespace {
				out.send(e.Type, e.Object)
			}
		}
	}
}

// endOfList is the bookmark behind the objects that there were when a watch began
// (KEP-3157).
func (r *resource) endOfList(version int64) any {
	return map[string]any{
		"apiVersion": r.GroupVersion().String(), "kind": r.Kind,
		"metadata": map[string]any{
			"resourceVersion": strconv.FormatInt(version, 10),
			"annotations":     map[string]string{metav1.InitialEventsAnnotationKey: "true"},
		},
	}
}

// stream is the body of a watch.
type stream struct {
	out        *json.Encoder
	controller *http.ResponseController
}

// send leaves an error to flush, which has it too: the client is gone.
func (s stream) send(t string, object any) {
	_ = s.out.Encode(map[string]any{"type": t, "object": object})
}

func (s stream) flush() bool { return s.controller.Flush() == nil }

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // an error says that the client is gone
}

func refuse(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) {
	answer(w, int(code), metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	})
}

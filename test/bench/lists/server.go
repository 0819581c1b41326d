package main

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// listServer serves lists of a large cluster that there is not, in protobuf over
// HTTP/2 and TLS as the API server does: streamed if asked for, else in pages of the
// size that is asked for, else whole. Its watches bring nothing.
type listServer struct {
	*httptest.Server
	pods    int
	streams bool
}

// listVersion is the resource version of every list.
const listVersion = "100000000"

func startListServer(pods int, streams bool) *listServer {
	s := &listServer{pods: pods, streams: streams}
	s.Server = httptest.NewUnstartedServer(s)
	s.EnableHTTP2 = true
	s.StartTLS()
	return s
}

// Close ends what is watched, too.
func (s *listServer) Close() {
	s.CloseClientConnections()
	s.Server.Close()
}

// kubeconfig writes a kubeconfig for the server.
func (s *listServer) kubeconfig(dir string) (string, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters["bench"] = &clientcmdapi.Cluster{Server: s.URL, CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})}
	config.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench"}
	config.CurrentContext = "bench"
	path := filepath.Join(dir, "kubeconfig")
	return path, clientcmd.WriteToFile(*config, path)
}

// ServeHTTP is the API.
func (s *listServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	resource := parts[len(parts)-1]
	version := schema.GroupVersion{Version: "v1"}
	if parts[0] == "apis" && len(parts) > 2 {
		version = schema.GroupVersion{Group: parts[1], Version: parts[2]}
	}
	switch {
	case r.URL.Path == "/api/v1/namespaces/kube-system":
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"bench"}}`)
	case resource == "selfsubjectaccessreviews":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprint(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
	case query.Get("watch") == "":
		if err := s.list(w, version, resource, query.Get("continue"), query.Get("limit")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	case query.Get("sendInitialEvents") != "" && !s.streams:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
	default:
		s.watch(w, r, version, resource, query.Get("sendInitialEvents") != "")
	}
}

func (s *listServer) list(w http.ResponseWriter, version schema.GroupVersion, resource, after, limit string) error {
	kind, ok := kinds[resource]
	if !ok {
		// A list without items is the same for every kind.
		return encode(w, corev1.SchemeGroupVersion, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: listVersion}})
	}
	from, _ := strconv.Atoi(after) // "" is 0
	to := kind.of(s.pods)
	m := metav1.ListMeta{ResourceVersion: listVersion}
	if n, err := strconv.Atoi(limit); err == nil && from+n < to {
		to = from + n
		m.Continue = strconv.Itoa(to)
	}
	var items []runtime.Object
	for i := from; i < to; i++ {
		items = append(items, kind.make(i))
	}
	return encode(w, version, kind.list(m, items))
}

const contentType = "application/vnd.kubernetes.protobuf"

// encode writes an object as a response.
func encode(w http.ResponseWriter, version schema.GroupVersion, object runtime.Object) error {
	w.Header().Set("Content-Type", contentType)
	encoder, _ := encoders(version)
	return encoder.Encode(object, w)
}

func encoders(version schema.GroupVersion) (runtime.Encoder, runtime.SerializerInfo) {
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), contentType)
	if !ok {
		panic("client-go does not know protobuf")
	}
	return scheme.Codecs.EncoderForVersion(info.Serializer, version), info
}

func (s *listServer) watch(w http.ResponseWriter, r *http.Request, version schema.GroupVersion, resource string, initial bool) {
	encoder, info := encoders(version)
	w.Header().Set("Content-Type", contentType+";stream=watch")
	w.WriteHeader(http.StatusOK)
	events := streaming.NewEncoder(info.StreamSerializer.NewFrameWriter(w), info.StreamSerializer.Serializer)
	send := func(t string, encoder runtime.Encoder, object runtime.Object) bool {
		raw, err := runtime.Encode(encoder, object)
		return err == nil && events.Encode(&metav1.WatchEvent{Type: t, Object: runtime.RawExtension{Raw: raw}}) == nil
	}
	if initial {
		if kind, ok := kinds[resource]; ok {
			for i := range kind.of(s.pods) {
				if !send("ADDED", encoder, kind.make(i)) {
					return
				}
			}
		}
		core, _ := encoders(corev1.SchemeGroupVersion)
		if !send("BOOKMARK", core, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: listVersion, Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}) {
			return
		}
	}
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

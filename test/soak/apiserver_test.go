package soak

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

// apiServer is the real one, behind what misbehaves. It hands on who asks.
type apiServer struct {
	t       testing.TB
	address string
	real    *httputil.ReverseProxy
	// certificate is nobody's: a token is not sent in plain text.
	certificate tls.Certificate

	// failing answers everything by 500.
	failing atomic.Bool
	// watchFor ends each watch after a while; 0 lets them be.
	watchFor atomic.Int64

	mu      sync.Mutex
	server  *http.Server
	expired map[string]bool // the paths of watches that are to begin anew; nil for none
	cut     context.CancelFunc
	cutting context.Context
}

func newAPIServer(t testing.TB, config *rest.Config) *apiServer {
	t.Helper()
	addresses, err := harness.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	anonymous := rest.AnonymousClientConfig(config) // who asks has a token
	transport, err := rest.TransportFor(anonymous)
	if err != nil {
		t.Fatal(err)
	}
	a := &apiServer{t: t, address: addresses[0], expired: map[string]bool{}}
	a.real = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		FlushInterval: -1, Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
	}
	some := httptest.NewTLSServer(http.NotFoundHandler())
	a.certificate = some.TLS.Certificates[0]
	some.Close()
	a.cutting, a.cut = context.WithCancel(context.Background())
	t.Cleanup(a.down)
	return a
}

// kubeconfig is one that leads here, with the token in a file.
func (a *apiServer) kubeconfig(dir, tokenFile string) string {
	config := clientcmdapi.NewConfig()
	config.Clusters["soak"] = &clientcmdapi.Cluster{Server: "https://" + a.address, InsecureSkipTLSVerify: true}
	config.AuthInfos["rollspan"] = &clientcmdapi.AuthInfo{TokenFile: tokenFile}
	config.Contexts["soak"] = &clientcmdapi.Context{Cluster: "soak", AuthInfo: "rollspan"}
	config.CurrentContext = "soak"
	path := dir + "/kubeconfig"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func (a *apiServer) up() {
	l, err := net.Listen("tcp", a.address)
	if err != nil {
		a.t.Error(err)
		return
	}
	s := &http.Server{
		Handler: a, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{a.certificate}, MinVersion: tls.VersionTLS12},
	}
	go func() { _ = s.ServeTLS(l, "", "") }() // it ends with down
	a.mu.Lock()
	defer a.mu.Unlock()
	a.server = s
}

// down refuses connections, and cuts those that there are.
func (a *apiServer) down() {
	a.mu.Lock()
	s := a.server
	a.server = nil
	a.mu.Unlock()
	if s != nil {
		_ = s.Close()
	}
	a.cutAll()
}

// cutAll ends all that is going on.
func (a *apiServer) cutAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cut()
	a.cutting, a.cut = context.WithCancel(context.Background())
}

// expire has each watch that there is begin anew, and be told that what it has seen is too old
// to go on from.
func (a *apiServer) expire() {
	a.mu.Lock()
	for path := range a.expired {
		a.expired[path] = true
	}
	a.mu.Unlock()
	a.cutAll()
}

// expireOnly is expire for the paths that end in one way, when they are watched next.
func (a *apiServer) expireOnly(suffix string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for path := range a.expired {
		a.expired[path] = strings.HasSuffix(path, suffix)
	}
}

// gone is what the API server says of a version that its watch cache has no more.
const gone = `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}` + "\n"

// ServeHTTP hands a request on, or not.
func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.failing.Load() {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"etcd is not well","reason":"InternalError","code":500}`)
		return
	}
	a.mu.Lock()
	cutting := a.cutting
	query := r.URL.Query()
	watches := query.Get("watch") != ""
	expired := false
	if watches && query.Get("sendInitialEvents") == "" {
		expired = a.expired[r.URL.Path]
		a.expired[r.URL.Path] = false
	}
	a.mu.Unlock()
	if expired {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, gone)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(cutting, cancel)()
	if d := time.Duration(a.watchFor.Load()); watches && d > 0 {
		defer time.AfterFunc(d, cancel).Stop()
	}
	if watches { // which end as the API server ends them
		defer func() {
			if why := recover(); why != nil && why != http.ErrAbortHandler { //nolint:errorlint // It is that one.
				panic(why)
			}
		}()
	}
	a.real.ServeHTTP(w, r.WithContext(ctx))
}

package ui

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	g "maragu.dev/gomponents"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/terminal"
)

// Options are those of the page.
type Options struct {
	// History is what is shown.
	History history.Reader
	// About says in a few words what that is: "the cluster", "2 recordings".
	About string
	// Empty says what to do where nothing has changed yet.
	Empty string
	// TokenFile has what visitors have to know. It is needed where Loopback is not set.
	TokenFile string
	// Loopback says that the page is served on an address of this machine alone, so that
	// requests have to name that.
	Loopback bool
	// TraceURL returns the address in a backend of a span that began and ended then, for a link to
	// it; nil or an empty answer for none. Of an address that is not http or https no link is made.
	TraceURL func(of trace.TraceID, span trace.SpanID, began, ended time.Time) string
	// API answers programs below history.APIPath; nil for none. Who may ask is seen to here.
	API http.Handler
	// Now is the time that ages are counted from. Default time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// pages answers requests.
type pages struct{ Options }

// NewHandler returns the page with all that it loads. Addresses in it are relative, so that it
// may be served below the path of a proxy that takes the path away.
func NewHandler(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &pages{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.list)
	mux.HandleFunc("GET /changes.json", p.listJSON)
	mux.HandleFunc("GET /change/{id}", p.change)
	mux.HandleFunc("GET /change/{id}/tree.txt", p.tree)
	mux.HandleFunc("GET /change/{id}/spans.json", p.spansJSON)
	mux.HandleFunc("GET /change/{id}/{span}/span.json", p.spanJSON)
	mux.HandleFunc("GET /trace/{trace}", p.trace)
	mux.HandleFunc("GET /overview", p.overview)
	mux.HandleFunc("GET /assets/{name}", asset)
	if o.API != nil {
		mux.Handle(history.APIPath, o.API)
	}
	mux.HandleFunc("/", p.missing)
	return &guard{
		next: mux, loopback: o.Loopback && o.TokenFile == "", tokenFile: o.TokenFile, now: o.Now, log: o.Log,
	}
}

// Serve serves the page until ctx is done.
func Serve(ctx context.Context, listener net.Listener, o Options) error {
	server := &http.Server{
		Handler:           NewHandler(o),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		BaseContext:    func(net.Listener) context.Context { return ctx },
	}
	if o.Log != nil {
		server.ErrorLog = slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody waits for an answer any more
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// frame is what all pages have.
type frame struct {
	// Title is that of the page, and Page names it to the script.
	Title, Page string
	// Root leads to the first page.
	Root string
	// About is what all of it is about.
	About string
	// Script and Style name the assets, so that a new version is not taken from a cache.
	Script, Style string
}

type loginPage struct {
	frame
	Next, Wrong string
}

type errorPage struct {
	frame
	Message string
}

// newFrame is the frame of the page that a request is answered with.
func newFrame(r *http.Request, page, title, about string) frame {
	return frame{
		Title: title, Page: page, About: about, Root: rootOf(r.URL.Path),
		Script: "script.js?" + digests["script.js"], Style: "style.css?" + digests["style.css"],
	}
}

//go:embed assets/*
var assetFiles embed.FS

// render writes a page. It is put together first, so that half a page is never sent.
func render(w http.ResponseWriter, status int, page g.Node) {
	var b bytes.Buffer
	if err := page.Render(&b); err != nil {
		http.Error(w, "The page cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who does not take it has gone
}

// renderJSON answers what the script asks. Who has the same answer gets none.
func renderJSON(w http.ResponseWriter, r *http.Request, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	tag := `"` + digest(body) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // who does not take it has gone
}

// fail answers with what went wrong.
func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, message := http.StatusInternalServerError, "It cannot be shown: "+err.Error()+"."
	var wrong wrongRequest
	switch {
	case errors.Is(err, history.ErrNotFound):
		status, message = http.StatusNotFound, "There is no such change here: it was never told, or it is so old that it was forgotten."
	case errors.Is(err, errNoPage):
		status, message = http.StatusNotFound, "There is no such page."
	case errors.As(err, &wrong), errors.Is(err, history.ErrPlace):
		status, message = http.StatusBadRequest, err.Error()
	case r.Context().Err() != nil:
		return // nobody is there any more
	default:
		p.Log.Warn("the page could not be shown", "path", r.URL.Path, "error", err)
	}
	if strings.HasSuffix(r.URL.Path, ".json") {
		http.Error(w, terminal.Line(message), status)
		return
	}
	render(w, status, errorPage{newFrame(r, "error", http.StatusText(status), p.About), terminal.Line(message)}.html())
}

// wrongRequest is what somebody asked for that cannot be.
type wrongRequest struct{ error }

func (p *pages) missing(w http.ResponseWriter, r *http.Request) { p.fail(w, r, errNoPage) }

var errNoPage = errors.New("there is no such page")

// digests are those of the assets.
var digests = func() map[string]string {
	all := map[string]string{}
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		content, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		all[e.Name()] = digest(content)
	}
	return all
}()

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

// assetTypes are those of the assets, by the ends of their names: the system's table is not
// asked.
var assetTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	content, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", assetTypes[path.Ext(name)])
	w.Header().Set("Cache-Control", "no-cache")
	if r.URL.RawQuery == digests[name] {
		w.Header().Set("Cache-Control", "max-age=31536000, immutable")
	}
	_, _ = w.Write(content) // who does not take it has gone
}

// link is the address of something of another server, safe to be followed; empty if there is
// none.
func (p *pages) link(of trace.TraceID, span trace.SpanID, began, ended time.Time) string {
	if p.TraceURL == nil {
		return ""
	}
	address := p.TraceURL(of, span, began, ended)
	if u, err := url.Parse(address); err != nil || !isWeb(u) {
		return ""
	}
	return address
}

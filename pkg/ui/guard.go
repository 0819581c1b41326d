package ui

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// policy lets the page load its own style and script, ask its own server, and do nothing
	// else. Trusted Types keep the script from making HTML of text.
	policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

	cookieName = "rollspan_ui"
	// loginLasts is how long a browser is let in with one login.
	loginLasts = 12 * time.Hour
	// minToken is below what a random token of 64 bits is in hex.
	minToken = 16
	maxToken = 4 << 10
)

// guard says who may see the pages.
type guard struct {
	next http.Handler
	// loopback says that the address cannot be reached from another machine. Then a request has
	// to name it as its host, or it comes from a page whose name was bound to this address.
	loopback bool
	// tokenFile has what a visitor has to know; empty for nothing.
	tokenFile string
	now       func() time.Time
	log       *slog.Logger
	// unread says that it was logged why the token cannot be read.
	unread atomic.Bool
}

// token reads the token, and says once why that fails.
func (g *guard) token() ([]byte, error) {
	token, err := ReadToken(g.tokenFile)
	if was := g.unread.Swap(err != nil); err != nil && !was {
		g.log.Error("nobody is let in to the page: the token cannot be read", "error", err)
	}
	return token, err
}

// ReadToken reads the token that visitors have to know. Space around it does not count. The error
// names the file.
func ReadToken(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	token, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return nil, err
	}
	token = bytes.TrimSpace(token)
	if len(token) < minToken || len(token) > maxToken {
		return nil, fmt.Errorf("%s: the token has %d bytes; it must have %d to %d, as `openssl rand -hex 16` makes it", path, len(token), minToken, maxToken)
	}
	return token, nil
}

// IsLoopback reports whether an address to listen on can be reached from this machine only. The
// error says what is wrong with the address.
func IsLoopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, err
	}
	return isLoopback(host), nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// ServeHTTP answers requests of those who may ask.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Without any referrer a browser would not say either that the login's form comes from here, and by plain
	// HTTP it says so nowhere else.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	switch {
	case g.loopback && !namesLoopback(r.Host):
		http.Error(w, "This page is asked for by the name localhost or a loopback address.", http.StatusMisdirectedRequest)
	case strings.HasPrefix(r.URL.Path, "/assets/"):
		g.next.ServeHTTP(w, r) // the login has a style, too
	case r.URL.Path == "/login" && g.tokenFile != "":
		g.login(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "Nothing can be changed here.", http.StatusMethodNotAllowed)
	case g.tokenFile != "" && !g.knows(r):
		g.refuse(w, r)
	default:
		g.next.ServeHTTP(w, r)
	}
}

// namesLoopback reports whether a request's host is this machine, whatever the port.
func namesLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return isLoopback(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// knows reports whether a request shows that its sender knows the token: by the header
// Authorization, or by the cookie of a login.
func (g *guard) knows(r *http.Request) bool {
	token, err := g.token()
	if err != nil {
		return false
	}
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return isToken(token, given)
	}
	cookie, err := r.Cookie(cookieNameOf(token))
	return err == nil && g.isCookie(token, cookie.Value)
}

// isToken compares in a time that says nothing of the token.
func isToken(token []byte, given string) bool {
	want, got := sha256.Sum256(token), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// cookieNameOf is another one for each token: a browser sends a cookie to all ports of a host, and
// two rollspans behind two of them (kubectl port-forward) would log each other's visitors out.
func cookieNameOf(token []byte) string {
	mac := hmac.New(sha256.New, token)
	mac.Write([]byte(cookieName))
	return cookieName + "_" + hex.EncodeToString(mac.Sum(nil)[:4])
}

// cookieOf is what a browser shows later: the time of the login, which only who knows the token can
// have written.
func cookieOf(token []byte, at time.Time) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, token)
	mac.Write([]byte(cookieName + " " + stamp))
	return stamp + "." + hex.EncodeToString(mac.Sum(nil))
}

func (g *guard) isCookie(token []byte, value string) bool {
	stamp, _, _ := strings.Cut(value, ".")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return false
	}
	at, now := time.Unix(seconds, 0), g.now()
	if at.After(now.Add(time.Minute)) || now.Sub(at) > loginLasts {
		return false
	}
	return hmac.Equal([]byte(cookieOf(token, at)), []byte(value))
}

// refuse asks a browser to log in, and tells a program that it has to.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request) {
	if _, err := g.token(); err != nil {
		http.Error(w, "The token cannot be read here; the log of rollspan says why.", http.StatusInternalServerError)
		return
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("WWW-Authenticate", `Bearer realm="rollspan"`)
		http.Error(w, "A token is needed: Authorization: Bearer TOKEN", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Location", rootOf(r.URL.Path)+"login?"+url.Values{"next": {strings.TrimPrefix(r.URL.RequestURI(), "/")}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

// login shows the form, and takes it.
func (g *guard) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4*maxToken)
	page := loginPage{frame: newFrame(r, "login", "Log in", ""), Next: localPath(r.FormValue("next"))}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		render(w, http.StatusOK, page.html())
	case http.MethodPost:
		err := g.takeLogin(w, r)
		if err == nil {
			w.Header().Set("Location", "./"+page.Next)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		page.Wrong = err.Error()
		render(w, http.StatusForbidden, page.html())
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "A login is a POST.", http.StatusMethodNotAllowed)
	}
}

func (g *guard) takeLogin(w http.ResponseWriter, r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return errors.New("the form was not sent from this page")
	}
	token, err := g.token()
	if err != nil {
		return errors.New("the token cannot be read here; the log of rollspan says why")
	}
	if !isToken(token, strings.TrimSpace(r.PostFormValue("token"))) {
		return errors.New("that is not the token")
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieNameOf(token), Value: cookieOf(token, g.now()), Path: "/", MaxAge: int(loginLasts.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	return nil
}

// localPath is where to go after a login, relative to the first page: never to another server.
func localPath(next string) string {
	u, err := url.Parse("/" + strings.TrimLeft(next, "/\\"))
	if err != nil || u.Host != "" || u.Scheme != "" || strings.HasPrefix(u.Path, "/login") {
		return ""
	}
	return strings.TrimLeft(u.RequestURI(), "/")
}

// rootOf leads from a path to the first page, relatively, so that the page may be served below
// the path of a proxy.
func rootOf(path string) string { return strings.Repeat("../", max(0, strings.Count(path, "/")-1)) }

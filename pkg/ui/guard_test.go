package ui

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const token = "0123456789abcdef0123"

// tokenFile is a file with the token, as `echo` makes it.
func tokenFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The headers keep what somebody smuggled into a page from running, and other pages from
// reading or framing this one.
func TestHeaders(t *testing.T) {
	h := NewHandler(Options{History: shop(t), Loopback: true, Now: now})
	for _, path := range []string{"/", changePath(1), "/overview", "/changes.json", "/assets/script.js", "/nothing", changePath(1) + "/tree.txt"} {
		answer := get(t, h, path)
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Access-Control-Allow-Origin": "",
		} {
			if got := answer.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", path, header, got, want)
			}
		}
		csp := answer.Header().Get("Content-Security-Policy")
		has(t, csp, "default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'")
		hasNot(t, csp, "unsafe", "*", "data:")
		if path != "/assets/script.js" && answer.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept by a cache", path)
		}
	}
}

// A page of somebody else, whose name was bound to the loopback address, is not answered.
func TestRebinding(t *testing.T) {
	h := NewHandler(Options{History: shop(t), Loopback: true, Now: now})
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:7655": 200, "127.0.0.1:7655": 200, "127.8.9.1": 200, "[::1]:7655": 200,
		"evil.example": 421, "evil.example:7655": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example:80": 421, "": 421, "10.0.0.1": 421, "0.0.0.0:7655": 421,
	} {
		if got := get(t, h, "/", func(r *http.Request) { r.Host = host }).Code; got != want {
			t.Errorf("host %q: %d, want %d", host, got, want)
		}
	}
}

// Nothing can be changed: what is no GET is refused.
func TestOnlyReading(t *testing.T) {
	h := NewHandler(Options{History: shop(t), Loopback: true, Now: now})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodTrace, http.MethodConnect} {
		for _, path := range []string{"/", changePath(1), "/login"} {
			answer := get(t, h, path, func(r *http.Request) { r.Method = method })
			if answer.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, answer.Code)
			}
		}
	}
}

// Where there is a token nothing is seen without it: not a page, and not an answer for the script.
func TestToken(t *testing.T) {
	at := now()
	h := NewHandler(Options{History: shop(t), TokenFile: tokenFile(t, token+"\n"), Now: func() time.Time { return at }})
	browser := func(r *http.Request) { r.Host = "rollspan.example"; r.Header.Set("Accept", "text/html") }
	for _, path := range []string{"/?q=web", changePath(1), "/overview", "/changes.json", changePath(1) + "/spans.json", changePath(1) + "/tree.txt", "/nothing"} {
		answer := get(t, h, path)
		if answer.Code != http.StatusUnauthorized || strings.Contains(answer.Body.String(), "web") {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
		if answer = get(t, h, path, browser); answer.Code != http.StatusSeeOther || strings.Contains(answer.Body.String(), "web") {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
		for given, want := range map[string]int{"Bearer " + token: 200, "Bearer " + token + "x": 401, "Bearer": 401, token: 401, "Basic " + token: 401} {
			if path == "/nothing" && want == 200 {
				want = 404
			}
			if got := get(t, h, path, func(r *http.Request) { r.Header.Set("Authorization", given) }).Code; got != want {
				t.Errorf("%s with %q: %d, want %d", path, given, got, want)
			}
		}
	}
	if to := get(t, h, "/?q=web", browser).Header().Get("Location"); to != "login?next=%3Fq%3Dweb" {
		t.Errorf("a browser is led to %s", to)
	}
	if to := get(t, h, changePath(1), browser).Header().Get("Location"); !strings.HasPrefix(to, "../login?next=change%2F") {
		t.Errorf("a browser is led to %s", to)
	}

	// Logging in gives a cookie, which the script of a page cannot read, and no other page sends.
	answer := login(t, h, token, "change/x?span=1", "same-origin")
	if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "./change/x?span=1" {
		t.Fatalf("%d to %s", answer.Code, answer.Header().Get("Location"))
	}
	cookies := answer.Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || strings.Contains(cookies[0].Value, token) {
		t.Fatalf("the cookies are %v", cookies)
	}
	with := func(value string) int {
		return get(t, h, "/", browser, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookies[0].Name, Value: value}) }).Code
	}
	good := cookies[0].Value
	if code := with(good); code != http.StatusOK {
		t.Errorf("with the cookie: %d", code)
	}
	_, mac, _ := strings.Cut(good, ".")
	for _, bad := range []string{"", "1", good + "0", "9" + good, "9999999999." + mac, "." + mac, cookieOf([]byte("another token, also long"), at)} {
		if code := with(bad); code != http.StatusSeeOther {
			t.Errorf("with the cookie %q: %d", bad, code)
		}
	}
	at = at.Add(loginLasts + time.Second)
	if code := with(good); code != http.StatusSeeOther {
		t.Errorf("with the cookie of yesterday: %d", code)
	}
}

// login sends the form. site is from where, as a browser says it.
func login(t *testing.T, h http.Handler, given, next, site string) *httptest.ResponseRecorder {
	t.Helper()
	return loginWith(t, h, given, next, "Sec-Fetch-Site", site)
}

// loginWith sends the form with one more header.
func loginWith(t *testing.T, h http.Handler, given, next, header, value string) *httptest.ResponseRecorder {
	t.Helper()
	form := url.Values{"token": {given}, "next": {next}}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://rollspan.example/login", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set(header, value)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestLoginRefused(t *testing.T) {
	h := NewHandler(Options{History: shop(t), TokenFile: tokenFile(t, token), Now: now})
	if answer := login(t, h, token, "", "cross-site"); answer.Code != http.StatusForbidden || len(answer.Result().Cookies()) > 0 {
		t.Errorf("a form of another site: %d", answer.Code)
	}
	for _, wrong := range []string{"", "wrong", token + "0", token[1:]} {
		answer := login(t, h, wrong, "", "same-origin")
		has(t, answer.Body.String(), "that is not the token")
		if answer.Code != http.StatusForbidden || len(answer.Result().Cookies()) > 0 {
			t.Errorf("%q: %d", wrong, answer.Code)
		}
	}
	for next, want := range map[string]string{
		"https://evil.example/": "./https://evil.example/", "//evil.example": "./evil.example", `\\evil.example`: "./evil.example", "login?next=x": "./", "": "./", "?q=a": "./?q=a",
	} {
		if got := "./" + localPath(next); got != want {
			t.Errorf("after the login %q leads to %q, want %q", next, got, want)
		}
	}
}

// By plain HTTP a browser says only by Origin from where a form comes, unless the host is localhost. It says
// "null" there where a page wants no referrers at all: then nobody could log in.
func TestLoginByPlainHTTP(t *testing.T) {
	h := NewHandler(Options{History: shop(t), TokenFile: tokenFile(t, token), Now: now})
	if policy := get(t, h, "/login").Header().Get("Referrer-Policy"); policy == "no-referrer" || policy == "" {
		t.Errorf("the form has the Referrer-Policy %q", policy)
	}
	for origin, want := range map[string]int{
		"http://rollspan.example": http.StatusSeeOther,
		"http://evil.example":     http.StatusForbidden, "http://rollspan.example.evil.example": http.StatusForbidden, "null": http.StatusForbidden,
	} {
		answer := loginWith(t, h, token, "", "Origin", origin)
		if answer.Code != want || (len(answer.Result().Cookies()) > 0) != (want == http.StatusSeeOther) {
			t.Errorf("a form from %s: %d, want %d", origin, answer.Code, want)
		}
	}
}

// A token that is too short to be none, or that cannot be read, lets nobody in.
func TestBadToken(t *testing.T) {
	for name, path := range map[string]string{"empty": tokenFile(t, "\n"), "short": tokenFile(t, "secret"), "absent": filepath.Join(t.TempDir(), "none"), "long": tokenFile(t, strings.Repeat("x", maxToken+1))} {
		if _, err := ReadToken(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		h := NewHandler(Options{History: shop(t), TokenFile: path, Now: now})
		for _, given := range []string{"", "secret", strings.Repeat("x", maxToken+1)} {
			if code := get(t, h, "/", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+given) }).Code; code != http.StatusInternalServerError {
				t.Errorf("%s: %d", name, code)
			}
		}
	}
}

// Two rollspans behind two ports of one host do not log each other's visitors out.
func TestTwoPagesOfOneHost(t *testing.T) {
	const other = "fedcba98765432100123"
	names := map[string]bool{}
	for _, given := range []string{token, other} {
		h := NewHandler(Options{History: shop(t), TokenFile: tokenFile(t, given), Now: now})
		for _, c := range login(t, h, given, "", "same-origin").Result().Cookies() {
			names[c.Name] = true
			hasNot(t, c.Name+c.Value, given)
		}
	}
	if len(names) != 2 {
		t.Errorf("two tokens have the cookies %v", names)
	}
}

// Who is told that the log says why the token cannot be read finds it there, once, and again when
// that was mended and is so again.
func TestUnreadableTokenIsLogged(t *testing.T) {
	var out bytes.Buffer
	file := tokenFile(t, token)
	h := NewHandler(Options{History: shop(t), TokenFile: file, Now: now, Log: slog.New(slog.NewTextHandler(&out, nil))})
	visit := func(content string, want int) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			get(t, h, "/")
		}
		if n := strings.Count(out.String(), "the token cannot be read"); n != want {
			t.Errorf("it was said %d times, want %d:\n%s", n, want, out.String())
		}
	}
	visit(token, 0)
	visit("short", 1)
	visit(token, 1)
	visit("", 2)
	hasNot(t, out.String(), token)
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "127.9.9.9:0": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "example.com:1": false, "localhost.evil.example:1": false,
	} {
		if got, err := IsLoopback(address); err != nil || got != want {
			t.Errorf("%s: %t, %v", address, got, err)
		}
	}
}

// Serve ends with its context, whoever still listens.
func TestServe(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, Options{History: shop(t), Loopback: true, Now: now, Log: slog.New(slog.DiscardHandler)})
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // it was read
	if err != nil || !strings.Contains(string(body), "rollout of revision 2") {
		t.Errorf("%v: %s", err, body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

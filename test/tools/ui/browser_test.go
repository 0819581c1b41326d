// Package ui tests rollspan's page as somebody sees it: in a real Chromium. It is a module of
// its own, so that what drives the browser is none of rollspan's dependencies.
package ui

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	rollspan "github.com/rollspan/rollspan/pkg/ui"
)

// elsewhere is a name of this machine that a browser does not take for it. It trusts localhost as if that had TLS.
const elsewhere = "rollspan.test"

// browser is the Chromium that all tests share, each with a tab of its own.
var browser context.Context

func TestMain(m *testing.M) {
	path, err := chromium()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP "+elsewhere+" 127.0.0.1"), chromedp.Flag("force-device-scale-factor", "1"), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("enable-precise-memory-info", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which Chromium does not do for root
	}
	allocator, free := chromedp.NewExecAllocator(context.Background(), options...)
	var stop context.CancelFunc
	browser, stop = chromedp.NewContext(allocator)
	code := 1
	if err := chromedp.Do(browser); err != nil {
		fmt.Fprintf(os.Stderr, "%s does not start: %v\n", path, err)
	} else {
		code = m.Run()
	}
	stop()
	free()
	for _, path := range built {
		_ = os.Remove(path) // it is in a folder for such
	}
	os.Exit(code)
}

// chromium is where the browser is.
func chromium() (string, error) {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("the page is tested in Chromium, and there is none: install it (apt-get install chromium), or name one in the variable CHROMIUM")
}

// tab is a tab of the browser with a page in it.
type tab struct {
	testing.TB
	ctx context.Context
	url string

	mu sync.Mutex
	// wrong is what the browser complained about: exceptions, and what the page's policy kept
	// from happening.
	wrong []string
}

// open serves a page, and opens a tab for it. At the end of the test the browser must not have
// complained.
func open(t testing.TB, o rollspan.Options) *tab {
	t.Helper()
	o.Loopback = true
	server := httptest.NewServer(rollspan.NewHandler(o))
	t.Cleanup(server.Close)
	return visit(t, server.URL)
}

// visit opens a tab for what is served elsewhere.
func visit(t testing.TB, url string) *tab {
	t.Helper()
	ctx, closed := chromedp.NewContext(browser)
	t.Cleanup(closed)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	b := &tab{TB: t, ctx: ctx, url: url}
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.complain((&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
				b.complain(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
			}
		case *page.EventJavascriptDialogOpening:
			b.complain("a dialog says " + e.Message)
		}
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, w := range b.wrong {
			t.Errorf("the browser complains: %s", w)
		}
	})
	b.size(1400, 900)
	return b
}

func (b *tab) complain(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, what)
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// call sends a command of the browser's protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.Helper()
	answer, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.Fatal(err)
	}
	return answer
}

func (b *tab) size(width, height int64) {
	b.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
}

func (b *tab) goTo(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

// theme has the system be light or dark.
func (b *tab) theme(name string) {
	b.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// press presses keys, one after the other.
func (b *tab) press(keys ...string) {
	b.Helper()
	for _, k := range keys {
		b.do(chromedp.KeyEvent(k))
	}
}

// ask evaluates JavaScript that gives a text.
func (b *tab) ask(script string) string { return ask[string](b, script) }

func ask[T any](b *tab, script string) T {
	b.Helper()
	answer, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.Fatalf("%s: %v", script, err)
	}
	return answer
}

// wait waits until JavaScript gives true, also beyond the page that there is now. It fails the
// test if it does not come to that.
func (b *tab) wait(script string) {
	b.Helper()
	again := time.NewTicker(15 * time.Millisecond)
	defer again.Stop()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for {
		if ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](script)); err == nil && ok {
			return
		}
		select {
		case <-again.C:
		case <-late.C:
			b.shot("failed")
			b.Fatalf("it does not come to %s:\n%s\n%s", script, b.ask("location.href"), b.ask("document.body.innerText.slice(0, 4000)"))
		case <-b.ctx.Done():
			b.Fatal(b.ctx.Err())
		}
	}
}

// waitText waits until an element has a text.
func (b *tab) waitText(selector, text string) {
	b.Helper()
	b.wait(fmt.Sprintf("[...document.querySelectorAll(%q)].some(e => e.textContent.includes(%q))", selector, text))
}

// waitPath waits until the tab is at an address that has a text.
func (b *tab) waitPath(text string) {
	b.Helper()
	b.wait(fmt.Sprintf("document.readyState === 'complete' && (location.pathname + location.search).includes(%q)", text))
}

// waterfall waits until the script shows the waterfall.
func (b *tab) waterfall() {
	b.Helper()
	b.wait("document.querySelectorAll('.wf.live .wf-row').length > 0")
}

// click clicks the first element of a selector that has a text.
func (b *tab) click(selector, text string) {
	b.Helper()
	b.waitText(selector, text)
	at := ask[[]float64](b, fmt.Sprintf(`(() => {
		const e = [...document.querySelectorAll(%q)].find(e => e.textContent.includes(%q));
		e.scrollIntoView({block: "center"});
		const r = e.getBoundingClientRect();
		return [r.left + Math.min(r.width / 2, 60), r.top + r.height / 2];
	})()`, selector, text))
	b.do(chromedp.MouseClickXY(at[0], at[1]))
}

// shot takes a picture for a person, if the variable UI_SHOTS names a folder for it.
func (b *tab) shot(name string) {
	b.Helper()
	folder := os.Getenv("UI_SHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, strings.ReplaceAll(b.Name(), "/", "-")+"-"+name+".png"), picture, 0o600); err != nil {
		b.Fatal(err)
	}
}

// forgive forgets what the browser has complained about, and returns it.
func (b *tab) forgive() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	wrong := b.wrong
	b.wrong = nil
	return wrong
}

// text is that of the first element of a selector.
func (b *tab) text(selector string) string {
	b.Helper()
	return b.ask(fmt.Sprintf("document.querySelector(%q)?.textContent ?? ''", selector))
}

// count is how many elements a selector has.
func (b *tab) count(selector string) int {
	b.Helper()
	return ask[int](b, fmt.Sprintf("document.querySelectorAll(%q).length", selector))
}

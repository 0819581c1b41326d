package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/ui"
)

// pageAddress is where the page is served by commands that are there for it.
const pageAddress = "127.0.0.1:7655"

// page is the embedded page of a command.
type page struct {
	address, tokenFile string
	// usual is the address that was not asked for: if it is taken, another one does.
	usual string
	// about says what is watched.
	about string
}

func (p *page) addFlags(fs *pflag.FlagSet, usual string) {
	p.usual = usual
	words := "`HOST:PORT` to serve a page on that shows what has changed and why; default none"
	if usual != "" {
		words = "`HOST:PORT` to serve a page on that shows what has changed and why; empty for none"
	}
	fs.StringVar(&p.address, "ui-address", usual, words)
	fs.StringVar(&p.tokenFile, "ui-token-file", "", "`FILE` with a token that who looks at the page has to know; needed where --ui-address is not a loopback address")
}

// on reports whether there is a page.
func (p *page) on() bool { return p.address != "" }

func (p *page) validate() error {
	if err := validateAddress("ui-address", p.address); err != nil {
		return err
	}
	if !p.on() {
		if p.tokenFile != "" {
			return errors.New("--ui-token-file: it is of no use without --ui-address; give that, too")
		}
		return nil
	}
	if p.tokenFile != "" {
		if _, err := ui.ReadToken(p.tokenFile); err != nil {
			return fmt.Errorf("--ui-token-file: %w", err)
		}
		return nil
	}
	if local, err := ui.IsLoopback(p.address); err == nil && !local {
		return fmt.Errorf("--ui-address: %s can be reached from other machines; name a file with a token (--ui-token-file), or serve it on 127.0.0.1", p.address)
	}
	return nil
}

// listen begins to listen. Where the usual address is taken another port does.
func (p *page) listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", p.address)
	if errors.Is(err, syscall.EADDRINUSE) && p.address == p.usual {
		host, _, _ := net.SplitHostPort(p.address) // it is validated
		l, err = config.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--ui-address: something else listens on %s; name another port, or end that", p.address)
	case err != nil:
		return nil, fmt.Errorf("--ui-address: %w", err)
	}
	return l, nil
}

// serve serves the page until ctx is done, and says where it is. What it returns closes it.
func (p *page) serve(ctx context.Context, a *app, o ui.Options) (hide func(), err error) {
	listener, err := p.listen(ctx)
	if err != nil {
		return nil, err
	}
	o.TokenFile, o.Log = p.tokenFile, a.log
	o.Loopback, _ = ui.IsLoopback(p.address) // as above
	serving, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := ui.Serve(serving, listener, o); err != nil {
			a.log.Error("the page is served no more", "error", err)
		}
	}()
	if at := "http://" + shownAddress(listener.Addr()) + "/"; a.jsonLog {
		a.log.Info("the page is served", "at", at)
	} else {
		a.say("The page: %s", at)
	}
	return func() {
		stop()
		<-done
	}, nil
}

// shownAddress is an address that a browser on this machine takes.
func shownAddress(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// historyOutput keeps traces for the page, and does nothing else with them. It is for who can
// wait: a store takes no more than it can keep in time.
type historyOutput struct {
	ctx   context.Context
	store history.Store
	// waiting is how many spans may not be kept yet.
	waiting int
}

// mostWaiting is far below what a store has wait.
const mostWaiting = 10_000

func (o *historyOutput) Deliver(t spans.Trace) error {
	o.store.Add(t)
	if o.waiting += len(t.Spans); o.waiting < mostWaiting {
		return nil
	}
	o.waiting = 0
	_, err := o.store.List(o.ctx, history.Query{Limit: 1}) // which has what was added before
	return err
}

func (o *historyOutput) Close(context.Context) error { return nil }

// keep begins to keep what becomes of a run for its page, if it has one, and serves that until
// ctx is done. What it returns closes the page.
func (r *run) keep(ctx context.Context) (hide func(), err error) {
	if !r.page.on() {
		return func() {}, nil
	}
	r.history = r.openHistory()
	closePage, err := r.page.serve(ctx, r.app, ui.Options{
		History: r.history, About: r.page.about, API: &history.API{Reader: r.history, Status: r.fares},
		TraceURL: r.conversion.traceURL.template.To,
		Empty:    "What changes from now on is here when it is over. To see one, roll something out: kubectl rollout restart deployment/NAME",
	})
	if err != nil {
		return nil, err
	}
	return func() {
		closePage()
		if err := closeHistory(ctx, r.history); err != nil {
			r.log.Warn("not all that was told is kept for the page", "error", err)
		}
	}, nil
}

// kept has traces kept for the page on their way to an output.
func (r *run) kept(out output) output {
	if r.history == nil {
		return out
	}
	return noticedOutput{out, r.history.Add}
}

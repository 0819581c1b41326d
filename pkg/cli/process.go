package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	// endWithin is how long a command that has nothing to drain may take to end.
	endWithin = 5 * time.Second
	// drainMargin is how much longer than its drain timeout a command may take.
	drainMargin = 2 * time.Second
	// lastWords is how long the program waits for somebody to read why it ended.
	lastWords = 2 * time.Second
)

// Process is Main for a process of its own. The first SIGINT or SIGTERM asks the
// command to end. If it has not done so in the time that it has for that, whatever
// it is stuck in, or if there is a second signal, Process returns all the same; the
// caller must exit then.
func Process(args []string, s Streams) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	life := newLife(s)
	return life.supervise(signals, func(ctx context.Context) int { return execute(ctx, args, s, life) })
}

// life is what decides when the process ends, and what is known of the command that
// runs in it.
type life struct {
	mu  sync.Mutex
	log *slog.Logger
	// within is how long the command may take to end.
	within time.Duration
	// quiet says that the command ends at once, and says itself why.
	quiet bool
	// left says what the command is at and what is lost if it does not end, as
	// attributes for the log; nil for nothing.
	left func() []any
}

func newLife(s Streams) *life {
	return &life{log: slog.New(slog.NewTextHandler(s.Err, nil)), within: endWithin}
}

// logTo has news of the process's end go to a log.
func (l *life) logTo(log *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = log
}

// drains notes that the command delivers what it has for as long as drain when it is
// to end. left says what it is at, and what it has not delivered.
func (l *life) drains(drain time.Duration, left func() []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.within, l.left = drain+drainMargin, left
}

// endsQuietly notes that the command says itself that it was asked to end.
func (l *life) endsQuietly() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quiet = true
}

// announce says in the log that the end has begun.
func (l *life) announce(log *slog.Logger, s os.Signal, within time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.quiet {
		// Aside, as whoever reads the log may have stopped to.
		go log.Info(name(s)+": stopping; another signal ends rollspan at once", "within", within.String())
	}
}

// signalError is the cause of the end of a context.
type signalError struct{ os.Signal }

// Error names the signal.
func (e *signalError) Error() string { return name(e.Signal) }

func (l *life) state() (log *slog.Logger, within time.Duration, left func() []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log, l.within, l.left
}

// supervise does work until that returns, or until a signal has ended it. What work
// is stuck in goes on until the process exits.
func (l *life) supervise(signals <-chan os.Signal, work func(context.Context) int) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	ended := make(chan int, 1)
	go func() { ended <- work(ctx) }()

	var first os.Signal
	select {
	case code := <-ended:
		return code
	case first = <-signals:
	}
	cancel(&signalError{first})
	log, within, left := l.state()
	timer := time.NewTimer(within)
	defer timer.Stop()
	l.announce(log, first, within)
	select {
	case code := <-ended:
		return code
	case second := <-signals:
		return exitBy(second)
	case <-timer.C:
	}
	said := make(chan struct{})
	go func() {
		defer close(said)
		details := []any{"after", within.String()}
		if left != nil {
			details = append(details, left()...)
		}
		log.Error("rollspan did not end in time, and exits", details...)
	}()
	select {
	case <-said:
	case <-time.After(lastWords):
	case <-signals:
	}
	return ExitError
}

// name is a signal as people know it.
func name(s os.Signal) string {
	if s == syscall.SIGTERM {
		return "SIGTERM"
	}
	return "SIGINT"
}

// exitBy is the exit code that shells give for a process that a signal ended.
func exitBy(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return ExitError
}

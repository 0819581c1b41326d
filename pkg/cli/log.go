package cli

import (
	"context"
	"fmt"
	"io"
	standardlog "log"
	"log/slog"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel"
	"k8s.io/klog/v2"
	controllerruntime "sigs.k8s.io/controller-runtime/pkg/log"
)

// logOptions say what is logged, and how.
type logOptions struct {
	level, format string
}

func (o *logOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.level, "log-level", "info", "what to log on stderr: debug, info, warn or error")
	fs.StringVar(&o.format, "log-format", "text", "text or json")
}

func (o *logOptions) validate() error {
	// slog would also take "debug-4", at which client-go logs what it sends
	// and receives.
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, o.level) {
		return fmt.Errorf("--log-level: %q is not one of debug, info, warn, error", o.level)
	}
	if o.format != "text" && o.format != "json" {
		return fmt.Errorf("--log-format: %q is neither text nor json", o.format)
	}
	return nil
}

// logger returns the logger that valid options ask for.
func (o *logOptions) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(o.level)) // validated
	options := &slog.HandlerOptions{Level: level}
	if o.format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// routeLogs sends what libraries log the same way, their news as debugging.
func routeLogs(log *slog.Logger) {
	library := logr.FromSlogHandler(libraryHandler{log.Handler()})
	klog.SetLogger(library)
	controllerruntime.SetLogger(library)
	otel.SetLogger(library)
	standardlog.SetFlags(0)
	standardlog.SetOutput(standardLog{log})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("OpenTelemetry", "error", err) }))
}

// standardLog takes what Go's own packages print, up to the first quotation mark.
// What they quote is what the other side has sent, with whatever is in there: of
// net/http it is what a collector says when nobody has asked it, or a header.
type standardLog struct{ log *slog.Logger }

// Write logs one message.
func (w standardLog) Write(message []byte) (int, error) {
	text, _, quotes := strings.Cut(string(message), `"`)
	if text = strings.TrimSpace(text); quotes {
		text += " …"
	}
	w.log.Warn("Go's standard library", "says", text)
	return len(message), nil
}

// libraryHandler takes all but errors as debug messages: libraries tell at
// info level what is news to their own developers. What is below debug stays
// there, because that is client-go's requests with all they contain.
type libraryHandler struct{ slog.Handler }

func libraryLevel(l slog.Level) slog.Level {
	if l < slog.LevelError {
		return min(l, slog.LevelDebug)
	}
	return l
}

// Enabled asks for the level that a record will have.
func (h libraryHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.Handler.Enabled(ctx, libraryLevel(l))
}

// Handle passes a record on with its new level. Not everybody asks Enabled
// first.
func (h libraryHandler) Handle(ctx context.Context, r slog.Record) error {
	if !h.Enabled(ctx, r.Level) {
		return nil
	}
	r.Level = libraryLevel(r.Level)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the wrapping.
func (h libraryHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the wrapping.
func (h libraryHandler) WithGroup(name string) slog.Handler {
	return libraryHandler{h.Handler.WithGroup(name)}
}

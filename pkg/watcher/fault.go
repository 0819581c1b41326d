package watcher

import (
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/rollspan/rollspan/pkg/causality"
)

// LogFaults returns what logs the faults that an engine contained: each with what it
// cost and where it happened, the stack as a debug message. Of a storm of them some are
// logged, and the engine's Stats count all.
func LogFaults(log *slog.Logger) func(causality.Fault) {
	storm := rate.NewLimiter(rate.Every(5*time.Second), 20)
	return func(f causality.Fault) {
		if !storm.Allow() {
			return
		}
		message := "this is a mistake in rollspan, please report it; what was known of the object is dropped, and read anew"
		if f.Kind == causality.FaultWork {
			message = "too much work; what was known of the object is dropped, and read anew"
		}
		log.Error(message, "object", f.Object, "doing", f.Doing, "reason", f.Reason, "place", f.Place)
		log.Debug("where it happened", "object", f.Object, "stack", f.Stack)
	}
}

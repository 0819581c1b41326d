// Package faults finds where something panicked.
package faults

import (
	"fmt"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// Where is the innermost function of this module below the panic, and the
// stack. It is called while recovering.
func Where() (place, stack string) {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicked := false
	var all strings.Builder
	for {
		frame, more := frames.Next()
		if panicked {
			fmt.Fprintf(&all, "%s\n\t%s:%d\n", frame.Function, path.Base(frame.File), frame.Line)
			if place == "" && !strings.HasPrefix(frame.Function, "runtime.") && !strings.HasSuffix(frame.Function, ".spend") {
				place = path.Base(frame.File) + ":" + strconv.Itoa(frame.Line)
			}
		}
		panicked = panicked || frame.Function == "runtime.gopanic"
		if !more {
			return place, all.String()
		}
	}
}

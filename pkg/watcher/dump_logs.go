package watcher

import (
	"bufio"
	"bytes"
)

// kubectl cluster-info dump without --output-directory prints the logs of
// containers between the objects, each between two such lines
// (k8s.io/kubectl/pkg/cmd/clusterinfo). The second is appended to a log whose last
// line has no end.
var (
	logsBegin = []byte("==== START logs for container ")
	logsEnd   = []byte("==== END logs for container ")
)

// withoutLogs reads a stream without the logs in it. Lines may be of any length.
type withoutLogs struct {
	in      *bufio.Reader
	rest    []byte // of what is being handed out
	middle  bool   // of a line
	logging bool
}

func (r *withoutLogs) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		part, err := r.in.ReadSlice('\n') // a line that is longer than its buffer comes in parts
		if len(part) == 0 {
			return 0, err
		}
		begins := !r.middle
		r.middle = part[len(part)-1] != '\n'
		switch {
		case begins && !r.logging && bytes.HasPrefix(part, logsBegin):
			r.logging = true
		case !r.logging:
			r.rest = part // until it is read, nothing else is
		case bytes.Contains(part, logsEnd):
			r.logging = false
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

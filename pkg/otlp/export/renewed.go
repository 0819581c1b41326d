package export

import (
	"sync"

	"github.com/go-logr/logr"
)

// renewed is what all have in common that is in files and read again from time to time: it logs
// what becomes of that.
type renewed struct {
	// what is in the files; a plural.
	what string

	// mu is for all that is read, too.
	mu  sync.Mutex
	log logr.Logger
	// said holds what was logged about a file that cannot be read.
	said map[string]string
}

func (r *renewed) logTo(log logr.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = log
}

// logTo has all that is in files say to a log what becomes of it.
func (s *settings) logTo(log logr.Logger) {
	if s.tls != nil {
		s.tls.logTo(log)
	}
	if s.headerFiles != nil {
		s.headerFiles.logTo(log)
	}
}

// report logs what became of reading a file again: each error once, until it is another or
// there is none. The caller holds the lock.
func (r *renewed) report(from source, changed bool, err error) {
	switch {
	case err == nil:
		delete(r.said, from.name)
		if changed {
			r.log.Info("Read renewed "+r.what, "file", from.value, "setting", from.name)
		}
	case r.said[from.name] != err.Error():
		if r.said == nil {
			r.said = map[string]string{}
		}
		r.said[from.name] = err.Error()
		r.log.Error(err, "The "+r.what+" cannot be read again; those that were read before stay in use", "file", from.value)
	}
}

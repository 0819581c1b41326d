package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/otlp/export"
)

// collector asks it for an answer.
func (e *examination) collector(ctx context.Context) {
	if e.Collector == nil {
		e.add(Finding{Check: "collector", Status: Skipped, Found: "none is used, so that traces are printed; to send them, name one with --otlp-endpoint, and no other output"})
		return
	}
	asked, err := export.Ask(ctx, *e.Collector)
	if err != nil {
		e.add(Finding{Check: "collector", Status: Failed, Reason: "settings", Found: err.Error(), Do: "correct the flag or the variable"})
		return
	}
	e.add(collectorOf(asked))
}

func collectorOf(a export.Asked) Finding {
	where := fmt.Sprintf("%s (%s", a.Endpoint, a.Protocol)
	if a.Proxy != "" {
		where += ", by the proxy " + a.Proxy
	}
	if len(a.Addresses) > 0 {
		where += ", " + strings.Join(a.Addresses[:min(3, len(a.Addresses))], ", ")
	}
	where += ")"
	if a.Reason != "" {
		return Finding{Check: "collector", Status: Failed, Reason: string(a.Reason), Found: fmt.Sprintf("%s: %s", where, a.Said), Do: a.Check}
	}
	f := Finding{Check: "collector", Status: OK, Found: where + " answers"}
	switch {
	case a.Said != "":
		f.Found += ", but minds a request without spans: " + a.Said
	case a.Plain:
		f.Found += ", and takes no compressed requests: they are sent without"
	}
	return f
}

// dataDir looks whether the journal can be written.
func (e *examination) dataDir() {
	if e.DataDir == "" {
		return
	}
	info, err := os.Stat(e.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.add(Finding{Check: "data-dir", Status: Warning, Reason: "missing", Found: fmt.Sprintf("%s is not there", e.DataDir),
			Do: "nothing, if the first run is to make it; in a pod, check that the volume is mounted there"})
		return
	case err != nil:
		e.add(Finding{Check: "data-dir", Status: Failed, Reason: "failed", Found: err.Error(), Do: "check the path, and who may read it"})
		return
	case !info.IsDir():
		e.add(Finding{Check: "data-dir", Status: Failed, Reason: "file", Found: fmt.Sprintf("%s is no directory", e.DataDir), Do: "name a directory with --data-dir"})
		return
	}
	if err := writable(e.DataDir); err != nil {
		e.add(Finding{Check: "data-dir", Status: Failed, Reason: "read-only", Found: err.Error(),
			Do: fmt.Sprintf("let the user %d write there; in a pod, by the volume's fsGroup", os.Getuid())})
		return
	}
	found := e.DataDir + " can be written"
	switch used, err := journal.InUse(e.DataDir); {
	case err != nil:
		e.add(Finding{Check: "data-dir", Status: Failed, Reason: "lock", Found: err.Error(),
			Do: fmt.Sprintf("let the user %d read and write all that is there, or name another directory with --data-dir", os.Getuid())})
		return
	case used:
		found += ", and a rollspan uses it"
	}
	free, known := freeBytes(e.DataDir)
	if more := e.DataDirMaxBytes - taken(e.DataDir); known && free < more {
		e.add(Finding{Check: "data-dir", Status: Warning, Reason: "full", Found: fmt.Sprintf("%s; %d MiB are free of the disk, and rollspan may take %d MiB more", found, free>>20, more>>20),
			Do: "make room, or set --data-dir-max-bytes to less: where the disk is full, what comes waits in memory"})
		return
	}
	e.ok("data-dir", found)
}

// setAside are the ends of names of what rollspan has set aside, which counts for no bound.
var setAside = regexp.MustCompile(`\.(corrupt[0-9]*|other|foreign)$`)

// taken is how much of its bound rollspan has taken in a data directory. What cannot be read, or is gone
// meanwhile, is taken for nothing.
func taken(dir string) (bytes int64) {
	_ = fs.WalkDir(os.DirFS(dir), ".", func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || setAside.MatchString(entry.Name()) {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

func writable(dir string) error {
	f, err := os.CreateTemp(dir, "doctor-")
	if err != nil {
		return err
	}
	_, err = f.WriteString(time.Now().String())
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

package journal

import (
	"errors"
	"os"
)

// stopNote is a file that says whether the journal has stopped: its disk has failed, and what
// was handed out since is not in there. It is written in place, which takes no room on a disk
// that is full.
type stopNote struct{ file *os.File }

// What is in the file.
const (
	goesOn     = "it goes on\n"
	hasStopped = "it stopped\n"
)

// openStopNote opens the note, which it makes, and says what is in it.
func openStopNote(path string) (n *stopNote, stopped bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	n = &stopNote{f}
	was := make([]byte, len(hasStopped))
	if read, _ := f.ReadAt(was, 0); read < len(was) { // it is new, or says nothing that can be read
		return n, false, n.write(goesOn)
	}
	return n, string(was) == hasStopped, nil
}

func (n *stopNote) write(what string) error {
	_, err := n.file.WriteAt([]byte(what), 0)
	return errors.Join(err, n.file.Sync())
}

func (n *stopNote) close() {
	if n != nil {
		_ = n.file.Close() // it was synced
	}
}

// stop ends the series of a journal whose disk has failed, and reports whether what is in there
// is of use to the next process. It is not where nobody can be told that it stopped: the next
// process would take what was handed out since for not handed out. The caller holds the lock.
func (k *Keeper) stop() (kept bool) {
	kept = k.stopping != nil && k.stopping.write(hasStopped) == nil
	for _, s := range []*series{k.observed, k.handed} {
		if s == nil {
			continue
		}
		if s.file != nil {
			_ = s.file.Close() // it has failed
			last := s.segments[len(s.segments)-1]
			_ = os.Truncate(last.path, last.bytes) // else a tail is torn
		}
		for _, seg := range s.segments {
			if !kept {
				_ = os.Remove(seg.path) // where it cannot be, it is as it was
			}
		}
	}
	k.observed, k.handed = nil, nil
	return kept
}

// goOnBehind goes on with a journal that had stopped. What it says was handed out by the replay,
// as far as it was not acknowledged; what came since nobody knows, so that the engine is a new
// one, as it is in later replays.
func (k *Keeper) goOnBehind() {
	if !k.recordStop() {
		return
	}
	if err := k.stopping.write(goesOn); err != nil {
		k.fail(err)
		return
	}
	k.options.Log.Warn("the journal had stopped, as its disk had failed: what was built by then and had not arrived is sent; "+
		"what happened since is known as far as objects and Events still prove it", "dir", k.options.Dir)
	k.stoppedHere()
}

// recordStop notes that a new engine is told what comes behind, and reports whether that survives the
// machine.
func (k *Keeper) recordStop() bool {
	k.record([]byte{recStopped})
	if k.Kept() {
		if err := k.observed.flush(true); err != nil {
			k.fail(err)
		}
	}
	return k.Kept()
}

// stoppedHere begins anew, as a process did after the journal had stopped.
func (k *Keeper) stoppedHere() {
	k.engine, k.listed, k.replayed = k.options.New(), map[string]bool{}, 0
	k.nowhere()
	if k.options.Reset != nil {
		k.options.Reset()
	}
}

// notCompacted goes on with the segments that there are. The disk may have had no room for one
// more, which is tried again when the journal has grown. The caller holds the lock.
func (k *Keeper) notCompacted(c *compaction, err error) error {
	c.discard()
	k.base = k.observed.bytes()
	k.measure()
	k.stats.Failures++
	if !k.uncompacted {
		k.uncompacted = true
		k.options.Log.Error("the journal could not be compacted, and goes on as it is; it is tried again when it has grown",
			"dir", k.options.Dir, "error", err)
	}
	return k.bounded()
}

// discard removes the files that do not take the place of anything: they are not counted, and have
// another name each time.
func (c *compaction) discard() {
	for _, r := range []replacement{c.observed, c.handed} {
		if r.path != "" {
			_ = os.Remove(r.path) // or it is removed when the directory is opened next
		}
	}
}

// bounded is an error where the journal takes more than it may. The caller holds the lock.
func (k *Keeper) bounded() error {
	if k.stats.Bytes > k.options.MaxBytes {
		return errors.New("it takes more room than it may; more is given by --data-dir-max-bytes")
	}
	return nil
}

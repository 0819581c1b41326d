package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	// fileName is the database in the directory of a Store.
	fileName = "history.db"
	// format is the version of what is in it.
	format = "1"
	// headroom is how much of the bound is left free at least, half of it at most, for what a
	// change of the tables takes until it is through: pages are not written over. spare is which
	// part of a large bound is: what is dropped from more pages takes more of them.
	headroom = 4 << 20
	spare    = 32
	// pageBytes is the size of a page: on every system the same, so that a directory can be
	// moved to another.
	pageBytes = 4096
	// growBy is which part of the bound the file grows by at once, and maxGrow how much that is at
	// most. The database refuses to come nearer to its bound than that, so it must be less than what
	// is left free: else the file is full before it is known to be.
	growBy  = 64
	maxGrow = headroom / 8
	// copyBytes is how much is copied at once to a file that is written anew.
	copyBytes = 1 << 20
)

// NewerError says that a newer version of rollspan has written a database.
type NewerError struct{ Path, Format string }

// Error says what to do.
func (e *NewerError) Error() string {
	return fmt.Sprintf("%s: a newer version of rollspan has written it (format %q; this one knows %s): use that version, or remove the file", e.Path, e.Format, format)
}

// Open returns a Store on a disk, in a directory of its own, which it makes if it is not there.
// What is damaged there is set aside, and it begins anew. An error says that there can be no
// database in this directory: use NewMemory then.
func Open(dir string, o Options) (Store, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultDiskBytes
	}
	most := o.MaxBytes
	o.MaxBytes, _ = bounds(most)
	path := filepath.Join(dir, fileName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the history of changes: %w", err)
	}
	t, err := openSmaller(path, most, o.MaxBytes)
	if err != nil && isDamage(err) {
		if o.Log != nil {
			o.Log.Error("the history of changes is damaged, and begins anew", "file", path, "aside", path+asideSuffix, "error", err)
		}
		t, err = openAnew(path, most)
	}
	if err != nil {
		return nil, fmt.Errorf("the history of changes: %w", err)
	}
	return newStore(o, t, func() (tables, error) { return openAnew(path, most) }), nil
}

// bounds are how much of a file of at most so many bytes may be used, and how much it grows by at once.
func bounds(most int64) (used, grow int64) {
	return most - min(max(headroom, most/spare), most/2), min(most/growBy, maxGrow)
}

const asideSuffix = ".corrupt"

// openAnew sets aside what there is: only what was last, as it takes room.
func openAnew(path string, most int64) (tables, error) {
	if err := os.Rename(path, path+asideSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return openNew(path, most)
}

func openNew(path string, most int64) (tables, error) {
	t, err := openDisk(path, most)
	if err != nil {
		return nil, err // and no tables at all
	}
	return t, nil
}

// openSmaller opens what there is. A file that is larger than the bound, as that was another
// once, is written anew: a database does not get smaller by what is dropped from it.
func openSmaller(path string, most, target int64) (tables, error) {
	smaller := path + ".smaller"
	_ = os.Remove(smaller) // of a process that did not get through: what it has is in the file, too
	if info, err := os.Stat(path); err != nil || info.Size() <= most {
		return openNew(path, most)
	}
	large, err := openDisk(path, 0)
	if err != nil {
		return nil, err
	}
	for some := true; some && large.used() > target; {
		if some, err = shrink(large, newCodec(), target, maxDrop); err != nil {
			return nil, errors.Join(err, large.close())
		}
	}
	err = guarded(func() error {
		small, err := openFile(smaller, most)
		if err != nil {
			return err
		}
		return errors.Join(bolt.Compact(small, large.db, copyBytes), small.Close())
	})
	if err = errors.Join(err, large.close()); err != nil {
		return nil, err
	}
	if err := os.Rename(smaller, path); err != nil {
		return nil, err
	}
	return openNew(path, most)
}

// isDamage tells what is wrong with a file from what is wrong around it: no permission, no room.
func isDamage(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) ||
		errors.Is(err, bolterrors.ErrVersionMismatch)
}

// diskTables are the tables in a file.
type diskTables struct{ db *bolt.DB }

func openDisk(path string, most int64) (t *diskTables, err error) {
	err = guarded(func() error {
		db, err := openFile(path, most)
		if err != nil {
			return err
		}
		t = &diskTables{db}
		if err := t.begin(path); err != nil {
			_ = db.Close() // the error is what matters
			return err
		}
		return nil
	})
	return t, err
}

func openFile(path string, most int64) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: time.Second, FreelistType: bolt.FreelistMapType, PageSize: pageBytes, MaxSize: int(most),
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if most > 0 {
		_, grow := bounds(most)
		db.AllocSize = int(grow)
	}
	return db, nil
}

// begin makes the tables, and looks at the version.
func (d *diskTables) begin(path string) error {
	return d.db.Update(func(tx *bolt.Tx) error {
		if meta := tx.Bucket([]byte(tableMeta)); meta != nil {
			version, err := unseal(meta.Get(keyVersion))
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if string(version) != format {
				return &NewerError{path, string(version)}
			}
		}
		for _, t := range allTables {
			if _, err := tx.CreateBucketIfNotExists([]byte(t)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(tableMeta)).Put(keyVersion, seal([]byte(format)))
	})
}

// guarded makes an error of what the database panics at, which is what it does with a damaged
// file: it maps the file, and what is not there faults.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return f()
}

func (d *diskTables) view(read func(reader) error) error {
	return guarded(func() error {
		return d.db.View(func(tx *bolt.Tx) error { return read(diskTx{tx}) })
	})
}

func (d *diskTables) update(write func(writer) error) error {
	err := guarded(func() error {
		return d.db.Update(func(tx *bolt.Tx) error { return write(diskTx{tx}) })
	})
	if errors.Is(err, bolterrors.ErrMaxSizeReached) {
		return errFull
	}
	return err
}

func (d *diskTables) used() (bytes int64) {
	_ = d.view(func(r reader) error { // what is damaged takes what it takes
		s := d.db.Stats()
		bytes = r.(diskTx).Size() - int64(s.FreePageN+s.PendingPageN)*int64(d.db.Info().PageSize)
		return nil
	})
	return bytes
}

func (d *diskTables) close() error { return guarded(d.db.Close) }

type diskTx struct{ *bolt.Tx }

// bucket panics where a table is missing, which is damage.
func (tx diskTx) bucket(t table) *bolt.Bucket {
	b := tx.Bucket([]byte(t))
	if b == nil {
		panic("there is no table " + string(t))
	}
	return b
}

func (tx diskTx) get(t table, key []byte) []byte       { return tx.bucket(t).Get(key) }
func (tx diskTx) put(t table, key, value []byte) error { return tx.bucket(t).Put(key, value) }
func (tx diskTx) delete(t table, key []byte) error     { return tx.bucket(t).Delete(key) }
func (tx diskTx) cursor(t table) cursor                { return tx.bucket(t).Cursor() }

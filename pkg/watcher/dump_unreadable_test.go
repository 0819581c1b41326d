package watcher

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// failing is a file system some of whose files cannot be opened, or read to the
// end, or listed.
type failing struct {
	fs.FS
	open, read, list map[string]error
}

func (f failing) Open(name string) (fs.File, error) {
	if err := f.open[name]; err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return failingFile{file, f.read[name], f.list[name]}, nil
}

// failingFile fails where the file would end, or does not list what is in it.
type failingFile struct {
	fs.File
	err, list error
}

func (f failingFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if f.list != nil {
		return nil, f.list
	}
	return f.File.(fs.ReadDirFile).ReadDir(n)
}

func (f failingFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err != nil && f.err != nil {
		err = f.err
	}
	return n, err
}

// TestUnreadableFiles checks that what cannot be read is reported, and holds up
// nothing: whoever runs it, root included.
func TestUnreadableFiles(t *testing.T) {
	errDisk := errors.New("input/output error")
	pods := &fstest.MapFile{Data: []byte(dumpedPod)}
	folder := failing{
		FS: fstest.MapFS{
			"a/forbidden.json": pods, "b/bad-disk.json": pods, "b/bad-disk.json.gz": pods,
			"c/closed/pod.json": pods, "d/good.json": pods,
			"e/cut.yaml": {Data: []byte(dumpedYAML + "---\n" + strings.ReplaceAll(dumpedYAML, "web", "other") + "status: {")},
		},
		open: map[string]error{"a/forbidden.json": fs.ErrPermission},
		read: map[string]error{"b/bad-disk.json": errDisk, "b/bad-disk.json.gz": errDisk, "e/cut.yaml": errDisk},
		list: map[string]error{"c/closed": fs.ErrPermission},
	}
	var broken []string
	d := NewDump(func(err error) { broken = append(broken, err.Error()) })
	if err := d.addFolder(t.Context(), folder, "dump"); err != nil {
		t.Fatal(err)
	}
	if got, want := namesOf(t, d), []string{"Pod/web"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	want := [][2]string{
		{"a/forbidden.json", "permission denied"}, {"b/bad-disk.json", errDisk.Error()}, {"b/bad-disk.json.gz", errDisk.Error()},
		{"c/closed", "permission denied"}, {"e/cut.yaml", errDisk.Error()},
	}
	if !slices.EqualFunc(broken, want, func(got string, w [2]string) bool {
		return strings.Contains(got, "dump/"+w[0]+": ") && strings.Contains(got, w[1])
	}) {
		t.Errorf("broken: %q", broken)
	}

	// The folder as such is an error.
	folder.list = map[string]error{".": fs.ErrPermission}
	if err := NewDump(nil).addFolder(t.Context(), folder, "dump"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

// TestForbiddenFiles is about a file that the system does not let us read.
func TestForbiddenFiles(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything; TestUnreadableFiles does not ask the system")
	}
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.json"), nil, 0o000); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "b.json"), []byte(dumpedPod), 0o600); err != nil {
		t.Fatal(err)
	}
	var broken []string
	d := NewDump(func(err error) { broken = append(broken, err.Error()) })
	if err := d.AddPath(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if got := namesOf(t, d); !slices.Equal(got, []string{"Pod/web"}) || len(broken) != 1 || !strings.Contains(broken[0], "a.json") {
		t.Errorf("got %v, broken %q", got, broken)
	}
	if err := d.AddPath(t.Context(), filepath.Join(root, "a.json")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

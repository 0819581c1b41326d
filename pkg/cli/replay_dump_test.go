package cli

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDumpTellsItsStory replays a support bundle; its README tells the story.
func TestDumpTellsItsStory(t *testing.T) {
	out, errs, code := rollspan(t, "", "replay", "testdata/bundle")
	if code != ExitOK {
		t.Errorf("exit %d: %s", code, errs)
	}
	for _, want := range []string{
		"deployment/api  revision 1  complete  cause create  1  of 1 ready",
		"deployment/api  revision 2  superseded  cause template  1 wanted  ended within 300.000s  (inferred)\n",
		"deployment/api  revision 3  complete  cause rollback  to revision 1",
		"deployment/api  revision 4  open  cause rollback  to revision 2",
		"Pod start  pod/api-new-bbbbb  ERROR: CrashLoopBackOff: exit code 3",
		"+4.000s   14.000s           back off  pod/api-new-bbbbb container/api  CrashLoopBackOff",
		"run container  pod/api-new-bbbbb container/api  ERROR: Error: exit code 3",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	for _, want := range []string{
		"testdata/bundle: 3 Events, 2 Pods, 2 ReplicaSets, 1 Deployment in 4 files, 1 file passed over, 0 broken objects\n",
		"snapshot of 2026-03-02T09:30:40Z: 4 changes\n",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q on stderr:\n%s", want, errs)
		}
	}
}

// TestFilesOfADumpAreOneSnapshot names the files of a bundle one by one, with
// standard input among them.
func TestFilesOfADumpAreOneSnapshot(t *testing.T) {
	whole, _, _ := rollspan(t, "", "replay", "testdata/bundle")
	files, err := filepath.Glob("testdata/bundle/cluster-resources/*/shop.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	args, in := []string{"replay"}, ""
	for _, file := range files {
		if !strings.Contains(file, "deployments") {
			args = append(args, file)
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		args, in = append(args, "-"), string(content)
	}
	if parts, errs, code := rollspan(t, in, args...); code != ExitOK || parts != whole {
		t.Errorf("exit %d, %s\n%s\nwant\n%s", code, errs, parts, whole)
	}
}

// TestLookingBack leaves out what is over and began before the time asked for.
func TestLookingBack(t *testing.T) {
	out, errs, _ := rollspan(t, "", "replay", "--since", "1m", "testdata/bundle")
	if strings.Contains(out, "revision 3  ") || !strings.Contains(out, "revision 4  open") {
		t.Errorf("got:\n%s\nwant revision 4 only", out)
	}
	if !strings.Contains(errs, "; not told: 3 rollouts from more than 1m0s before (--since)\n") {
		t.Errorf("stderr: %s", errs)
	}
}

// TestDumpInPart names what a dump lacks.
func TestDumpInPart(t *testing.T) {
	_, errs, code := rollspan(t, "", "replay", "testdata/bundle/cluster-resources/deployments")
	for _, want := range []string{"there are no ReplicaSets, which prove", "; no Pods, which show", "; no Events, which date"} {
		if code != ExitOK || !strings.Contains(errs, want) {
			t.Errorf("exit %d, no %q on stderr:\n%s", code, want, errs)
		}
	}
	if _, errs, _ := rollspan(t, "", "replay", "testdata/bundle"); strings.Contains(errs, "there are no") {
		t.Errorf("nothing is missing, but stderr says:\n%s", errs)
	}
}

func TestBrokenDump(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "nodes.json")
	if err := os.WriteFile(broken, []byte(`{"apiVersion":"v1","kind":"NodeList","items":[{"metadata":{"name":"x","uid":"x"}},{`), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, _, _ := rollspan(t, "", "replay", "testdata/bundle")
	out, errs, code := rollspan(t, "", "replay", "testdata/bundle", broken)
	if code != ExitError || out != whole || !strings.Contains(errs, broken+": item 2: ") || !strings.Contains(errs, ", 1 broken object\n") {
		t.Errorf("exit %d, stderr:\n%s", code, errs)
	}
	if _, errs, code := rollspan(t, "", "replay", "--lenient", "testdata/bundle", broken); code != ExitOK {
		t.Errorf("--lenient: exit %d, stderr:\n%s", code, errs)
	}
	if _, errs, code := rollspan(t, "", "replay", t.TempDir()); code != ExitError || !strings.Contains(errs, "the dump holds no objects of a cluster") {
		t.Errorf("empty folder: exit %d, stderr:\n%s", code, errs)
	}
}

// TestDumpsOfTwoClusters names two dumps that state different clusters: they are no one snapshot.
func TestDumpsOfTwoClusters(t *testing.T) {
	folder := t.TempDir()
	var files []string
	for _, uid := range []string{"k1", "k2"} {
		file := filepath.Join(folder, uid+".json")
		content := `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kube-system","uid":"` + uid + `"}}`
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	_, errs, code := rollspan(t, "", append([]string{"replay"}, files...)...)
	if code == ExitOK || !strings.Contains(errs, "these are dumps of 2 clusters (the namespace kube-system has the UIDs k1, k2); replay those of one cluster at a time") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if _, errs, code := rollspan(t, "", "replay", files[0]); code != ExitOK {
		t.Errorf("one of them: exit %d: %s", code, errs)
	}
}

// TestCleanedDump says what has been cleaned of what its past is told by.
func TestCleanedDump(t *testing.T) {
	clean := `[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"shop"}},` +
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b","namespace":"shop","uid":"b"}}]`
	out, errs, _ := rollspan(t, clean, "replay", "-")
	for _, want := range []string{"1 object without metadata.uid left out", "; not told: 1 object without metadata.creationTimestamp, which something has cleaned"} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q on stderr:\n%s", want, errs)
		}
	}
	if strings.Contains(out, "pod/") {
		t.Errorf("got:\n%s", out)
	}
}

// TestArchivesInArchivesAreNamed gives a file that is packed too often.
func TestArchivesInArchivesAreNamed(t *testing.T) {
	var packed bytes.Buffer
	for range 4 {
		content := bytes.Clone(packed.Bytes())
		packed.Reset()
		w := gzip.NewWriter(&packed)
		_, _ = w.Write(content) // a buffer takes all
		_ = w.Close()
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "all.gz"), packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, code := rollspan(t, "", "replay", folder, "testdata/bundle")
	want := "1 of the files passed over are archives in archives, or packed too often; to read one, unpack it first\n"
	if code != ExitOK || !strings.Contains(errs, want) {
		t.Errorf("exit %d, no %q on stderr:\n%s", code, want, errs)
	}
}

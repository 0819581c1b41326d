package watcher

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"pgregory.net/rapid"
)

// packers pack as people do. There is none for bzip2 in the standard library: see bzipped.
var packers = map[string]func(t testing.TB, content []byte) []byte{
	".gz": func(t testing.TB, content []byte) []byte {
		var b bytes.Buffer
		return written(t, &b, gzip.NewWriter(&b), content)
	},
	".xz": func(t testing.TB, content []byte) []byte {
		var b bytes.Buffer
		w, err := xz.WriterConfig{BlockSize: 1000, CheckSum: xz.SHA256}.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		return written(t, &b, w, content)
	},
	".zst": func(t testing.TB, content []byte) []byte {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		return written(t, &b, w, content)
	},
	".zip": func(t testing.TB, content []byte) []byte { return zipOf(t, zip.Deflate, content) },
}

func written(t testing.TB, out *bytes.Buffer, w io.WriteCloser, content []byte) []byte {
	t.Helper()
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// zipOf is a zip of a folder with files of these contents, packed by a method.
func zipOf(t testing.TB, method uint16, contents ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if _, err := w.Create("dump/"); err != nil {
		t.Fatal(err)
	}
	for i, content := range contents {
		h := &zip.FileHeader{Name: "dump/" + string(rune('a'+i)) + ".json", Method: method}
		if method == zip.Store { // as zip does: the sizes are ahead of the file
			h.CRC32, h.CompressedSize64, h.UncompressedSize64 = crc32.ChecksumIEEE(content), uint64(len(content)), uint64(len(content))
			f, err := w.CreateRaw(h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(content); err != nil {
				t.Fatal(err)
			}
			continue
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const packedRecording = `{"time":"2026-03-02T10:00:00Z","type":"ADDED","object":` + dumpedPod + `}` + "\n"

// TestPackedOneBehindTheOther reads several streams of a format in one file, as `cat` makes them,
// each with as much care as the first.
func TestPackedOneBehindTheOther(t *testing.T) {
	for _, ending := range []string{".gz", ".xz", ".zst"} {
		first, second := packers[ending](t, []byte(podLine+"\n"+podLine[:20])), packers[ending](t, []byte(podLine[20:]+"\n"+nodeLine))
		for between, padding := range map[string][]byte{"nothing": nil, "zeros": make([]byte, 8)} {
			if padding != nil && ending != ".xz" {
				continue
			}
			r := NewRecordingReader(bytes.NewReader(slices.Concat(first, padding, second, padding)), "a.jsonl"+ending)
			if observations, broken := read(t, r); len(observations) != 3 || broken != nil {
				t.Errorf("%s, %s between: %d observations, %q", ending, between, len(observations), broken)
			}
		}
	}

	wide := packers[".xz"](t, []byte(dumpedPod))
	widen(wide, 12)
	_, broken, _ := readDump(t, file{"a.xz", string(packers[".xz"](t, []byte(dumpedPod+"\n"))) + string(wide)})
	if len(broken) != 1 || !strings.Contains(broken[0], "a window of more than 64 MiB") {
		t.Errorf("a wide window in the second stream: %q", broken)
	}
}

// widen has the block of an xz stream that begins somewhere ask for a window of four gigabytes.
func widen(stream []byte, at int) {
	header := stream[at : at+(int(stream[at])+1)*4]
	sum := len(header) - crc32.Size
	header[bytes.Index(header, []byte{0x21, 1})+2] = 40
	binary.LittleEndian.PutUint32(header[sum:], crc32.ChecksumIEEE(header[:sum]))
}

// bzipped is dumpedPod and a line break, made by bzip2.
var bzipped = base64Of("QlpoOTFBWSZTWWcnJP4AADXbgAAQEAQgkEEAPmvfiiAAcigAGgAGg1T9Jpqno2kTEZptSFeqfs+ZjZDqsOCUJJFrZDGiZAU58U1E3Z73bNf9zHYooxrESG2gNgQ+CIac0akvoLhApkxA6FHxdyRThQkGcnJP4A==")

func base64Of(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// TestPackedInput reads what is packed, in every format, as what is in it.
func TestPackedInput(t *testing.T) {
	if out, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(bzipped))); err != nil || string(out) != dumpedPod+"\n" {
		t.Fatalf("%q, %v", out, err)
	}
	if names, broken, _ := readDump(t, file{"pod.json.bz2", string(bzipped)}); !slices.Equal(names, []string{"Pod/web"}) || broken != nil {
		t.Errorf("bzip2: %q, %q", names, broken)
	}
	for ending, pack := range packers {
		dump := string(pack(t, []byte(dumpedPod)))
		if !IsDump(bufio.NewReaderSize(strings.NewReader(dump), sniffBytes), "pod.json"+ending) {
			t.Errorf("%s: a dump is taken for a recording", ending)
		}
		if names, broken, stats := readDump(t, file{"pod.json" + ending, dump}); !slices.Equal(names, []string{"Pod/web"}) || broken != nil || stats.Files != 1 {
			t.Errorf("%s: %q, %q, %+v", ending, names, broken, stats)
		}
		recording := string(pack(t, []byte(packedRecording)))
		if IsDump(bufio.NewReaderSize(strings.NewReader(recording), sniffBytes), "a.jsonl"+ending) {
			t.Errorf("%s: a recording is taken for a dump", ending)
		}
		r := NewRecordingReader(strings.NewReader(recording), "a.jsonl"+ending)
		if o, err := r.Next(); err != nil || o.Object == nil {
			t.Errorf("%s: %v", ending, err)
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v behind the end", ending, err)
		}
	}
	other := strings.NewReplacer("web", "db", "p1", "p2").Replace(dumpedPod)
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		names, broken, _ := readDump(t, file{"d.zip", string(zipOf(t, method, []byte(dumpedPod), []byte(other)))})
		if !slices.Equal(names, []string{"Pod/db", "Pod/web"}) || broken != nil {
			t.Errorf("a zip of two, method %d: %q, %q", method, names, broken)
		}
	}
}

// TestArchivesInArchives reads an archive in an archive, and passes over what is deeper: a zip may
// be made that holds itself.
func TestArchivesInArchives(t *testing.T) {
	inZip := func(content string) string { return string(zipOf(t, zip.Store, []byte(content))) }
	inTar := func(content string) string { return tarOf(t, file{"a", content}) }
	for _, c := range []struct {
		name string
		pack func(content string) string
		deep int
		want []string
	}{
		{"zip", inZip, 2, []string{"Pod/web"}},
		{"tar", inTar, 2, []string{"Pod/web"}},
		{"zip", inZip, 5, nil},
		{"tar", inTar, 5, nil},
		{"zip", inZip, 50, nil},
		{"tar", func(content string) string { return inTar(inZip(content)) }, 25, nil},
		{"gz", zipped, 4, nil},
		{"tgz", func(content string) string { return zipped(inTar(content)) }, 2, nil},
	} {
		content := dumpedPod
		for range c.deep {
			content = c.pack(content)
		}
		got, broken, stats := readDump(t, file{"all." + c.name, content})
		if !slices.Equal(got, c.want) || len(broken) > 0 {
			t.Errorf("%s, %d deep: got %v, broken %q", c.name, c.deep, got, broken)
		}
		deeper := 0
		if c.want == nil {
			deeper = 1
		}
		if stats.Archives != deeper || stats.PassedOver != deeper {
			t.Errorf("%s, %d deep: %+v", c.name, c.deep, stats)
		}
	}
}

// TestPackedInputThatIsNotRead names the format, or what is wrong, in one sentence, and shows
// nothing of what is in it.
func TestPackedInputThatIsNotRead(t *testing.T) {
	window := packers[".xz"](t, []byte(strings.Repeat(dumpedPod+"\n", 50))) // in several blocks
	// The second block of it asks for four gigabytes.
	second := 12 + bytes.Index(window[12:], window[12:18])
	for i := second + 100; i < len(window)-20; i++ {
		if bytes.Equal(window[i:i+4], []byte{window[12], window[13], 0x21, 0x01}) {
			widen(window, i)
			break
		}
	}
	damaged := func(ending string) string {
		content := packers[ending](t, []byte(packedRecording))
		return string(content[:len(content)/2])
	}
	two := zipOf(t, zip.Deflate, []byte(packedRecording), []byte(packedRecording))
	for _, c := range []struct{ name, content, says string }{
		{"a.7z", "7z\xbc\xaf\x27\x1c\x00\x04", "7z"},
		{"a.rar", "Rar!\x1a\x07\x01\x00", "RAR"},
		{"a.lz4", "\x04\x22\x4d\x18\x64\x40", "LZ4"},
		{"a.bin", "\x00\x01\x02\x1b[2Jnoise\n\x00\x07", "binary data"},
		{"a.xz", string(window), "a window of more than 64 MiB"},
		{"cut.xz", damaged(".xz"), "the xz stream is damaged or cut short"},
		{"cut.zst", damaged(".zst"), "the Zstandard stream is damaged or cut short"},
		{"cut.zip", damaged(".zip"), "the zip is damaged or cut short"},
		{"two.zip", string(two), "more files behind this recording"},
	} {
		r := NewRecordingReader(strings.NewReader(c.content), c.name)
		var said []string
		for range 100 {
			_, err := r.Next()
			var line *LineError
			if err != nil && !errors.Is(err, io.EOF) {
				said = append(said, err.Error())
			}
			if err != nil && !errors.As(err, &line) {
				break
			}
		}
		if all := strings.Join(said, "; "); !strings.Contains(all, c.says) || strings.ContainsAny(all, "\x00\x07\x1b") || strings.Contains(all, "noise") {
			t.Errorf("%s: %q, want %q", c.name, all, c.says)
		}
	}
	for name, content := range map[string]string{"a.7z": "7z\xbc\xaf\x27\x1c\x00\x04", "cut.zst": damaged(".zst"), "cut.zip": damaged(".zip")} {
		if _, broken, _ := readDump(t, file{name, content}); len(broken) != 1 {
			t.Errorf("%s in a dump: %q, want one sentence", name, broken)
		}
	}
}

// TestZipsOfMacOS has what Finder adds to a zip, ahead of a recording or a dump and behind it.
func TestZipsOfMacOS(t *testing.T) {
	const noise = "\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"
	zipped := func(files ...file) string {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, f := range files {
			in, err := w.Create(f.name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := in.Write([]byte(f.content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	beside := []file{{"a/", ""}, {"__MACOSX/", ""}, {"__MACOSX/a/._a.jsonl", noise}, {"a/.DS_Store", noise}, {"a/b/", ""}}
	recording := file{"a/a.jsonl", packedRecording}
	for name, files := range map[string][]file{"ahead": append(slices.Clone(beside), recording), "behind": append([]file{recording}, beside...)} {
		content := zipped(files...)
		if IsDump(bufio.NewReaderSize(strings.NewReader(content), PeekBytes), "a.zip") {
			t.Errorf("%s: a recording is taken for a dump", name)
		}
		if observations, broken := read(t, NewRecordingReader(strings.NewReader(content), "a.zip")); len(observations) != 1 || broken != nil {
			t.Errorf("%s: %d observations, %q", name, len(observations), broken)
		}
	}
	dump := zipped(append(slices.Clone(beside), file{"a/pod.json", dumpedPod})...)
	if !IsDump(bufio.NewReaderSize(strings.NewReader(dump), PeekBytes), "a.zip") {
		t.Error("a dump is taken for a recording")
	}
	if names, broken, stats := readDump(t, file{"a.zip", dump}); !slices.Equal(names, []string{"Pod/web"}) || broken != nil || stats.PassedOver > 0 {
		t.Errorf("%q, %q, %+v", names, broken, stats)
	}
	two := zipped(append(append([]file{recording}, beside...), file{"a/b.jsonl", packedRecording})...)
	if _, broken := read(t, NewRecordingReader(strings.NewReader(two), "a.zip")); len(broken) != 1 || !strings.Contains(broken[0], "more files behind this recording") {
		t.Errorf("two recordings: %q", broken)
	}
	if _, err := NewRecordingReader(strings.NewReader(zipped(beside...)), "a.zip").Next(); err == nil || !strings.Contains(err.Error(), "the zip is empty") {
		t.Errorf("no recording: %v", err)
	}
}

// TestDiscoveryIsPassedOver has what an API server says of its API among objects.
func TestDiscoveryIsPassedOver(t *testing.T) {
	const resources = `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[{"name":"pods","kind":"Pod"}]}`
	const groups = `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps"}]}`
	names, broken, stats := readDump(t,
		file{"a.json", resources}, file{"groups.json", groups},
		file{"d/resources.json", "[" + resources + `,{"groupVersion":"apps/v1","resources":[]}]`},
		file{"d/pods/discovery.json", "[" + resources + "," + groups + "]"},
		file{"list.json", `{"kind":"List","apiVersion":"v1","items":[` + resources + "," + dumpedPod + `]}`},
		file{"r.yaml", "- apiVersion: v1\n  kind: APIResourceList\n  groupVersion: v1\n  resources: []\n"},
	)
	if !slices.Equal(names, []string{"Pod/web"}) || broken != nil || stats.Files != 1 {
		t.Errorf("%q, %q, %+v", names, broken, stats)
	}
}

// TestPackedRubbish unpacks streams that were damaged anywhere: it ends, and nothing panics.
func TestPackedRubbish(t *testing.T) {
	endings := []string{".gz", ".xz", ".zip", ".zst"}
	whole := map[string][]byte{}
	for _, ending := range endings {
		whole[ending] = packers[ending](t, []byte(strings.Repeat(packedRecording, 30)))
	}
	rapid.Check(t, func(t *rapid.T) {
		ending := rapid.SampledFrom(endings).Draw(t, "ending")
		content := slices.Clone(whole[ending])
		for range rapid.IntRange(1, 5).Draw(t, "damages") {
			content[rapid.IntRange(6, len(content)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		IsDump(bufio.NewReaderSize(bytes.NewReader(content), sniffBytes), "a"+ending)
		r := NewRecordingReader(bytes.NewReader(content), "a"+ending)
		r.LimitMemory(1 << 20)
		for n := 0; ; n++ {
			_, err := r.Next()
			var line *LineError
			if err != nil && !errors.As(err, &line) {
				break
			}
			if n > 10*len(content) {
				t.Fatal("there is no end")
			}
		}
		NewDump(func(error) {}).Add(bytes.NewReader(content), "a"+ending)
	})
}

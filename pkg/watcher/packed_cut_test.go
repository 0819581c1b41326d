package watcher

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// numbered are as many pods, each with an annotation that packs badly.
func numbered(n int) []string {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
	pods := make([]string, n)
	for i := range pods {
		pods[i] = fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-%d","namespace":"shop","uid":"p%d","resourceVersion":"7","annotations":{"a":"%016x%016x%016x%016x"}}}`,
			i, i, random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())
	}
	return pods
}

// cutPackers pack as people do, but in blocks of a few KiB where a format knows nothing of one
// that is not whole.
var cutPackers = map[string]func(t testing.TB, content []byte) []byte{
	".gz":  packers[".gz"],
	".zip": packers[".zip"],
	".xz": func(t testing.TB, content []byte) []byte {
		var b bytes.Buffer
		w, err := xz.WriterConfig{DictCap: 64 << 10, BufSize: 64 << 10}.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		return written(t, &b, w, content)
	},
	".zst": func(t testing.TB, content []byte) []byte {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(4<<10))
		if err != nil {
			t.Fatal(err)
		}
		return written(t, &b, w, content)
	},
}

// TestCutShort has streams of each format that end too early, or have a wrong byte: all ahead of
// it is read, and one sentence says what is wrong.
func TestCutShort(t *testing.T) {
	const n, slack = 400, 40
	pods := numbered(n)
	lines := make([]string, n)
	for i, pod := range pods {
		lines[i] = `{"time":"2026-03-02T10:00:00Z","type":"ADDED","object":` + pod + `}`
	}
	// The recording's last line has no end, as if the watch were still on.
	contents := map[string]string{
		"recording": strings.Join(lines, "\n"),
		"list":      `{"apiVersion":"v1","kind":"List","items":[` + strings.Join(pods, ",\n") + `]}`,
		"yaml":      "apiVersion: v1\nitems:\n- " + strings.Join(pods, "\n- ") + "\nkind: List\n",
		"tar":       tarOf(t, file{"a/web.json", strings.Join(pods[:n/2], "\n")}, file{"a/z.json", strings.Join(pods[n/2:], "\n")}),
	}
	for ending, pack := range cutPackers {
		for what, content := range contents {
			whole := pack(t, []byte(content))
			for _, c := range []struct {
				how  string
				at   int
				flip bool
			}{
				{"cut at a third", len(whole) / 3, false},
				{"cut at nine tenths", len(whole) * 9 / 10, false},
				{"without its last bytes", len(whole) - 3, false},
				{"with a wrong byte in its middle", len(whole) / 2, true},
			} {
				if ending == ".zip" && c.at == len(whole)-3 {
					continue // its directory, which nobody needs
				}
				damaged := slices.Clone(whole[:c.at])
				if c.flip {
					damaged = slices.Clone(whole)
					damaged[c.at] ^= 0x55
				}
				got, broken := 0, []string(nil)
				if what == "recording" {
					observations, said := read(t, NewRecordingReader(bytes.NewReader(damaged), "a.jsonl"+ending))
					got, broken = len(observations), said
				} else {
					names, said, _ := readDump(t, file{"a." + what + ending, string(damaged)})
					got, broken = len(names), said
				}
				want := n * c.at / len(whole)
				if want -= slack; c.at == len(whole)-3 {
					want = n
				}
				if got < want || !c.flip && got > n {
					t.Errorf("%s in %s, %s: %d of %d, want %d", what, ending, c.how, got, n, want)
				}
				// An archive says it of the file, and of itself.
				if len(broken) == 0 || what != "tar" && !c.flip && ending != ".zip" && len(broken) != 1 || !strings.Contains(strings.Join(broken, "; "), "damaged or cut short") {
					t.Errorf("%s in %s, %s: %q", what, ending, c.how, broken)
				}
			}
		}
	}
}

// bzippedRecording is the recording of a pod at 1500 seconds, in three blocks.
var bzippedRecording = base64Of("QlpoMTFBWSZTWZ8pbwEAvppfgAAQEAZ/8CYARRA+e9+qYAhe+iT4AAeAAyABDogGNGjQDJkNGI00DTAj1VQeof/6qqAAGjQAAGNGjQDJkNGI00DTAbVSqN//6qSp6kyDQyaMgaYhgmqVCQ/Sh+ijQNqbUGh5R6QKVU9U2poaANGgAaAep5xJXoElchJXgJK7xJW8pI7akjcpI2SkjxqSXlElYJK9SJKyJK2CSsEldBJXMSV3QkrzElcISVgkrISVsiSsikaFJGKkjEpIwqSNqkjnqpA2VJG2pI0lDriSsofASVksElYpDjQ+OUMyhmUMyhmUMyhmUrrrarrqtXW1rryc9XrAAAAAAAAA/6rWtvx1a1t+9WtbeNra8Wq8ePHjwAAAAAAAAB56ta272q7q1rbrbW62tbW77777AAAAAAAAAVa1tza2urVc5znAAAAAAAAAObW1y1XOc5wAAAAAAAADlba5arnOc4AAAAAAAAB9dWtbLVPqAAAAAAAAAHerWtuWq5znOAAAAAAAAALVAAAAAAAAAAbVAAAAAAAAABy1q1rM0sq00003OHi7u9ZUAFlQAWVABZUAFlQAWVABZUAFlQAZlQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA03pVRzElcxJXKElbRJW8SV84kryEla67tdddddeGmmmmmmgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHbVllmdGVllWCSvBElcBJXISVs4iSugkr6xJXWJK2iStokrcJK74kruEldRJW8SV+4krYJKyJK7CSuoiPqUka1JGUpI/VJGqqSu0SVxEldhJW5EldBJXvElaiStUSVsElcUSVkJK2iSsElf4SViUkfykjUpIyUkZKSMKSM6kjVUka1JGlSRslJGhSRzSkjBSR1VJGVSRipI0kCuBSRoVJHLUkblSRlmpIzKSMlJH+YoKyTKaz4cvIkgEh/b8AACAgDP/gTACKIHz3v1TAEL74K+kAA8ABuwALUSKjGjRoBkyGjEaaBpgR6qoPVN+/1VUQ9BMEYRgQwxo0aAZMhoxGmgaYDKSb/1SlT9UNMgAaaMgNATVKU2qbaUD1DQB6gaPSeKBSqRohobSNAyAADThUkaVJG9SRuUkbakjuElfISV4iSvCElfYSV+xJWCSt6JKwSVpElZElcxJXKJK1RJXYSV66JKyJKxElaCSsElYJK0ElaQkrSiSviSRsVSB1VJHbUkYk66iV4CStJYJKwVcSlL35u83u94AAAAAAAGuuuuuvSJK9wkrer75lDMoZlDMoZlDMoZlDMoZlDMkurbJZZ5JLbzrnnnkAAAAAAAADz22WWTiS28W2WWTUks4ktu0ktlk1xxxwAAAAAAAAAtsssmSWS5JbdtZmYAAAAAAAABklkqS25rMzAAAAAAAAAMtklSW3NZmYAAAAAAAAB0tsssm8lta2AAAAAAAAAHFtllkSW3bNszAAAAAAAAAOklt31vvuAAAAAAAAB0llu7WwAAAAAAAAAyyyssszbbbbb6fX7fn9AAAAAAAAAAAAADAAsqACyoALKgAsqACyoALKgAsqACyoALKgArKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAYANa1rWta1ttttttttttwpVRyElchJX0hIZ1JGqpI9u6pIwUkceWWWnLLdu1uAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA7MrLI21JGCkjcUkZVJG9SK4xJXMSV9RJXkJK7hKM6kjSpI21JGhSR91IrgJK/gkrSJKwSV1iSvISVzhJXnElaokroJK7xJXUSVxEldYkrchI+qkjpUka6kjWpI1YKSM6kjZKSMCkjFSRgJK6RJWiJK6iSt4krUSVqJK0EldhJXeJK9AkrcJK8ISVgkrgiQzKkjbUkaFJGZSRjIUbxJWUSV6hJXiiSuwSOCpIxqSP8xQVkmU1k0DJMEAFd6X4AAEBAGf/AmAEUQPnvfqlAFnAe5QPAd4EAAVIaNP/1VT1DINGQGIaNAZVT1H/+qVR6gAAAAAEaqjf/qlUGE00YAQMgYE1UkaR6po2UeUZpMg008psoIpKPU/VAAAAAAOoStgSvIJXEJW+ErUErxhK/gSuCErzhK9QlYhK7YJWAlZBKwErlCV6BKzQldYStsErASsISsglYCVgJWUJWSErKCV4BK3CpVcISvCErXL6wlcISsliErBVkBjIgFYgFYgFYgFYgFYBDRSlrT1AAAAfltssnNbbLJ4y2yyayWXbktuuumuuoAAAG/LbEJEQSRUQgEtArRVEJpMzWtagAACW2WTJZKktumaZmAAAAZLJdqS25mmZgAAAGSWXMzMwAAADZltlkNAAAABt22yyZmZmAAAAQAAAADamxGgAAAAyWy2yVV3d2AAAAAAAAAAAAAAAgJUkBKkgJUkBKkgJUkAAAAAAAAAAAAAAAAAAAAAAAAAAAAbru7uru7vukqVVScKklSq9ISuNCVqCVnCV9glesSQkhDR2xRjmjp1bt4AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABppppppp4hK3hKwErjBK2wleQStwSuUJX3CVzCVqhK1BK2BK3hKzCVzhK+EJXsErIJWAldAlc4SuSEruCVnBK9wldkJXQJW6EroErXBK5QlfQJXfCV3wSsglboJWIJWoJWISvcJWUEroErsCVmErMJWQSusJXZCV3BK1hK4ISsBK21RXXCJWqCVwhK2BKyCVmSo0CViCVthK9kJXbCV1glawlf8XckU4UJCpYueRA")

// TestCutShortBzip2 reads all blocks that are whole.
func TestCutShortBzip2(t *testing.T) {
	for at, want := range map[int]int{len(bzippedRecording): 1500, len(bzippedRecording) - 3: 1500, len(bzippedRecording) * 9 / 10: 1100, len(bzippedRecording) / 2: 550} {
		observations, broken := read(t, NewRecordingReader(bytes.NewReader(bzippedRecording[:at]), "a.bz2"))
		if len(observations) < want || (broken != nil) != (at < len(bzippedRecording)) {
			t.Errorf("%d bytes: %d, %q, want %d", at, len(observations), broken, want)
		}
	}
}

// TestCutShortBeforeAnything says what is wrong with a file of which nothing was understood.
func TestCutShortBeforeAnything(t *testing.T) {
	for ending, pack := range cutPackers {
		whole := pack(t, []byte(dumpedPod))
		for _, at := range []int{8, len(whole) / 3} {
			if _, broken, _ := readDump(t, file{"web.json" + ending, string(whole[:at])}); len(broken) == 0 || !strings.Contains(broken[0], "damaged or cut short") {
				t.Errorf("%s, %d bytes in a dump: %q", ending, at, broken)
			}
			_, err := NewRecordingReader(bytes.NewReader(whole[:at]), "web.jsonl"+ending).Next()
			if err == nil || strings.Count(err.Error(), "damaged or cut short") != 1 {
				t.Errorf("%s, %d bytes as a recording: %v", ending, at, err)
			}
		}
	}
}

// TestCutShortBehindItems keeps the items of a list that would have said their kind behind them.
func TestCutShortBehindItems(t *testing.T) {
	for _, end := range []string{`],"apiVersion":"v1","kind":"PodL`, `],"apiVersion":"v1","ki`, `],"apiVersion":"v1"`, `]`, ``} {
		names, broken, _ := readDump(t, file{"d/pods.json", `{"items":[` + bareItem + end})
		if len(names) != 1 || len(broken) != 1 {
			t.Errorf("%s: %q, %q", end, names, broken)
		}
	}
}

// TestPackedWideBeginning tells a dump whose packed beginning says nothing before 64 KiB.
func TestPackedWideBeginning(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Extra = make([]byte, 1<<16-1)
	whole := written(t, &b, w, []byte(`{"apiVersion":"v1","kind":"List","items":[`+dumpedPod+`]}`))
	if in := bufio.NewReaderSize(bytes.NewReader(whole), PeekBytes); !IsDump(in, "stdin") {
		t.Error("it is taken for a recording")
	} else if rest, err := io.ReadAll(in); err != nil || !bytes.Equal(rest, whole) {
		t.Errorf("%d of %d bytes are left, %v", len(rest), len(whole), err)
	}
}

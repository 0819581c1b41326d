package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"flag"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// made builds the image of the program in testdata, from a copy of it in a folder of its
// own.
func made(t *testing.T, args ...string) (out string, digest v1.Hash) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "a folder of its own")
	if err := os.CopyFS(source, os.DirFS("testdata/program")); err != nil {
		t.Fatal(err)
	}
	out = filepath.Join(t.TempDir(), "image")
	o := options{flags: flag.NewFlagSet("image", flag.ContinueOnError)}
	o.addFlags()
	if err := o.flags.Parse(append([]string{
		"-source", source, "-out", out, "-version", "v1.2.3", "-revision", "abc", "-created", "1767225600",
		"-ldflags", "-s -w -X main.version=v1.2.3", "-tags", "rollspan/rollspan:dev,rollspan/rollspan:v1.2.3",
	}, args...)); err != nil {
		t.Fatal(err)
	}
	digest, err := o.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out, digest
}

func TestTwoFoldersGiveTheSameDigest(t *testing.T) {
	_, one := made(t)
	_, other := made(t)
	if one != other {
		t.Errorf("one build is %s, the other %s", one, other)
	}
	if _, newer := made(t, "-version", "v1.2.4"); newer == one {
		t.Error("another version has the same digest")
	}
}

func TestImage(t *testing.T) {
	out, digest := made(t)
	root, err := layout.ImageIndexFromPath(filepath.Join(out, "oci"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(root); err != nil {
		t.Error(err)
	}
	// crane push and skopeo take a layout in which there is one thing.
	manifest := must(root.IndexManifest())
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest != digest ||
		manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "dev" {
		t.Fatalf("the layout has %+v", manifest.Manifests)
	}
	index := must(root.ImageIndex(digest))
	var platforms []string
	for _, m := range must(index.IndexManifest()).Manifests {
		platforms = append(platforms, m.Platform.String())
		image := must(index.Image(m.Digest))
		config := must(image.ConfigFile())
		if config.OS+"/"+config.Architecture != m.Platform.String() {
			t.Errorf("%s is called %s", config.OS+"/"+config.Architecture, m.Platform)
		}
		if c := config.Config; c.User != "65532:65532" || len(c.Entrypoint) != 1 || c.Entrypoint[0] != "/rollspan" ||
			len(c.Cmd) != 0 || c.Labels["org.opencontainers.image.version"] != "v1.2.3" {
			t.Errorf("it runs with %+v", c)
		}
		holdsOneProgram(t, image, m.Platform.Architecture)

		// What docker load and kind load read is the same image.
		tag := must(name.NewTag("rollspan/rollspan:v1.2.3"))
		path := filepath.Join(out, "rollspan-linux-"+m.Platform.Architecture)
		loaded, err := tarball.ImageFromPath(path+".tar", &tag)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := must(loaded.ConfigName()), must(image.ConfigName()); a != b {
			t.Errorf("the tarball has %s, the layout %s", a, b)
		}
		hasBOM(t, path+".cdx.json")
	}
	if got := strings.Join(platforms, " "); got != "linux/amd64 linux/arm64" {
		t.Errorf("it is for %s", got)
	}
}

// holdsOneProgram has an image hold a static program, and nothing else: no shell, no
// package, no file that anybody could change.
func holdsOneProgram(t *testing.T, image v1.Image, arch string) {
	t.Helper()
	dir := t.TempDir()
	files := unpack(t, image, dir)
	if len(files) != 1 || files[0] != "rollspan" {
		t.Fatalf("it holds %q", files)
	}
	program, err := elf.Open(filepath.Join(dir, "rollspan"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a dynamic linker")
		}
	}
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; program.Machine != want {
		t.Errorf("it is for %s, and not %s", program.Machine, want)
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != arch {
		return
	}
	cmd := exec.Command(filepath.Join(dir, "rollspan"))
	want := "v1.2.3 "
	if os.Getuid() == 0 {
		// As the image has it run: in a root without anything else, as its user.
		cmd = exec.Command("/rollspan")
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		cmd.Dir = "/"
		want += "65532 65532"
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if said, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(said), want) {
		t.Errorf("it says %q, %v", said, err)
	}
}

func unpack(t *testing.T, image v1.Image, dir string) (files []string) {
	t.Helper()
	layers := must(image.Layers())
	if len(layers) != 1 {
		t.Fatalf("it has %d layers", len(layers))
	}
	layer := must(layers[0].Uncompressed())
	defer layer.Close()
	content := must(io.ReadAll(layer))
	// Go's reader takes an archive that ends too early; tar and containerd do not.
	if end := make([]byte, 1024); len(content)%512 != 0 || !bytes.HasSuffix(content, end) {
		t.Error("the archive has no end")
	}
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, header.Name)
		if header.Uid != 0 || header.Gid != 0 || header.Mode != 0o555 || header.ModTime.Unix() != 1767225600 {
			t.Errorf("%s is %d's and %d's, %o, of %s", header.Name, header.Uid, header.Gid, header.Mode, header.ModTime)
		}
		file, err := os.OpenFile(filepath.Join(dir, filepath.Base(header.Name)), os.O_CREATE|os.O_WRONLY, 0o755)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(file, r); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func hasBOM(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(file, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if main := bom.Metadata.Component; main.Name != "rollspan" || main.Version != "v1.2.3" {
		t.Errorf("%s is about %s %s", path, main.Name, main.Version)
	}
	if std := (*bom.Components)[0]; std.Name != "std" || !strings.HasPrefix(std.Version, "go1.") {
		t.Errorf("%s begins with %s %s", path, std.Name, std.Version)
	}
}

// TestPush sends all platforms to a registry, from which each can be had.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://") + "/rollspan:v1.2.3"
	_, digest := made(t, "-push", address)
	ref := must(name.ParseReference(address))
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	if got := must(index.Digest()); got != digest {
		t.Errorf("the registry has %s, built was %s", got, digest)
	}
	image, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "arm64"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := must(image.ConfigFile()).Architecture; got != "arm64" {
		t.Errorf("for arm64 there is %s", got)
	}
}

func TestWhatCannotBeBuilt(t *testing.T) {
	for want, args := range map[string][]string{
		"--out":                           {"-out", ""},
		`--platforms: "linux" is`:         {"-platforms", "linux"},
		"--tags":                          {"-tags", "Not A Name"},
		"linux/amd64: go build: exit":     {"-source", "testdata"},
		"linux/pdp11: go build: exit sta": {"-platforms", "linux/pdp11"},
	} {
		o := options{flags: flag.NewFlagSet("image", flag.ContinueOnError)}
		o.addFlags()
		if err := o.flags.Parse(append([]string{"-source", "testdata/program", "-out", t.TempDir()}, args...)); err != nil {
			t.Fatal(err)
		}
		if _, err := o.run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

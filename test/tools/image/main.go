// Command image builds the container image of rollspan with nothing but Go: no container
// engine, no base image, no shell.
//
// Into --out go an OCI layout of all platforms (oci), which crane and skopeo push; for each
// platform a tarball that docker, podman, kind and crane load; its SBOM in CycloneDX; and
// the digest of the whole. The same sources, flags and Go release give the same digest, in
// whatever folder.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := options{flags: flag.CommandLine}
	o.addFlags()
	flag.Parse()
	if o.bom != "" {
		if err := o.writeBOM(o.of, o.bom); err != nil {
			fmt.Fprintln(os.Stderr, "image:", err)
			os.Exit(1)
		}
		return
	}
	digest, err := o.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

// options say what to build, and where to.
type options struct {
	flags *flag.FlagSet
	// source is the folder of the main package; binary what the program is called.
	source, binary string
	// ldflags and buildTags are go build's.
	ldflags   string
	buildTags string
	platforms string
	version   string
	revision  string
	created   int64
	out, tags string
	push      string
	// bom is a file to write an SBOM to, of the program of; then nothing is built.
	bom, of string
}

func (o *options) addFlags() {
	o.flags.StringVar(&o.source, "source", ".", "`FOLDER` of the main package to build")
	o.flags.StringVar(&o.binary, "binary", "rollspan", "`NAME` of the program in the image")
	o.flags.StringVar(&o.ldflags, "ldflags", "", "go build's -ldflags")
	o.flags.StringVar(&o.buildTags, "build-tags", "", "go build's -tags")
	o.flags.StringVar(&o.platforms, "platforms", "linux/amd64,linux/arm64", "`OS/ARCH,...` to build for")
	o.flags.StringVar(&o.version, "version", "devel", "`VERSION` in the image's labels")
	o.flags.StringVar(&o.revision, "revision", "", "`COMMIT` in the image's labels")
	o.flags.Int64Var(&o.created, "created", 0, "`SECONDS` since 1970 that all times in the image are")
	o.flags.StringVar(&o.out, "out", "", "`FOLDER` to write to; what is there is replaced")
	o.flags.StringVar(&o.tags, "tags", "rollspan/rollspan:dev", "`NAME:TAG,...` that loading a tarball gives")
	o.flags.StringVar(&o.bom, "bom", "", "`FILE` to write the SBOM of the program -of to, which is all that is done then")
	o.flags.StringVar(&o.of, "of", "", "`PROGRAM` that was built by Go")
	o.flags.StringVar(&o.push, "push", "", "`REGISTRY/NAME:TAG` to push to as well")
}

// run returns the digest of the image index.
func (o *options) run(ctx context.Context) (v1.Hash, error) {
	if o.out == "" {
		return v1.Hash{}, errors.New("name a folder with --out")
	}
	var tags []name.Tag
	for tag := range strings.SplitSeq(o.tags, ",") {
		parsed, err := name.NewTag(tag)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("--tags: %w", err)
		}
		tags = append(tags, parsed)
	}
	if err := os.RemoveAll(o.out); err != nil {
		return v1.Hash{}, err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return v1.Hash{}, err
	}
	index := mutate.Annotations(empty.Index, o.labels()).(v1.ImageIndex)
	for text := range strings.SplitSeq(o.platforms, ",") {
		platform, err := v1.ParsePlatform(text)
		if err != nil || platform.OS == "" || platform.Architecture == "" {
			return v1.Hash{}, fmt.Errorf("--platforms: %q is not OS/ARCH", text)
		}
		image, err := o.platform(ctx, platform, tags)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("%s: %w", text, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	written, err := layout.Write(filepath.Join(o.out, "oci"), empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := written.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tags[0].TagStr(),
	})); err != nil {
		return v1.Hash{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	if err := os.WriteFile(filepath.Join(o.out, "digest"), []byte(digest.String()+"\n"), 0o644); err != nil {
		return v1.Hash{}, err
	}
	if o.push == "" {
		return digest, nil
	}
	ref, err := name.ParseReference(o.push)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("--push: %w", err)
	}
	return digest, remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

// platform builds the image of one platform, and writes its tarball and its SBOM.
func (o *options) platform(ctx context.Context, p *v1.Platform, tags []name.Tag) (v1.Image, error) {
	dir, err := os.MkdirTemp("", "rollspan-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, o.binary)
	if err := o.build(ctx, p, binary); err != nil {
		return nil, err
	}
	base := filepath.Join(o.out, strings.ReplaceAll(o.binary+"-"+p.String(), "/", "-"))
	if err := o.writeBOM(binary, base+".cdx.json"); err != nil {
		return nil, err
	}
	image, err := o.image(p, binary)
	if err != nil {
		return nil, err
	}
	images := map[name.Tag]v1.Image{}
	for _, tag := range tags {
		images[tag] = image
	}
	return image, tarball.MultiWriteToFile(base+".tar", images)
}

func (o *options) time() time.Time { return time.Unix(o.created, 0).UTC() }

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is nobody that a node has, as in other images without a distribution.
const user = "65532:65532"

// build compiles a static program that is the same wherever it is compiled: without
// paths, and without what Go would ask the repository for.
func (o *options) build(ctx context.Context, p *v1.Platform, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false",
		"-tags", o.buildTags, "-ldflags", o.ldflags, "-o", binary, ".")
	cmd.Dir = o.source
	// What changes the code of a program, and may be set on a machine.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Architecture,
		"GOAMD64=", "GOARM64=", "GOEXPERIMENT=", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

// labels are OpenContainers' names for what an image is.
func (o *options) labels() map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":       o.binary,
		"org.opencontainers.image.description": "Sends each rollout of a Kubernetes cluster as an OpenTelemetry trace",
		"org.opencontainers.image.source":      "https://github.com/rollspan/rollspan",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     o.version,
		"org.opencontainers.image.created":     o.time().Format("2006-01-02T15:04:05Z07:00"),
	}
	if o.revision != "" {
		labels["org.opencontainers.image.revision"] = o.revision
	}
	return labels
}

// image has one layer, with one file.
func (o *options) image(p *v1.Platform, binary string) (v1.Image, error) {
	content, err := o.layer(binary)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: o.time()}, CreatedBy: "make image", Comment: "/" + filepath.Base(binary)},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	config.Created = v1.Time{Time: o.time()}
	config.Config = v1.Config{
		User:       user,
		Entrypoint: []string{"/" + filepath.Base(binary)},
		Labels:     o.labels(),
		WorkingDir: "/",
	}
	return mutate.ConfigFile(image, config)
}

// layer is a tar with the program, which is root's and which anybody may run.
func (o *options) layer(binary string) ([]byte, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	if err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: filepath.Base(binary), Mode: 0o555, Size: int64(len(content)), ModTime: o.time(),
	}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil { // writes the end of the archive
		return nil, err
	}
	return buffer.Bytes(), nil
}

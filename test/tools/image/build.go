package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonRoot is the user that runs the program: the number that distroless images and the chart's security context use.
const nonRoot = "65532"

// write builds the image of all platforms into a tar file of an OCI layout, and the list of modules beside it. It returns the digest
// of the image's index, by which a cluster can pin it.
func (r request) write(image, bom string) (v1.Hash, error) {
	list, err := r.modules()
	if err != nil {
		return v1.Hash{}, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range r.binaries {
		img, err := r.imageOf(b, list)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("image for %s: %w", b.platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &b.platform}})
	}
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return v1.Hash{}, err
	}
	defer os.RemoveAll(dir)
	top, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	name := map[string]string{
		"org.opencontainers.image.ref.name": r.version,
		"io.containerd.image.name":          r.name + ":" + r.version,
	}
	if err := top.AppendIndex(index, layout.WithAnnotations(name)); err != nil {
		return v1.Hash{}, err
	}
	if err := os.MkdirAll(filepath.Dir(image), 0o755); err != nil {
		return v1.Hash{}, err
	}
	if err := os.WriteFile(bom, list, 0o644); err != nil {
		return v1.Hash{}, err
	}
	if err := r.pack(dir, image); err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

// imageOf is the image of one platform.
func (r request) imageOf(b binary, list []byte) (v1.Image, error) {
	program, err := os.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	system, err := r.layer(
		file{"etc/passwd", []byte("nonroot:x:" + nonRoot + ":" + nonRoot + ":nonroot:/:/sbin/nologin\n"), 0o644},
		file{"etc/group", []byte("nonroot:x:" + nonRoot + ":\n"), 0o644},
		file{"usr/share/sbom/" + r.name + ".cdx.json", list, 0o644},
	)
	if err != nil {
		return nil, err
	}
	top, err := r.layer(file{r.name, program, 0o755})
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, system, top); err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = b.platform.OS, b.platform.Architecture, b.platform.Variant
	config.Created = v1.Time{Time: r.created}
	config.Config = v1.Config{
		Entrypoint: []string{"/" + r.name},
		User:       nonRoot + ":" + nonRoot,
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    r.name,
			"org.opencontainers.image.version":  r.version,
			"org.opencontainers.image.revision": r.revision,
			"org.opencontainers.image.created":  r.created.UTC().Format(time.RFC3339),
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, config)
}

// A file of a layer; every directory above it is made.
type file struct {
	name    string
	content []byte
	mode    int64
}

func (r request) layer(files ...file) (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	made := map[string]bool{}
	for _, f := range files {
		at := ""
		for _, part := range strings.Split(path.Dir(f.name), "/") {
			if at = path.Join(at, part); part == "." || made[at] {
				continue
			}
			made[at] = true
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: at + "/", Mode: 0o755, ModTime: r.created}); err != nil {
				return nil, err
			}
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: r.created}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	content := buffer.Bytes()
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithMediaType(types.OCILayer))
}

// pack writes a folder as a tar file, in the order of names and with the commit's time.
func (r request) pack(dir, to string) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	w := tar.NewWriter(out)
	err = filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(name), Mode: 0o644, Size: int64(len(content)), ModTime: r.created}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Close()
}

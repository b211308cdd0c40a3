package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// build makes the image of this test's own binary, which is a Go program like any other.
func build(t *testing.T, more ...string) (dir string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	args := []string{
		"-name", "prog", "-version", "v1.2.3", "-revision", "abc", "-created", "2026-01-31T12:00:00Z", "-out", dir,
		"linux/amd64=" + self, "linux/arm64=" + self,
	}
	if err := run(append(args, more...)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unpack writes a tar's files into a folder, which only a test may do so carelessly, and returns their headers.
func unpack(t *testing.T, r io.Reader, dir string) map[string]*tar.Header {
	t.Helper()
	headers := map[string]*tar.Header{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return headers
		}
		if err != nil {
			t.Fatal(err)
		}
		headers[h.Name] = h
		if h.Typeflag != tar.TypeReg {
			continue
		}
		at := filepath.Join(dir, h.Name)
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, content, h.FileInfo().Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSameTwice(t *testing.T) {
	a, b := build(t), build(t)
	for _, name := range []string{"prog-v1.2.3.tar", "prog-v1.2.3.cdx.json"} {
		first, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		second, err := os.ReadFile(filepath.Join(b, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("%s differs from one build to the next", name)
		}
	}
}

func TestWhatIsInTheImage(t *testing.T) {
	dir := build(t)
	f, err := os.Open(filepath.Join(dir, "prog-v1.2.3.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := t.TempDir()
	unpack(t, f, at)
	top, err := layout.ImageIndexFromPath(at)
	if err != nil {
		t.Fatal(err)
	}
	names, err := top.IndexManifest()
	if err != nil || len(names.Manifests) != 1 || names.Manifests[0].Annotations["io.containerd.image.name"] != "prog:v1.2.3" {
		t.Fatalf("the layout names %+v (%v), want one image prog:v1.2.3", names, err)
	}
	index, err := top.ImageIndex(names.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, img, m.Platform)
	}
	if got := strings.Join(platforms, " "); got != "linux/amd64 linux/arm64" {
		t.Errorf("platforms %q", got)
	}
}

func checkImage(t *testing.T, img v1.Image, platform *v1.Platform) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != platform.Architecture || config.Config.User != "65532:65532" || len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != "/prog" {
		t.Errorf("configuration %+v", config)
	}
	if config.Config.Labels["org.opencontainers.image.version"] != "v1.2.3" || config.Config.Labels["org.opencontainers.image.revision"] != "abc" {
		t.Errorf("labels %v", config.Config.Labels)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	root, files := t.TempDir(), map[string]*tar.Header{}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for name, header := range unpack(t, content, root) {
			files[name] = header
		}
		content.Close()
	}
	self, _ := os.Executable()
	want, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(root, "prog")); err != nil || !bytes.Equal(got, want) || files["prog"].Mode != 0o755 {
		t.Errorf("the program in the image is not the one that was given (%v)", err)
	}
	if files["etc/passwd"] == nil || files["usr/share/sbom/"] == nil {
		t.Errorf("files %v", files)
	}
	list, err := os.ReadFile(filepath.Join(root, "usr/share/sbom/prog.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := json.Unmarshal(list, &bom); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, c := range *bom.Components {
		found = found || c.Name == "github.com/google/go-containerregistry" && strings.HasPrefix(c.Version, "v0.")
	}
	if !found || bom.Metadata.Component.Version != "v1.2.3" {
		t.Errorf("list of modules: %s", list)
	}
}

func TestWrongCommandLines(t *testing.T) {
	const created = "2026-01-31T12:00:00Z"
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"nothing":       {nil, "are needed"},
		"no time":       {[]string{"-name", "a", "-version", "v1", "linux/amd64=x"}, `-created is ""`},
		"no platform":   {[]string{"-name", "a", "-version", "v1", "-created", created, "x"}, "want OS/ARCH=PATH"},
		"no such file":  {[]string{"-name", "a", "-version", "v1", "-created", created, "linux/amd64=/does/not/exist"}, "/does/not/exist"},
		"no Go program": {[]string{"-name", "a", "-version", "v1", "-created", created, "linux/amd64=image_test.go"}, "is no Go program"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(append([]string{"-out", t.TempDir()}, c.args...)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q in it", err, c.says)
			}
		})
	}
}

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// platforms are those that make dist packs; the test's packs hold this machine's pdctl for each.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"}

const version = "v1.2.3"

// pdctl builds the program as make dist does.
func pdctl(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pdctl")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", path, "./cmd/pdctl")
	build.Dir, build.Env = filepath.Join("..", "..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func pack(t *testing.T, program string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	args := []string{"-version", version, "-created", "2026-01-31T12:00:00Z", "-licence", filepath.Join("..", "..", "..", "LICENSE"), "-out", dir}
	for _, p := range platforms {
		args = append(args, p+"="+program)
	}
	if err := run(args); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tool runs one of krew's own programs with a home of its own. It dials nobody.
func tool(t *testing.T, root, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"tool", name}, args...)...)
	cmd.Env = append(os.Environ(), "KREW_ROOT="+root, "KREW_NO_UPGRADE_CHECK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// krew itself takes the manifest, installs the archive of this machine's platform by it, checksum and all, and what kubectl then
// finds is our program of that version.
func TestKrewInstallsIt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("krew links programs differently there")
	}
	dir, root := pack(t, pdctl(t)), t.TempDir()
	manifest := filepath.Join(dir, "pda.yaml")
	tool(t, root, "validate-krew-manifest", "-manifest", manifest, "-skip-install")
	archive := filepath.Join(dir, fmt.Sprintf("kubectl-pda_%s_%s_%s.tar.gz", version, runtime.GOOS, runtime.GOARCH))
	tool(t, root, "krew", "install", "--manifest", manifest, "--archive", archive)
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "kubectl-pda"), "--version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "kubectl pda version "+version) {
		t.Errorf("the installed plugin says %q (%v)", out, err)
	}

	other := filepath.Join(dir, fmt.Sprintf("kubectl-pda_%s_windows_amd64.tar.gz", version))
	wrong := exec.CommandContext(t.Context(), "go", "tool", "krew", "install", "--manifest", manifest, "--archive", other)
	wrong.Env = append(os.Environ(), "KREW_ROOT="+t.TempDir(), "KREW_NO_UPGRADE_CHECK=1")
	if out, err := wrong.CombinedOutput(); err == nil || !strings.Contains(string(out), "checksum") {
		t.Errorf("an archive with another checksum is taken (%v):\n%s", err, out)
	}
}

func TestArchives(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir, again := pack(t, self), pack(t, self)
	names := []string{"SHA256SUMS", "pda.yaml"}
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range platforms {
		name := "kubectl-pda_" + version + "_" + strings.ReplaceAll(p, "/", "_") + ".tar.gz"
		names = append(names, name)
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if line := fmt.Sprintf("%x  %s\n", sha256.Sum256(content), name); !strings.Contains(string(sums), line) {
			t.Errorf("SHA256SUMS has no line %s", line)
		}
		want := "kubectl-pda"
		if strings.HasPrefix(p, "windows") {
			want += ".exe"
		}
		files := unpack(t, content)
		if len(files) != 2 || len(files["LICENSE"]) == 0 || !bytes.Equal(files[want], program) {
			t.Errorf("%s does not hold the licence and %s alone", name, want)
		}
	}
	for _, name := range names {
		a, errA := os.ReadFile(filepath.Join(dir, name))
		b, errB := os.ReadFile(filepath.Join(again, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs from one time to the next (%v, %v)", name, errA, errB)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(names) {
		t.Errorf("%d files were written, want %v (%v)", len(entries), slices.Sorted(slices.Values(names)), err)
	}
}

// unpack returns the files of an archive, of which programs may be run.
func unpack(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for in := tar.NewReader(zipped); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
		if program := strings.HasPrefix(h.Name, "kubectl-pda"); program != (h.Mode&0o111 == 0o111) {
			t.Errorf("%s has the mode %o", h.Name, h.Mode)
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	const created = "2026-01-31T12:00:00Z"
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no version":      {[]string{"-created", created, "linux/amd64=x"}, `-version is ""`},
		"a git describe":  {[]string{"-version", "15bf44b-dirty", "-created", created, "linux/amd64=x"}, "krew takes versions as v0.1.0"},
		"no time":         {[]string{"-version", version, "linux/amd64=x"}, `-created is ""`},
		"no platform":     {[]string{"-version", version, "-created", created}, "at least one"},
		"no architecture": {[]string{"-version", version, "-created", created, "linux=x"}, "want OS/ARCH=PATH"},
		"no such file":    {[]string{"-version", version, "-created", created, "-licence", "main.go", "linux/amd64=/does/not/exist"}, "/does/not/exist"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(append([]string{"-out", t.TempDir()}, c.args...)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q in it", err, c.says)
			}
		})
	}
}

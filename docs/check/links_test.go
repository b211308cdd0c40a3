package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// tracked lists the files of the repository: those that git knows, and new ones that it does not ignore.
func tracked(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("this is no checkout of git: %v", err)
	}
	var files []string
	for path := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if info, err := os.Stat(filepath.Join(root, path)); err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
	}
	if len(files) < 100 {
		t.Fatalf("only %d files were found", len(files))
	}
	return files
}

// pages reads the Markdown files of the repository.
func pages(t *testing.T) Files {
	t.Helper()
	f := Files{Pages: map[string]Page{}, Exists: func(path string) bool {
		_, err := os.Stat(filepath.Join(root, path))
		return err == nil
	}}
	for _, path := range tracked(t) {
		if strings.HasSuffix(path, ".md") {
			content, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			f.Pages[path] = Read(string(content))
		}
	}
	return f
}

// Every link of every document leads to a file and a heading that are there.
func TestLinksAreAlive(t *testing.T) {
	f := pages(t)
	links := 0
	for path, page := range f.Pages {
		links += len(page.Links)
		for _, wrong := range f.Dead(path) {
			t.Error(wrong)
		}
	}
	if links < 50 {
		t.Errorf("only %d links were found in %d documents", links, len(f.Pages))
	}
}

// Every document in docs can be reached from its index.
func TestEveryDocumentIsInTheIndex(t *testing.T) {
	f := pages(t)
	listed := map[string]bool{}
	for _, l := range f.Pages["docs/README.md"].Links {
		target, _, _ := strings.Cut(l.Target, "#")
		listed[target] = true
	}
	for path := range f.Pages {
		if name, inDocs := strings.CutPrefix(path, "docs/"); inDocs && name != "README.md" && !listed[name] {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}

func TestDeadLinks(t *testing.T) {
	f := Files{
		Pages: map[string]Page{
			"docs/b.md":   Read("# B\n\n## Same\n\n## Same\n\n<a id=\"old\"></a>\n"),
			"docs/a.md":   Read("# A & *b*: `c d`!\n"),
			"docs/c/d.md": {},
		},
		Exists: func(path string) bool {
			return path == "docs/b.md" || path == "docs/a.md" || path == "pkg" || path == "pkg/a.go"
		},
	}
	for target, want := range map[string]string{
		"b.md": "", "b.md#b": "", "b.md#same-1": "", "b.md#old": "", "#a--b-c-d": "", "../pkg": "", "../pkg/a.go#L3": "",
		"https://example.com/a#b": "", "mailto:a@example.com": "",
		"c.md": "which is not there", "b.md#none": "a heading that docs/b.md does not have", "#none": "a heading that docs/a.md does not have",
		"../../etc/passwd": "leads out of the repository", "/docs/b.md": "begins at a root", "https:///x": "names no host",
		"https://localhost/": "names no host", "ftp://example.com/": "has the scheme ftp", "javascript:1": "has the scheme", "%zz": "is no address",
	} {
		if got := f.dead("docs/a.md", target); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	p := Read("# One\n\n[a](b.md) and ![p](i/p.svg \"title\"), `[no](code)`\n\n    [no](indented)\n\n```\n[no](fenced)\n# No\n```\n\n[r]: c.md#d\n<img src=\"e.png\">\n[x [y]](f(1).md)\n")
	want := []Link{{3, "b.md"}, {3, "i/p.svg"}, {12, "c.md#d"}, {13, "e.png"}, {14, "f(1).md"}}
	if diff := cmp.Diff(want, p.Links); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]bool{"one": true}, p.Anchors); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("# a\n[b](c#d)\n```\n")
	f.Add("[[x](y)](z) <a id=\"q\">")
	f.Fuzz(func(t *testing.T, content string) {
		files := Files{Pages: map[string]Page{"a.md": Read(content)}, Exists: func(string) bool { return true }}
		for _, wrong := range files.Dead("a.md") {
			if !strings.HasPrefix(wrong, "a.md:") {
				t.Errorf("%q", wrong)
			}
		}
	})
}

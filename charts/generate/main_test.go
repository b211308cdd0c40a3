package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The chart's copies and the tables of docs/install.md are what config/ and values.yaml say.
func TestFilesAreCurrent(t *testing.T) {
	root := filepath.Join("..", "..")
	files, err := chartFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	if files[installDoc], err = installPage(root); err != nil {
		t.Fatal(err)
	}
	if len(files) < 12 {
		t.Errorf("only %d files", len(files))
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not current: run make generate (-wanted +there):\n%s", name, diff)
		}
	}
	there, err := filepath.Glob(filepath.Join(root, chart, "files", "rules", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if files[chart+"/files/rules/"+filepath.Base(path)] == nil {
			t.Errorf("%s is of no role in config/: delete it", path)
		}
	}
}

// A template of an alert that the table cannot say in words would stand in docs/install.md as it is.
func TestTablesReadWell(t *testing.T) {
	page, err := installPage(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "{{") {
		t.Error("docs/install.md holds a template: add it to placeholder")
	}
	for _, want := range []string{"| `replicas` | `2` |", "| `rbac.signalSecretsIn` | `[]` |", "| PDAutoscalerNoLeader | critical |"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/install.md has no %q", want)
		}
	}
}

func TestWrongFiles(t *testing.T) {
	write := func(dir, name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ values, page, says string }{
		"value without a comment": {"replicas: 2\n", "", "replicas has no comment"},
		"page without marks":      {"# how many\nreplicas: 2\n", "# Install\n", "has no \"<!-- values"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(dir, chart+"/values.yaml", c.values)
			write(dir, installDoc, c.page)
			if _, err := installPage(dir); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q in it", err, c.says)
			}
		})
	}
	dir := t.TempDir()
	write(dir, "role.yaml", "# nothing\n")
	if _, err := documents(filepath.Join(dir, "role.yaml")); err == nil || !strings.Contains(err.Error(), "holds no object") {
		t.Errorf("an empty file: %v", err)
	}
}

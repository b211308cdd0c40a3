package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGalleryWritesPagesThatAreLinked(t *testing.T) {
	dir := t.TempDir()
	pages, pictures := filepath.Join(dir, "pages"), filepath.Join(dir, "pictures")
	var out bytes.Buffer
	if err := run(t.Context(), pages, pictures, []string{"steady", "failed-start"}, &out); err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join(pages, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"steady", "failed-start"} {
		page, err := os.ReadFile(filepath.Join(pages, name+".html"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(index, []byte(`href="`+name+`.html"`)) || !bytes.Contains(page, []byte("<h3>pdautoscaler</h3>")) {
			t.Errorf("%s is not linked, or is not about the planner", name)
		}
		picture, err := os.ReadFile(filepath.Join(pictures, "sim-"+name+".svg"))
		if err != nil || !bytes.HasPrefix(picture, []byte("<svg xmlns=")) || len(picture) > 200_000 {
			t.Errorf("picture of %s: %v, %d bytes", name, err, len(picture))
		}
	}
	table, err := os.ReadFile(filepath.Join(pages, "results.md"))
	if err != nil || !strings.HasPrefix(string(table), "| policy | Steady load | Starts that fail |\n|---|---|---|\n| pdautoscaler | ") || !strings.Contains(string(table), "| wva | ") {
		t.Errorf("%v\n%s", err, table)
	}
	if !strings.Contains(out.String(), "Steady load") || !strings.Contains(out.String(), "pdautoscaler") {
		t.Errorf("%s", out.String())
	}
	if err := run(t.Context(), pages, "", []string{"none"}, &out); err == nil {
		t.Error("a scenario that is not there was played")
	}
}

package check

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/planner.md names the tests that hold the rules: each is there, and none of a rule is left out.
func TestRulesNameTheirTests(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "pkg/planner/*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of the planner (%v)", err)
	}
	var tests strings.Builder
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(content)
	}
	page := read(t, "docs/planner.md")
	for _, name := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(tests.String(), "func "+name[1]+"(") {
			t.Errorf("docs/planner.md names %s, which does not exist", name[1])
		}
	}
	for _, name := range regexp.MustCompile(`func (TestRule\d[A-Za-z0-9]*)\(`).FindAllStringSubmatch(tests.String(), -1) {
		if !strings.Contains(page, "`"+name[1]+"`") {
			t.Errorf("docs/planner.md does not name %s", name[1])
		}
	}
}

package check

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every condition, every event and every reason that the controller writes as a
// literal is in docs/events-and-conditions.md, and that page names no reason that
// docs/reasons.md does not have.
func TestEventsAndConditionsAreDocumented(t *testing.T) {
	page, reasons := read(t, "docs/events-and-conditions.md"), read(t, "docs/reasons.md")
	code := goCode(t, "pkg/controller")
	events := regexp.MustCompile(`corev1\.EventType(?:Normal|Warning), "([A-Za-z]+)"`).FindAllStringSubmatch(code, -1)
	if len(events) < 5 {
		t.Errorf("only %d events were found", len(events))
	}
	for _, e := range events {
		if !strings.Contains(page, "\n| "+e[1]+" | ") {
			t.Errorf("the event %s is not documented", e[1])
		}
	}
	types := regexp.MustCompile(`Condition[A-Za-z]+ += "([A-Za-z]+)"`).FindAllStringSubmatch(goCode(t, "pkg/api/v1alpha1"), -1)
	if len(types) < 6 {
		t.Errorf("only %d conditions were found", len(types))
	}
	for _, c := range types {
		if !strings.Contains(page, "\n| "+c[1]+" | ") {
			t.Errorf("the condition %s is not documented", c[1])
		}
	}
	well := regexp.MustCompile(`\b(?:well|unwell|unknown)\("([A-Za-z]+)"`).FindAllStringSubmatch(code, -1)
	if len(well) < 4 {
		t.Errorf("only %d reasons of conditions were found", len(well))
	}
	for _, r := range well {
		if !strings.Contains(page, "`"+r[1]+"`") && !strings.Contains(reasons, r[1]) {
			t.Errorf("the condition's reason %s is not documented", r[1])
		}
	}
	// Words of two capitals and more are reasons, but for the events and conditions themselves.
	known := map[string]bool{"PDAutoscaler": true, "NoBudget": true, "WithinBudget": true, "WithinQuota": true}
	for _, list := range [][][]string{events, types} {
		for _, e := range list {
			known[e[1]] = true
		}
	}
	for _, word := range regexp.MustCompile(`\b(?:[A-Z]+[a-z]+){2,}\b`).FindAllString(page, -1) {
		if !known[word] && !regexp.MustCompile(`\b`+word+`\b`).MatchString(reasons) {
			t.Errorf("docs/events-and-conditions.md names %s, which docs/reasons.md does not have", word)
		}
	}
}

// goCode is the code of a package, without its tests.
func goCode(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no code in %s (%v)", dir, err)
	}
	var all strings.Builder
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}

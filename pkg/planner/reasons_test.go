package planner

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEveryReasonIsDocumented: a reason that a person can see has a line in
// docs/reasons.md, and that page names none that does not exist.
func TestEveryReasonIsDocumented(t *testing.T) {
	reasons := map[string]bool{}
	for _, path := range []string{"decision.go", "../controller/reasons.go", "../workload/observation.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 && (strings.HasPrefix(spec.Names[0].Name, "Reason") || strings.HasPrefix(spec.Names[0].Name, "Problem")) {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				reasons[value] = false
			}
			return true
		})
	}
	if len(reasons) < 20 {
		t.Fatalf("only %d reasons were found in decision.go", len(reasons))
	}
	page, err := os.ReadFile("../../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z][A-Za-z, ]+) \|`).FindAllStringSubmatch(string(page), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			if _, known := reasons[name]; !known {
				t.Errorf("docs/reasons.md lists %q, which does not exist", name)
			}
			reasons[name] = true
		}
	}
	for name, documented := range reasons {
		if !documented {
			t.Errorf("docs/reasons.md does not list %q", name)
		}
	}
}

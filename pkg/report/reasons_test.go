package report

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Every reason of the planner has words, read from the source so that a new one cannot be forgotten.
func TestEveryReasonHasWords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../planner/decision.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if _, ok := meanings[planner.Reason(value)]; !ok {
			t.Errorf("%s (%s) has no words in reasons.go", spec.Names[0].Name, value)
		}
		return true
	})
	if found < 30 || found != len(meanings) {
		t.Errorf("%d reasons in planner/decision.go and %d in reasons.go", found, len(meanings))
	}
}

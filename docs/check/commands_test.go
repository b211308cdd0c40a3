package check

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every command line of our programs in a document is one that they understand:
// the command exists, and the program has the flags. Both are read from the
// programs' source, where commands and flags are literals.
func TestCommandsExist(t *testing.T) {
	programs := map[string]source{}
	for _, name := range []string{"pdctl", "pdautoscaler", "gpu-agent"} {
		programs[name] = readSource(t, name)
	}
	found := 0
	for _, path := range documents(t) {
		content := read(t, path)
		for name, program := range programs {
			for _, c := range Commands(content, name) {
				if len(c.Args) == 0 || name != "pdctl" && !strings.HasPrefix(c.Args[0], "--") {
					continue // the name alone, or the name of something else
				}
				found++
				if first := c.Args[0]; !strings.HasPrefix(first, "-") && !program.commands[first] {
					t.Errorf("%s:%d: %s has no command %s", path, c.Line, name, first)
				}
				for _, flag := range c.Flags() {
					if !program.literals[strings.TrimLeft(flag, "-")] && flag != "--help" {
						t.Errorf("%s:%d: %s has no flag %s", path, c.Line, name, flag)
					}
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d command lines were found", found)
	}
}

// source is what a program's files say.
type source struct {
	literals map[string]bool
	commands map[string]bool // the first words of what is used for Use
}

func readSource(t *testing.T, program string) source {
	t.Helper()
	s := source{map[string]bool{}, map[string]bool{"help": true, "completion": true}}
	files, err := filepath.Glob(filepath.Join(root, "cmd", program, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("cmd/%s: %v (%v)", program, files, err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
					s.literals[text] = true
				}
			case *ast.KeyValueExpr:
				key, isName := n.Key.(*ast.Ident)
				value, isText := n.Value.(*ast.BasicLit)
				if isName && isText && key.Name == "Use" {
					word, _, _ := strings.Cut(strings.Trim(value.Value, "\"`"), " ")
					s.commands[word] = true
				}
			}
			return true
		})
	}
	return s
}

// Every target of make and every path given to kubectl in a document is there.
func TestTargetsAndPathsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	found := 0
	for _, path := range documents(t) {
		content := read(t, path)
		for _, c := range Commands(content, "make") {
			for _, word := range c.Args {
				if strings.ContainsAny(word, "='\"") {
					break // a variable, and what follows
				}
				found++
				if !strings.Contains(makefile, "\n"+word+":") {
					t.Errorf("%s:%d: there is no make %s", path, c.Line, word)
				}
			}
		}
		for _, c := range Commands(content, "kubectl") {
			for i, word := range c.Args[:max(0, len(c.Args)-1)] {
				to := c.Args[i+1]
				if word != "-k" && word != "-f" || c.Args[0] == "logs" || to == "-" || strings.ContainsAny(to, "<:") || placeholder.MatchString(to) {
					continue
				}
				found++
				if _, err := os.Stat(filepath.Join(root, to)); err != nil && strings.Contains(to, "/") {
					t.Errorf("%s:%d: kubectl %s %s: %v", path, c.Line, word, to, err)
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d targets and paths were found", found)
	}
}

// placeholder is a path with a part that the reader fills in, such as config/samples/NAME.
var placeholder = regexp.MustCompile(`(^|/)[A-Z]+$`)

func documents(t *testing.T) []string {
	var all []string
	for _, path := range tracked(t) {
		if strings.HasSuffix(path, ".md") {
			all = append(all, path)
		}
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestCommands(t *testing.T) {
	got := Commands("pdctl in prose\n\n    bin/pdctl plan --rate 5 \\\n        --gpu=h200 | less\n\n`pdctl explain NAME`, and\n\n```sh\n# pdctl comment\nx && pdctl snapshot -o a.json && pdctl models\n```\n", "pdctl")
	want := []Command{
		{3, []string{"plan", "--rate", "5", "--gpu=h200"}}, {6, []string{"explain", "NAME"}},
		{10, []string{"snapshot", "-o", "a.json"}}, {10, []string{"models"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"--rate", "--gpu"}, got[0].Flags()); diff != "" {
		t.Error(diff)
	}
}

// make help lists every target.
func TestHelpListsEveryTarget(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("there is no make")
	}
	out, err := exec.CommandContext(t.Context(), "make", "-C", root, "--no-print-directory", "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^\.PHONY: (\S+)$`).FindAllStringSubmatch(read(t, "Makefile"), -1)
	if len(targets) < 10 {
		t.Errorf("only %d targets were found", len(targets))
	}
	for _, target := range targets {
		if !strings.Contains(string(out), "\n  "+target[1]+" ") && !strings.HasPrefix(string(out), "  "+target[1]+" ") {
			t.Errorf("make help does not list %s", target[1])
		}
	}
}

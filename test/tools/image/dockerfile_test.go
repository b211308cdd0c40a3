package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// BuildKit's own parser and linter take the Dockerfiles, and what they build is what this command builds: the same flags, entry point
// and user.
func TestDockerfiles(t *testing.T) {
	for name, c := range map[string]struct{ user, build string }{
		"pdautoscaler": {nonRoot + ":" + nonRoot, "CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH"},
		"pdctl":        {nonRoot + ":" + nonRoot, "CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH"},
		"gpu-agent":    {"0:0", "CGO_ENABLED=1"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(filepath.Join("..", "..", "..", "cmd", name, "Dockerfile"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			parsed, err := parser.Parse(f)
			if err != nil {
				t.Fatal(err)
			}
			lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) { t.Errorf("%s: %s", rule, message) }})
			stages, _, err := instructions.Parse(parsed.AST, lint)
			if err != nil {
				t.Fatal(err)
			}
			if len(stages) != 2 || strings.Contains(stages[1].BaseName, "golang") {
				t.Fatalf("%d stages, want one that builds and one without a compiler", len(stages))
			}
			build, user, entry, labels := commands(stages)
			for _, want := range []string{c.build, "-trimpath", "-X main.version=$VERSION", "./cmd/" + name} {
				if !strings.Contains(build, want) {
					t.Errorf("the build %q lacks %q", build, want)
				}
			}
			if user != c.user || !slices.Equal(entry, []string{"/" + name}) {
				t.Errorf("user %q, entry point %v", user, entry)
			}
			for _, label := range []string{"title", "version", "revision", "licenses"} {
				if !slices.Contains(labels, "org.opencontainers.image."+label) {
					t.Errorf("no label %s in %v", label, labels)
				}
			}
		})
	}
}

// commands are what the stages do: the line that builds, and the last one's user, entry point and labels.
func commands(stages []instructions.Stage) (build, user string, entry, labels []string) {
	for _, command := range stages[0].Commands {
		if run, ok := command.(*instructions.RunCommand); ok && strings.Contains(strings.Join(run.CmdLine, " "), "go build") {
			build = strings.Join(strings.Fields(strings.Join(run.CmdLine, " ")), " ")
		}
	}
	for _, command := range stages[1].Commands {
		switch c := command.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = c.CmdLine
		case *instructions.LabelCommand:
			for _, l := range c.Labels {
				labels = append(labels, l.Key)
			}
		}
	}
	return build, user, entry, labels
}

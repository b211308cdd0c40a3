package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// execute runs a command line whose context has ended already: nothing is dialled.
func execute(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := &bytes.Buffer{}
	cmd := newCommand(io.Discard)
	cmd.SetArgs(args)
	cmd.SetOut(out)
	err = cmd.ExecuteContext(ctx)
	return out.String(), err
}

func TestWrongCommandLines(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion": "v1", "kind": "Config", "current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
		"clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}], "users": [{"name": "a", "user": {}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"log level":            {[]string{"--log-level", "loud"}, `--log-level is "loud": allowed is debug, info, warn or error`},
		"log format":           {[]string{"--log-format", "xml"}, `--log-format is "xml": allowed is json or text`},
		"no such kubeconfig":   {[]string{"--kubeconfig", "/does/not/exist"}, "no API server to talk to"},
		"metrics for anyone":   {[]string{"--kubeconfig", kubeconfig, "--metrics-secure=false"}, "only a loopback address"},
		"negative":             {[]string{"--kubeconfig", kubeconfig, "--concurrency", "-3"}, "concurrency is -3"},
		"lease too short":      {[]string{"--kubeconfig", kubeconfig, "--leader-elect", "--leader-elect-lease-duration", "5s"}, "lease > renew deadline"},
		"no such group":        {[]string{"--kubeconfig", kubeconfig, "--metrics-api-bind-address", "127.0.0.1:0", "--metrics-api-groups", "resource"}, `no group "resource": allowed is external, custom or both`},
		"no group":             {[]string{"--kubeconfig", kubeconfig, "--metrics-api-bind-address", "127.0.0.1:0", "--metrics-api-groups", ""}, "has no groups"},
		"no certificate":       {[]string{"--kubeconfig", kubeconfig, "--metrics-api-bind-address", "127.0.0.1:0", "--metrics-api-cert-dir", "/does/not/exist"}, "want tls.crt and tls.key in it"},
		"KEDA for anyone":      {[]string{"--kubeconfig", kubeconfig, "--keda-bind-address", ":9555"}, "without TLS only a loopback address is allowed"},
		"KEDA both ways":       {[]string{"--kubeconfig", kubeconfig, "--keda-bind-address", ":9555", "--keda-plaintext", "--keda-cert-dir", "/x"}, "allowed is one of both"},
		"KEDA no certificate":  {[]string{"--kubeconfig", kubeconfig, "--keda-bind-address", ":9555", "--keda-cert-dir", "/does/not/exist"}, "want tls.crt and tls.key in it"},
		"unknown flag":         {[]string{"--fast"}, "unknown flag"},
		"unknown argument":     {[]string{"start"}, "start"},
		"not a whole number":   {[]string{"--concurrency", "many"}, "concurrency"},
		"not a length of time": {[]string{"--leader-elect-retry-period", "soon"}, "leader-elect-retry-period"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := execute(t, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, c.says)
			}
		})
	}
}

// Every flag that the examples of --help use exists.
func TestHelp(t *testing.T) {
	help, err := execute(t, "--help")
	if err != nil || !strings.Contains(help, "Examples:") {
		t.Fatalf("%v: %s", err, help)
	}
	cmd := newCommand(io.Discard)
	flags := regexp.MustCompile(`pdautoscaler (?:[^\n]*\\\n)*[^\n]*`).FindAllString(example, -1)
	found := 0
	for _, line := range flags {
		for _, flag := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(line, -1) {
			found++
			if cmd.Flags().Lookup(flag[1]) == nil {
				t.Errorf("the example %q uses a flag that does not exist", line)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d flags were found in the examples", found)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		out, err := execute(t, args...)
		if err != nil || !strings.Contains(out, version) || !strings.Contains(out, "go1.") {
			t.Errorf("%v prints %q (%v)", args, out, err)
		}
	}
}

func TestLogLevels(t *testing.T) {
	for level, want := range map[string][3]bool{ // shows V(1), info, error
		"debug": {true, true, true}, "info": {false, true, true}, "error": {false, false, true},
	} {
		h, err := logSettings{level, "json"}.handler(io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range []slog.Level{-1, slog.LevelInfo, slog.LevelError} {
			if got := h.Enabled(t.Context(), l); got != want[i] {
				t.Errorf("level %s shows %s: %t, want %t", level, l, got, want[i])
			}
		}
	}
}

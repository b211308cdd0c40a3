package main

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"
	"testing"
)

// execute runs a command line whose context has ended already.
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
	for args, says := range map[string]string{
		"--interval 10ms":            "--interval is 10ms: allowed is 100ms to 1m",
		"--interval soon":            "interval",
		"--interval 2s --max-age 3s": "--max-age is 3s: it must be at least two intervals, 4s",
		"--pods-interval 1ms":        "--pods-interval is 1ms: allowed is 1s to 5m",
		"--names 4.7":                `--names is "4.7": allowed is 4.5 or 4.6`,
		"--dcgm localhost":           "--dcgm: the address of DCGM is \"localhost\": allowed is embedded, tcp://host:port",
		"--client-ca ca.crt":         "--client-ca needs --tls-cert and --tls-key",
		"--log-level loud":           `--log-level is "loud": allowed is debug, info, warn or error`,
		"--log-format xml":           `--log-format is "xml": allowed is json or text`,
		"--faster":                   "unknown flag",
		"start":                      "start",
	} {
		_, err := execute(t, strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", args, err, says)
		}
	}
}

// Every flag that the examples of --help use exists, and its list shows what the agent does.
func TestHelp(t *testing.T) {
	help, err := execute(t, "--help")
	if err != nil || !strings.Contains(help, "Examples:") || !strings.Contains(help, "--pod-resources") {
		t.Fatalf("%v: %s", err, help)
	}
	flags := regexp.MustCompile(` --([a-z-]+)`).FindAllStringSubmatch(regexp.MustCompile(`(?m)^.*gpu-agent .*$`).FindString(example)+example, -1)
	cmd := newCommand(io.Discard)
	found := 0
	for _, flag := range flags {
		if cmd.Flags().Lookup(flag[1]) != nil {
			found++
		} else {
			t.Errorf("the examples use --%s, which does not exist", flag[1])
		}
	}
	if found < 5 {
		t.Errorf("only %d flags were found in the examples", found)
	}
}

func TestVersion(t *testing.T) {
	if out, err := execute(t, "--version"); err != nil || !strings.Contains(out, version) || !strings.Contains(out, "go1.") {
		t.Errorf("--version prints %q (%v)", out, err)
	}
}

// The node's name comes from the flag, else from the downward API, else from the host.
func TestNameOfTheNode(t *testing.T) {
	valid := settings{interval: 1e9, podsInterval: 5e9, names: "4.5"}
	for _, c := range []struct{ flag, env, want string }{{"a", "b", "a"}, {"", "b", "b"}} {
		t.Setenv("NODE_NAME", c.env)
		s := valid
		s.node = c.flag
		if err := s.check(); err != nil || s.node != c.want {
			t.Errorf("%+v: %q, %v", c, s.node, err)
		}
	}
	t.Setenv("NODE_NAME", "")
	if s := valid; s.check() != nil || s.node == "" {
		t.Error("the host's name is not taken")
	}
}
